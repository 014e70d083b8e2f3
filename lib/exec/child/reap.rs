//! Leaving no process alive: this process becomes the subreaper, so that every process that a test
//! orphans (setsid, double fork) becomes its child, is found, and is killed.

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpgid, kill_process, kill_process_group,
    waitid, waitpid,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Names of killed processes, by process id.
pub(crate) type Killed = BTreeMap<i32, String>;

/// Time until killed processes that remain are abandoned: the kernel does not release them, or they
/// belong to another user.
const STUCK: Duration = Duration::from_secs(2);
/// Time for which new processes may keep appearing.
const ENDLESS: Duration = Duration::from_secs(60);

/// Makes orphaned descendants this process's own children.
pub(crate) fn become_subreaper() -> std::io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Whether this process has any child: one call in the common case.
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

/// The name of a process; an ended one keeps it until it is reaped.
pub(crate) fn name_of(pid: i32) -> Option<String> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name may contain anything, even a bracket.
    let (name, _) = stat.split_once('(')?.1.rsplit_once(") ")?;
    Some(name.to_owned())
}

/// Reaps the children that have ended; returns whether none is left.
pub(crate) fn all_have_ended() -> bool {
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
    !has_children()
}

/// The current children of this process.
pub(crate) fn children() -> Vec<u32> {
    children_of(rustix::process::getpid())
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get() as u32)
        .collect()
}

/// The children of this process, ended or not, except those in `keep`.
fn others(keep: &[u32]) -> Vec<Pid> {
    if keep.is_empty() && !has_children() {
        return Vec::new();
    }
    let mut children = children_of(rustix::process::getpid());
    children.retain(|pid| !keep.contains(&(pid.as_raw_nonzero().get() as u32)));
    children
}

/// The running ones among these; the others are reaped.
fn strays(keep: &[u32]) -> Vec<Pid> {
    let mut strays = others(keep);
    // Otherwise reaped, here or by another thread.
    strays.retain(|pid| matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None)));
    strays
}

/// Waits up to `patience` for the processes that a test left behind to end on their own: a process
/// that only reads the test's output (`> >(tee log)`) ends a moment after it.
///
/// Only the pauses are counted, not the checks: on a machine so busy that this process waits for
/// its turn, the others wait too.
pub(crate) fn wait_for_the_last(keep: &[u32], patience: Duration) {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_micros(200);
    while !strays(keep).is_empty() && waited < patience {
        std::thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// Kills and reaps every child except those in `keep`, and all their descendants; returns the names
/// of those that were still alive, by process id. It repeats until none is left: a chain of
/// processes, each of which starts the next and ends, may escape many times.
pub(crate) fn sweep(keep: &[u32]) -> Killed {
    let began = Instant::now();
    let mut newest = began;
    let mut known: BTreeMap<i32, Option<String>> = BTreeMap::new();
    let mut killed = Killed::new();
    let mut spared = None;
    let mut empty = 0;
    // The latest new process after the first check: one that was missed then has started it.
    let mut late = None;
    loop {
        let is_first = known.is_empty();
        let found = others(keep);
        if found.is_empty() {
            empty += 1;
            // Only the kernel's reply that there is no child is certain; a list of some may be
            // incomplete.
            if known.is_empty() || keep.is_empty() || empty > 2 {
                if killed.is_empty() {
                    // A chain that ended just before each kill was left behind all the same.
                    killed.extend(late);
                }
                return killed;
            }
            continue;
        }
        empty = 0;
        // All are killed first: they keep running while this process inspects them.
        strike(&found, spared.get_or_insert_with(|| groups_of(keep)));
        for pid in found {
            let number = pid.as_raw_nonzero().get();
            let name = known.entry(number).or_insert_with(|| {
                newest = Instant::now();
                let name = name_of(number);
                if !is_first {
                    late = Some((number, name.clone().unwrap_or_default()));
                }
                name
            });
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) if status.terminating_signal() == Some(KILLED) => {
                    killed.insert(number, name.take().unwrap_or_default());
                }
                _ => {}
            }
        }
        if newest.elapsed() > STUCK || began.elapsed() > ENDLESS {
            killed.extend(given_up(keep));
            return killed;
        }
        if newest.elapsed() > Duration::from_millis(2) {
            std::thread::sleep(Duration::from_micros(500));
        } else {
            std::thread::yield_now();
        }
    }
}

const KILLED: i32 = Signal::KILL.as_raw();

/// Kills these processes and their process groups, except those in `spared`. The kernel kills a
/// group in one step that no fork in the group can outrun.
fn strike(found: &[Pid], spared: &[Pid]) {
    let mut struck: Option<Pid> = None;
    for &pid in found {
        if let Ok(group) = getpgid(Some(pid))
            && struck != Some(group)
            && !spared.contains(&group)
        {
            let _ = kill_process_group(group, Signal::KILL);
            struck = Some(group);
        }
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The process groups of this process and of those in `keep`.
fn groups_of(keep: &[u32]) -> Vec<Pid> {
    let kept = keep
        .iter()
        .filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
    let kept = kept.filter_map(|pid| getpgid(Some(pid)).ok());
    kept.chain([rustix::process::getpgrp()]).collect()
}

/// The processes that could not be killed.
fn given_up(keep: &[u32]) -> Killed {
    let name = |pid: Pid| {
        let number = pid.as_raw_nonzero().get();
        let name = name_of(number).unwrap_or_default();
        (number, format!("{name} (it could not be killed)"))
    };
    strays(keep).into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_zombie_keeps_its_name_until_it_is_reaped() {
        let mut child = Command::new("true").spawn().unwrap();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&child)), options).unwrap();
        assert_eq!(name_of(child.id() as i32).as_deref(), Some("true"));
        child.wait().unwrap();
        assert_eq!(name_of(child.id() as i32), None);
    }
}
