//! The kills of the chaos campaign: the victims, their restart, and the search for leftovers.

use crate::harness::process_tree::Member;
use crate::harness::wait::within;
use crate::harness::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Mean time between two kills.
const MEAN: Duration = Duration::from_millis(200);

/// A supervisor, which restarts a role whenever it ends.
pub struct Post {
    role: &'static str,
    start: Box<dyn Fn() -> Running>,
    running: Running,
    /// Killed workers, kept because dropping one would kill its surviving processes.
    dead: Vec<Running>,
}

impl Post {
    pub fn new(role: &'static str, start: impl Fn() -> Running + 'static) -> Self {
        Self {
            role,
            running: start(),
            start: Box::new(start),
            dead: Vec::new(),
        }
    }

    /// Restarts the role if it was killed. A role that ends on its own is a fault: its output is
    /// returned.
    fn tend(&mut self) -> Option<String> {
        if self.running.is_running() {
            return None;
        }
        let killed = self.running.was_killed();
        let fault = (!killed).then(|| {
            let end = self.running.wait(PATIENCE);
            format!("{} ended on its own: {end:#?}", self.role)
        });
        let dead = std::mem::replace(&mut self.running, (self.start)());
        if self.role == "rrr-worker" {
            self.dead.push(dead);
        }
        fault
    }

    /// Kills the role or one of its processes; returns the name of the victim.
    fn hit(&self, dice: &mut fastrand::Rng) -> Option<&'static str> {
        if self.role != "rrr-worker" {
            return self.kill(self.role);
        }
        let family = self.running.family();
        let slaves: Vec<_> = family.iter().filter(|m| m.is("rrr-slave")).collect();
        match dice.u8(..6) {
            0 => self.kill(self.role),
            1 | 2 if self.running.is_running() => {
                self.running.handle().kill_group();
                Some("group of rrr-worker")
            }
            3 => {
                let guardian = guardian_of(dice.choice(slaves)?)?;
                guardian.signal(Signal::KILL);
                Some("test-guardian")
            }
            _ => {
                dice.choice(slaves)?.signal(Signal::KILL);
                Some("rrr-slave")
            }
        }
    }

    fn kill(&self, name: &'static str) -> Option<&'static str> {
        self.running.is_running().then(|| {
            self.running.kill();
            name
        })
    }
}

/// The guardian of a slave. A setup's guardian is not killed: a killed setup rightly fails.
fn guardian_of(slave: &Member) -> Option<Member> {
    let above = |member: &Member| Some(Member::of(u32::try_from(member.status("PPid")?).ok()?));
    let chain = std::iter::successors(above(slave), above);
    // At most the shell of the slave command is in between.
    chain.take(2).find(|member| member.is("test-guardian"))
}

/// Kills and restarts until the time is up and `played` reports that all tasksets have finished.
pub fn attack(
    posts: &mut [Post],
    firing: &AtomicBool,
    seconds: u64,
    played: impl Fn() -> bool,
) -> (BTreeMap<&'static str, u64>, Vec<String>) {
    let mut dice = random::random();
    let mut kills = BTreeMap::new();
    let mut faults = Vec::new();
    let began = Instant::now();
    let mut due = began;
    while !played() {
        firing.store(began.elapsed() < Duration::from_secs(seconds), SeqCst);
        if firing.load(SeqCst) && Instant::now() >= due {
            let post = dice.choice(&*posts);
            if let Some(victim) = post.and_then(|post| post.hit(&mut dice)) {
                *kills.entry(victim).or_default() += 1;
            }
            due += Duration::from_millis(dice.u64(..2 * MEAN.as_millis() as u64));
        }
        faults.extend(posts.iter_mut().filter_map(Post::tend));
        within(Duration::from_millis(10), || None::<()>);
    }
    (kills, faults)
}

/// The leftover processes of any worker, killed or not, after the last ones have stopped (I10).
pub fn survivors(posts: &[Post]) -> Vec<String> {
    let workers = || posts.iter().filter(|post| post.role == "rrr-worker");
    workers().for_each(|post| post.running.term());
    let all = || workers().flat_map(|post| post.dead.iter().chain([&post.running]));
    within(PATIENCE, || {
        all().all(|worker| worker.family().is_empty()).then_some(())
    });
    let families = all().map(|worker| (worker.pid(), worker.family()));
    families
        .filter(|(_, family)| !family.is_empty())
        .map(|(pid, family)| format!("left of worker {pid}: {family:?}"))
        .collect()
}
