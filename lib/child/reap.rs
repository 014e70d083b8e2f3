//! Leaves nothing alive: this process is made the subreaper, so that whatever a test orphans
//! (setsid, double fork) becomes our child, is found, and is killed.

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid,
};
use std::collections::HashSet;
use std::time::{Duration, Instant};

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

/// Stops and then kills a process and all below it: stopped first, so that a fork bomb cannot
/// outrun us.
fn kill_tree(root: Pid, killed: &mut HashSet<i32>) {
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let _ = kill_process(found[at], Signal::STOP);
        found.extend(children_of(found[at]));
        at += 1;
    }
    for pid in found {
        if kill_process(pid, Signal::KILL).is_ok() {
            killed.insert(pid.as_raw_nonzero().get());
        }
    }
}

/// The children of this process now.
pub fn children() -> Vec<u32> {
    children_of(rustix::process::getpid())
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get() as u32)
        .collect()
}

/// Kills and reaps every child but those in `keep`; returns how many processes were still alive.
pub fn sweep(keep: &[u32]) -> usize {
    if keep.is_empty() && !has_children() {
        return 0;
    }
    let began = Instant::now();
    let mut killed = HashSet::new();
    let me = rustix::process::getpid();
    loop {
        let strays: Vec<Pid> = children_of(me)
            .into_iter()
            .filter(|pid| !keep.contains(&(pid.as_raw_nonzero().get() as u32)))
            .collect();
        if strays.is_empty() || began.elapsed() > BOUND {
            return killed.len();
        }
        for pid in strays {
            // Anything else: reaped, or another thread of ours did it.
            if let Ok(None) = waitpid(Some(pid), WaitOptions::NOHANG) {
                kill_tree(pid, &mut killed);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
