//! Campaign 2: SIGKILL to any role, or to a worker's whole process group, at any time, for a set
//! duration. Each taskset must get the right verdict, one record, and no finding of rrr-fsck. At
//! the end, no process of any trial or setup is left. A killed submitter has either handed its
//! taskset over, or its keys expire.
//!
//! `scripts/chaos` runs it longer: `RRR_CHAOS_SECONDS`, `RRR_CHAOS_TASKS`, `RRR_SEED`.

use crate::campaigns::fire::{self, Post};
use crate::harness::wait::within;
use crate::harness::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A test that passes and leaks a process that ignores all signals except SIGKILL.
const LEAVES: &str = "setsid sh -c 'trap \"\" TERM INT HUP; sleep 1001; sleep 1002' & sleep 0.1";
/// A setup that starts a daemon, which lives as long as its worker has the taskset.
const SETUP: &str = "setsid sleep 1003 >/dev/null 2>&1 & disown";
/// Number of concurrent tasksets.
const TASKSETS: usize = 5;
/// Maximum life of a submitter that is killed while it submits.
const SUBMITTING: Duration = Duration::from_millis(150);
/// Maximum time for the running tasksets to finish after the last kill.
const END: Duration = Duration::from_secs(180);

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}")),
        Err(_) => default,
    }
}

/// A running taskset and its expected verdict.
struct Awaited {
    key: String,
    failing: bool,
}

impl Awaited {
    fn verdict(&self) -> &'static str {
        match self.failing {
            true => "failed",
            false => "succeeded",
        }
    }
}

struct Arena {
    server: Server,
    suite: Suite,
    records: tempfile::TempDir,
    tasks: usize,
}

impl Arena {
    fn posts(&self) -> Vec<Post> {
        let url = self.server.url();
        let (suite, records) = (self.suite.path().to_owned(), self.records.path().to_owned());
        let mut posts = Vec::new();
        for role in ["rrr-arbiter", "rrr-arbiter", "rrr-dispatch"] {
            let url = url.clone();
            posts.push(Post::new(role, move || Tool::new(&*url, role).spawn()));
        }
        let persister = url.clone();
        posts.push(Post::new("rrr-persist", move || {
            let tool = Tool::new(&*persister, "rrr-persist").arg("--log-dir");
            tool.arg(&records).spawn()
        }));
        // The last worker runs as on a machine without cgroups.
        for (id, has_cgroups) in [("w1", true), ("w2", true), ("w3", false)] {
            let (url, suite) = (url.clone(), suite.clone());
            posts.push(Post::new("rrr-worker", move || {
                let tool = Tool::new(&*url, "rrr-worker").args(["--worker-id", id]);
                let tool = match has_cgroups {
                    true => tool,
                    false => tool.env("RRR_CGROUP", ""),
                };
                tool.args(["--slaves", "2", "--in-place"])
                    .arg(&suite)
                    .spawn()
            }));
        }
        posts
    }

    /// Submits a taskset and kills two submitters in three: one while it submits, the other while
    /// it follows. Every second taskset has a failing test. Returns `None` if the submitter died
    /// before the handover.
    fn submit(&self, tally: &mut Tally, dice: &mut fastrand::Rng) -> Option<Awaited> {
        let number = tally.submitted;
        tally.submitted += 1;
        let failing = number % 2 == 1;
        let mut files: Vec<String> = (1..=self.tasks).map(|n| format!("t{n:04}.sh")).collect();
        files[self.tasks / 3] = "leaves.sh".into();
        if failing {
            files[self.tasks / 2] = "bad.sh".into();
        }
        let key = format!("rrrspec:taskset:chaos-{number}");
        let tool = Tool::new(&self.server, "rrr-submit").args(["--no-rsync", "--taskset", &key]);
        // A killed slave costs its task a trial: enough that no task runs out of trials by chance.
        let tool = tool.args(["--max-trials", "8", "--max-workers", "2"]);
        // Every third taskset has a setup.
        let setup = ["--setup", SETUP];
        let tool = tool.args(setup.iter().filter(|_| number.is_multiple_of(3)));
        let tool = tool.dir(self.suite.path());
        let words = [&files[..], &["--".into(), "sh".into(), "{}".into()]].concat();
        match dice.u8(..3) {
            0 => {
                tool.arg("--key-only").args(words).run().expect_code(0);
            }
            1 => {
                let submitter = tool.arg("--key-only").args(words).spawn();
                let due = Duration::from_micros(dice.u64(..SUBMITTING.as_micros() as u64));
                within(due, || (!submitter.is_running()).then_some(()));
                submitter.kill();
                tally.submitters_killed += u64::from(submitter.was_killed());
                if !self.is_handed_over(&key) {
                    tally.never_handed_over += 1;
                    return None;
                }
            }
            _ => {
                let follower = tool.arg("--follow").args(words).spawn();
                follower.wait_for_event("taskset_submitted", PATIENCE);
                let due = Instant::now() + Duration::from_millis(dice.u64(..3000));
                tally.followers.push((follower, due));
            }
        }
        Some(Awaited { key, failing })
    }

