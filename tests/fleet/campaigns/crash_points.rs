//! The crash-point sweep: at whatever command a role dies, nothing is lost or counted twice.
//!
//! A small taskset runs with one role's connections through the proxy. For every k, in a separate
//! run, the process that sends the k-th command is killed: before the server has seen the command,
//! and after the server has applied it but before the reply arrives. The process is restarted, and
//! the taskset must finish with the right verdict, the right counts, one record, and no leftover
//! key. A sweep ends at the first k that no command reached, so it covers every command, including
//! those of a role's start and clean exit. Pairs of crashes are sampled: `RRR_SEED=N` repeats a
//! sample.

use crate::harness::*;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use serde_json::{Value, json};

/// The role behind the proxy. A worker restarts its slaves; the test restarts all other roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Submit,
    Dispatch,
    Arbiter,
    Worker,
    Slave,
    /// A slave that reserves batches, as its trials are very short.
    SlaveWithHands,
    Persist,
}

const ROLES: [Role; 7] = [
    Role::Submit,
    Role::Dispatch,
    Role::Arbiter,
    Role::Worker,
    Role::Slave,
    Role::SlaveWithHands,
    Role::Persist,
];

/// A point at which a role dies.
#[derive(Clone, Copy, Debug)]
struct Point {
    role: Role,
    number: u64,
    crash: Crash,
}

/// A system that runs one small suite, one of its roles behind a proxy.
struct Bench {
    server: Server,
    proxy: Proxy,
    suite: Suite,
    records: Suite,
    role: Role,
    /// Number of kills of the role: a trial that dies with its slave counts towards max_trials.
    kills: usize,
}

impl Bench {
    fn new(role: Role, kills: usize) -> Self {
        let server = Server::new();
        let suite = Suite::new();
        suite
            .file("pass.sh", "exit 0")
            .file("fail.sh", "exit 1")
            .file("pend.sh", "exit 77")
            .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
        if role == Role::SlaveWithHands {
            suite.many(FAST, "exit 0").file("runner.py", RUNNER);
        }
        Self {
            proxy: Proxy::start(&server),
            server,
            suite,
            records: Suite::new(),
            role,
            kills,
        }
    }

    /// Maximum trials, enough for the flaky file: a failure and a pass.
    fn max_trials(&self) -> usize {
        2 + self.kills
    }

    fn tool(&self, role: Role, through_proxy: bool) -> Tool {
        let url = |proxied| match proxied {
            true => self.proxy.url(),
            false => self.server.url(),
        };
        let new = |name: &str| Tool::new(&url(through_proxy), name);
        match role {
            Role::Dispatch => new("rrr-dispatch"),
            Role::Arbiter => new("rrr-arbiter"),
            Role::Persist => {
                let db = format!(
                    "sqlite:{}",
                    self.server.folder().join("history.db").display()
                );
                let persist = new("rrr-persist").args(["--db", &db, "--log-dir"]);
                persist.arg(self.records.path())
            }
            Role::Worker => new("rrr-worker")
                .args(["--worker-id", "w", "--slaves", "2", "--in-place"])
                .arg(self.suite.path()),
            Role::Submit | Role::Slave | Role::SlaveWithHands => {
                let redis = url(through_proxy && role != Role::Submit);
                let adapter = match self.role {
                    Role::SlaveWithHands => "--adapter serve -- python3 runner.py",
                    _ => "-- sh {}",
                };
                let slave = format!("rrr-slave --redis {redis} {adapter}");
                let mut files = self.suite.files();
                files.retain(|file| file.ends_with(".sh"));
                Tool::new(&url(through_proxy && role == Role::Submit), "rrr-submit")
                    .args(["--no-rsync", "--follow", "--slave", &slave])
                    .args(["--max-trials", &self.max_trials().to_string()])
                    .args(files)
                    .dir(self.suite.path())
            }
        }
    }

    /// Whether all roles have finished with everything handed over.
    fn is_done(&self) -> bool {
        let empty = |queue| self.server.run::<u64>(&["EXISTS", queue]) == 0;
        let queues = [
            "rrrspec:active_taskset",
            "rrrspec:arbiter_queue",
            "rrrspec:persister_queue",
        ];
        queues.into_iter().all(empty)
            && self.server.hget("rrrspec:worker:w", "taskset").is_none()
            && !self.tasksets().is_empty()
    }

    /// The finished tasksets.
    fn tasksets(&self) -> Vec<String> {
        let keys: Vec<String> = self
            .server
            .run(&["KEYS", "rrrspec:taskset:????????-*:tasks"]);
        let keys = keys.iter().filter_map(|key| key.strip_suffix(":tasks"));
        let ended = keys.filter(|key| self.server.hget(key, "finished_at").is_some());
        ended.map(str::to_owned).collect()
    }

