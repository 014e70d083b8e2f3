//! Leaves nothing alive: this process is made the subreaper, so that whatever a test orphans
//! (setsid, double fork) becomes our child, is found, and is killed.

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Names of processes that were killed, by their ids.
pub type Killed = BTreeMap<i32, String>;

/// Longest time spent on killing what was left.
const BOUND: Duration = Duration::from_secs(2);

/// Makes orphans of our descendants our own children.
pub fn become_subreaper() -> std::io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Whether this process has any child at all: one call in the common case.
fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::All, options).is_ok()
}

fn children_of(pid: Pid) -> Vec<Pid> {
    let mut children = Vec::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else {
        return children;
    };
    for task in tasks.flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(
            text.split_whitespace()
                .filter_map(|p| Pid::from_raw(p.parse().ok()?)),
        );
    }
    children
}

/// The name of a process that has not ended.
pub fn name_of(pid: i32) -> Option<String> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name may hold anything, a bracket too.
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let ended = rest.starts_with(['Z', 'X']);
    (!ended).then(|| name.to_owned())
}

/// Stops and then kills a process and all below it: stopped first, so that a fork bomb cannot
/// outrun us.
fn kill_tree(root: Pid, killed: &mut Killed) {
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let _ = kill_process(found[at], Signal::STOP);
        found.extend(children_of(found[at]));
        at += 1;
    }
    for pid in found {
        let number = pid.as_raw_nonzero().get();
        if let Some(name) = name_of(number) {
            killed.entry(number).or_insert(name);
        }
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The children of this process now.
pub fn children() -> Vec<u32> {
    children_of(rustix::process::getpid())
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get() as u32)
        .collect()
}

/// The children of this process that still run, but those in `keep`; others are reaped.
fn strays(keep: &[u32]) -> Vec<Pid> {
    if keep.is_empty() && !has_children() {
        return Vec::new();
    }
    let children = children_of(rustix::process::getpid());
    let strays = children
        .into_iter()
        .filter(|pid| !keep.contains(&(pid.as_raw_nonzero().get() as u32)));
    // Anything else: reaped, or another thread of ours did it.
    let runs = |pid: &Pid| matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None));
    strays.filter(runs).collect()
}

/// Gives what a test left behind `patience` to end by itself: what only reads the test's output
/// (`> >(tee log)`) ends with it, a moment later.
///
/// Only the pauses are counted, not what they take: on a machine that lets us wait for our turn,
/// those others wait for theirs too.
pub fn wait_for_the_last(keep: &[u32], patience: Duration) {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_micros(200);
    while !strays(keep).is_empty() && waited < patience {
        std::thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// Kills and reaps every child but those in `keep`, and all below them; returns the names of those
/// that were still alive, by their ids.
pub fn sweep(keep: &[u32]) -> Killed {
    let began = Instant::now();
    let mut killed = Killed::new();
    loop {
        let strays = strays(keep);
        if strays.is_empty() || began.elapsed() > BOUND {
            return killed;
        }
        for pid in strays {
            kill_tree(pid, &mut killed);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