    /// Whether the taskset of a dead submitter was handed over; if not, all its keys must expire.
    fn is_handed_over(&self, key: &str) -> bool {
        // Redis may not yet have read the submitter's last commands. Each reply takes one turn of
        // its event loop, which reads from all clients.
        (0..50).for_each(|_| self.server.run::<()>(&["PING"]));
        let active = self.server.list("rrrspec:active_taskset");
        let expiry = |key: &str| self.server.run::<i64>(&["TTL", key]);
        // A finished and persisted taskset expires too.
        if expiry(key) == -1 || self.server.hget(key, "status").is_some() {
            return true;
        }
        assert!(
            !active.contains(&key.to_owned()),
            "{key} expires while it is active"
        );
        let keys: Vec<String> = self.server.run(&["KEYS", &format!("{key}:*")]);
        for key in keys {
            assert_ne!(expiry(&key), -1, "{key} stays for ever");
        }
        false
    }

    /// The number of findings for a finished taskset; `None` while it is running.
    fn conclude(&self, awaited: &Awaited) -> Option<usize> {
        let status = self.server.hget(&awaited.key, "status")?;
        if status == "running" {
            return None;
        }
        let count = |field| self.server.hget(&awaited.key, field).unwrap_or_default();
        let failed = usize::from(awaited.failing);
        let wanted = (
            awaited.verdict(),
            (self.tasks - failed).to_string(),
            failed.to_string(),
        );
        let got = (
            status.as_str(),
            count("succeeded_count"),
            count("failed_count"),
        );
        assert_eq!(got, wanted, "the verdict of {}", awaited.key);
        let fsck = Tool::new(&self.server, "rrr-fsck").arg(&awaited.key).run();
        if fsck.code != Some(0) {
            eprintln!("{}{}", fsck.stdout, fsck.stderr);
        }
        assert!(matches!(fsck.code, Some(0 | 1)), "{fsck:#?}");
        Some(fsck.stdout.lines().count())
    }

    /// The errors in the records: each taskset has one, with its verdict and that of every task. A
    /// persister that was killed while writing leaves a file with another name.
    fn wrong_records(&self, all: &[Awaited]) -> Vec<String> {
        eventually(END, "every taskset is persisted", || {
            let waiting = self.server.list("rrrspec:persister_queue");
            waiting.is_empty().then_some(())
        });
        let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let files = std::fs::read_dir(self.records.path()).unwrap().flatten();
        let paths = files.map(|file| file.path());
        for path in paths.filter(|path| path.extension().is_some_and(|end| end == "json")) {
            let text = std::fs::read_to_string(path).unwrap();
            let record: Value = serde_json::from_str(&text).expect("a whole record");
            let key = record["key"].as_str().unwrap_or_default().to_owned();
            records.entry(key).or_default().push(record);
        }
        let is_right = |awaited: &&Awaited| {
            let Some([record]) = records.get(&awaited.key).map(Vec::as_slice) else {
                return false;
            };
            let tasks = record["tasks"].as_array().into_iter().flatten();
            let judged = tasks.filter(|task| task["status"].is_string());
            record["taskset"]["status"] == awaited.verdict() && judged.count() == self.tasks
        };
        let wrong = all.iter().filter(|awaited| !is_right(awaited));
        wrong
            .map(|awaited| {
                let found = records.get(&awaited.key).map_or(0, Vec::len);
                format!("{found} records of {}, not one right one", awaited.key)
            })
            .collect()
    }
}