    /// The expected result of each file of the suite.
    fn verdicts(&self) -> Vec<(String, &'static str)> {
        let fast = match self.role {
            Role::SlaveWithHands => FAST,
            _ => 0,
        };
        let known = VERDICTS.map(|(file, verdict)| (file.to_owned(), verdict));
        let fast = (1..=fast).map(|n| (format!("t{n:04}.sh"), "passed"));
        known.into_iter().chain(fast).collect()
    }

    /// The violations at the end.
    fn violations(&self) -> Vec<String> {
        let keys = self.server.dump_keys();
        let mut wrong = Vec::new();
        let mut check = |good: bool, what: String| {
            if !good {
                wrong.push(what);
            }
        };
        for name in dump::immortal(&keys) {
            check(false, format!("'{name}' never expires"));
        }
        let dead = keys.keys().filter(|name| name.ends_with(":dead"));
        dead.for_each(|name| check(false, format!("{name}: {}", keys[name])));
        let tasksets = self.tasksets();
        let verdicts = self.verdicts();
        for taskset in &tasksets {
            let fields = &keys[taskset].value;
            let counts = [&fields["succeeded_count"], &fields["failed_count"]];
            check(fields["status"] == "failed", format!("{taskset}: {fields}"));
            let good = (verdicts.len() - 1).to_string();
            check(counts == [&*good, "1"], format!("{taskset}: {fields}"));
            for (file, wanted) in &verdicts {
                let task = format!("{taskset}:task:{file}");
                let status = &keys[&task].value["status"];
                check(status == wanted, format!("{file}: {status}"));
                let trials = keys[&format!("{task}:trial")].value.as_array().unwrap();
                // A trial stopped with its worker does not count towards max_trials.
                let most = self.max_trials() + self.kills;
                check(
                    trials.len() <= most,
                    format!("{file}: {} trials", trials.len()),
                );
            }
            for violation in invariants::violations(&keys, taskset) {
                check(false, violation);
            }
        }
        let files = std::fs::read_dir(self.records.path()).unwrap().flatten();
        let mut records = BTreeSet::new();
        for file in files {
            let text = std::fs::read_to_string(file.path()).unwrap();
            let record: Value = serde_json::from_str(&text).unwrap_or(json!(text));
            let statuses: BTreeSet<_> = record["tasks"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|task| Some((task["spec_file"].as_str()?, task["status"].as_str()?)))
                .collect();
            let wanted = verdicts.iter().map(|(file, status)| (&**file, *status));
            check(
                statuses == wanted.collect::<BTreeSet<_>>(),
                format!("record: {text}"),
            );
            records.insert(record["key"].as_str().unwrap_or_default().to_owned());
        }
        let ended: BTreeSet<String> = tasksets.into_iter().collect();
        check(
            records == ended,
            format!("records: {records:?}, tasksets: {ended:?}"),
        );
        wrong
    }
}

/// Additional files of a suite that makes slaves reserve batches.
const FAST: usize = 60;

/// A runner that answers like the files of that suite, except for one that is too slow for a batch.
const RUNNER: &str = r#"
import json, os, time
for line in os.fdopen(3):
    asked = json.loads(line)
    if asked["type"] == "hello":
        answer = {"type": "hello", "version": 1}
    else:
        name = asked["spec_file"]
        status = {"fail.sh": "failed", "pend.sh": "pending"}.get(name, "passed")
        if name == "flaky.sh" and not os.path.exists("seen"):
            open("seen", "w").close()
            status = "failed"
        if name == "t0030.sh":
            time.sleep(0.1)
        answer = {"type": "result", "trial": asked["trial"], "status": status}
    os.write(4, json.dumps(answer).encode() + b"\n")
"#;

/// The expected result of each file of every suite.
const VERDICTS: [(&str, &str); 4] = [
    ("pass.sh", "passed"),
    ("fail.sh", "failed"),
    ("pend.sh", "pending"),
    ("flaky.sh", "passed"),
];

/// Runs the suite with crashes of one role. Returns whether all were reached, and the violations.
fn run(points: &[Point]) -> (bool, Vec<String>) {
    let role = points[0].role;
    let bench = Bench::new(role, points.len());
    for point in points {
        bench.proxy.crash_at(point.number, point.crash);
    }
    let daemons = [Role::Arbiter, Role::Dispatch, Role::Persist, Role::Worker];
    let start = |daemon| (daemon, bench.tool(daemon, daemon == role).spawn());
    let mut running: Vec<(Role, Running)> = daemons.map(start).into();
    let mut submitter = match role {
        Role::Submit | Role::Slave | Role::SlaveWithHands => bench.tool(role, true).spawn(),
        _ => bench.tool(Role::Submit, false).spawn(),
    };
    let done = wait::within(PATIENCE, || {
        for (daemon, process) in &mut running {
            if !process.is_running() {
                // The second crash, if any, must hit the restarted process.
                let again = bench.proxy.crashes() < points.len();
                *process = bench.tool(*daemon, again).spawn();
            }
        }
        if role == Role::Submit && submitter.was_killed() {
            submitter = bench
                .tool(Role::Submit, bench.proxy.crashes() < points.len())
                .spawn();
        }
        (!submitter.is_running() && bench.is_done()).then_some(())
    });
    let mut wrong = Vec::new();
    if done.is_none() {
        wrong.push(format!(
            "it has not ended: {:#?}",
            dump::lines(&bench.server.dump_keys())
        ));
    }
    // A clean exit is part of the sweep; the other roles are not waited for.
    running.retain(|(daemon, _)| *daemon == role);
    running.iter().for_each(|(_, process)| process.term());
    for (daemon, process) in &running {
        let end = process.wait(PATIENCE);
        // A process that was just restarted may not handle SIGTERM yet.
        if end.code != Some(0) && !matches!(end.signal, Some(9 | 15)) {
            wrong.push(format!("{daemon:?}: {end:#?}"));
        }
    }
    if done.is_some() {
        let end = submitter.wait(PATIENCE);
        if end.code != Some(1) {
            wrong.push(format!("the submitter: {end:#?}"));
        }
        wrong.extend(bench.violations());
        wrong.extend(invariants::findings(&bench.server));
    }
    if !wrong.is_empty() {
        let seen = bench.proxy.transcript();
        let at = |point: &Point| seen.get(point.number as usize - 1).cloned();
        let at: Vec<_> = points.iter().map(at).collect();
        wrong.insert(0, format!("{points:?}: {at:?}"));
    }
    (bench.proxy.crashes() == points.len(), wrong)
}

/// Number of concurrent runs per side of a sweep: they mostly wait.
const AT_ONCE: usize = 3;

/// Kills `role` before and after every command and reports every violation.
fn sweep(role: Role) {
    let began = Instant::now();
    let swept = |crash| {
        let next = AtomicU64::new(1);
        let end = AtomicU64::new(u64::MAX);
        let worker = || {
            let mut violations = Vec::new();
            loop {
                let number = next.fetch_add(1, SeqCst);
                if number >= end.load(SeqCst) {
                    return violations;
                }
                let (reached, wrong) = run(&[Point {
                    role,
                    number,
                    crash,
                }]);
                violations.extend(wrong);
                if !reached {
                    end.fetch_min(number, SeqCst);
                }
            }
        };
        let violations = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
            let all = workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap());
            all.collect::<Vec<_>>()
        });
        (end.into_inner() - 1, violations)
    };
    let [before, after] = std::thread::scope(|scope| {
        let sides = [Crash::Before, Crash::After].map(|crash| scope.spawn(move || swept(crash)));
        sides.map(|side| side.join().unwrap())
    });
    let seconds = began.elapsed().as_secs();
    println!(
        "{role:?}: {} points before, {} after, in {seconds} s",
        before.0, after.0
    );
    for (points, violations) in [before, after] {
        assert!(points > 5, "only {points} commands were seen");
        assert!(
            violations.is_empty(),
            "{role:?}:\n{}",
            violations.join("\n")
        );
    }
}

#[test]
fn a_submitter_may_die_at_any_command() {
    sweep(Role::Submit);
}

#[test]
fn a_dispatcher_may_die_at_any_command() {
    sweep(Role::Dispatch);
}

#[test]
fn an_arbiter_may_die_at_any_command() {
    sweep(Role::Arbiter);
}

#[test]
fn a_worker_may_die_at_any_command() {
    sweep(Role::Worker);
}

#[test]
fn a_slave_may_die_at_any_command() {
    sweep(Role::Slave);
}

#[test]
fn a_slave_with_a_batch_may_die_at_any_command() {
    sweep(Role::SlaveWithHands);
}

#[test]
fn a_persister_may_die_at_any_command() {
    sweep(Role::Persist);
}

#[test]
fn a_role_may_die_twice() {
    let mut random = random::random();
    let mut crash = |role, from| Point {
        role,
        number: random.u64(from + 1..from + 40),
        crash: if random.bool() {
            Crash::Before
        } else {
            Crash::After
        },
    };
    let pairs: Vec<[Point; 2]> = ROLES
        .into_iter()
        .flat_map(|role| [role; 10])
        .map(|role| {
            let first = crash(role, 0);
            [first, crash(role, first.number)]
        })
        .collect();
    let next = AtomicU64::new(0);
    let worker = || {
        let mut outcomes = Vec::new();
        while let Some(pair) = pairs.get(next.fetch_add(1, SeqCst) as usize) {
            outcomes.push(run(pair));
        }
        outcomes
    };
    let outcomes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2 * AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let all = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap());
        all.collect::<Vec<_>>()
    });
    let reached = outcomes.iter().filter(|outcome| outcome.0).count();
    println!("{reached} of {} pairs were reached", outcomes.len());
    let violations: Vec<_> = outcomes.into_iter().flat_map(|outcome| outcome.1).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert!(reached > 0, "no pair was reached");
}