/// The results of the thread that submits and judges.
#[derive(Default)]
struct Tally {
    all: Vec<Awaited>,
    ended: usize,
    findings: usize,
    submitted: usize,
    submitters_killed: u64,
    /// Tasksets whose submitter was killed too early.
    never_handed_over: usize,
    /// Following submitters, and when to kill them.
    followers: Vec<(Running, Instant)>,
}

impl Tally {
    /// Kills the followers that are due.
    fn kill_followers(&mut self) {
        let now = Instant::now();
        let is_due = |(_, due): &(Running, Instant)| now >= *due;
        let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.followers)
            .into_iter()
            .partition(is_due);
        self.followers = rest;
        for (follower, _) in due {
            follower.kill();
            self.submitters_killed += u64::from(follower.was_killed());
        }
    }
}

impl Arena {
    /// Keeps tasksets running while `firing` and judges each once it has finished.
    fn play(&self, firing: &AtomicBool) -> Tally {
        let mut dice = random::random();
        let mut tally = Tally::default();
        let mut open: Vec<usize> = Vec::new();
        let mut ceased = None;
        loop {
            let now = firing.load(SeqCst);
            while now && open.len() < TASKSETS {
                if let Some(awaited) = self.submit(&mut tally, &mut dice) {
                    open.push(tally.all.len());
                    tally.all.push(awaited);
                }
                tally.kill_followers();
            }
            tally.kill_followers();
            if !now {
                let since = *ceased.get_or_insert_with(Instant::now);
                let late = since.elapsed() > END;
                assert!(!late, "{} tasksets do not end", open.len());
            }
            open.retain(|number| match self.conclude(&tally.all[*number]) {
                Some(found) => {
                    tally.findings += found;
                    tally.ended += 1;
                    false
                }
                None => true,
            });
            if !now && open.is_empty() {
                return tally;
            }
            within(Duration::from_millis(20), || None::<()>);
        }
    }
}

#[test]
fn kills_of_any_role_at_any_time_break_no_invariant() {
    let seconds = setting("RRR_CHAOS_SECONDS", 15);
    let tasks = setting("RRR_CHAOS_TASKS", 60) as usize;
    let arena = Arena {
        server: Server::new(),
        suite: Suite::new(),
        records: tempfile::tempdir().unwrap(),
        tasks,
    };
    arena.suite.many(tasks, "exit 0");
    arena
        .suite
        .file("bad.sh", "exit 1")
        .file("leaves.sh", LEAVES);
    let mut posts = arena.posts();
    let firing = AtomicBool::new(true);
    let (mut tally, mut kills, mut faults) = std::thread::scope(|scope| {
        let player = scope.spawn(|| arena.play(&firing));
        let (kills, faults) = fire::attack(&mut posts, &firing, seconds, || player.is_finished());
        let tally = player.join().expect("every verdict is right");
        (tally, kills, faults)
    });
    kills.insert("rrr-submit", tally.submitters_killed);
    faults.extend(arena.wrong_records(&tally.all));
    faults.extend(fire::survivors(&posts));
    let fsck = Tool::new(&arena.server, "rrr-fsck").run();
    tally.findings += fsck.stdout.lines().count();
    let summary = serde_json::json!({
        "campaign": "chaos",
        "seconds": seconds,
        "kills": kills.values().sum::<u64>(),
        "kills_by_role": kills,
        "tasksets": tally.ended,
        "tasks": tally.ended * tasks,
        "never_handed_over": tally.never_handed_over,
        "findings": tally.findings,
        "faults": faults,
    });
    println!("{summary}");
    assert_eq!((tally.findings, faults), (0, Vec::new()), "{}", fsck.stdout);
    assert!(tally.ended >= TASKSETS);
}
