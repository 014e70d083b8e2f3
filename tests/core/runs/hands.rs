//! Batches: slaves with very short trials reserve several tasks at once, without visible effects.

use crate::harness::*;
use rrr::entity::reservation::{self, Done, Next};
use rrr::entity::slave;
use rrr::protocol::job::Job;
use rrr::protocol::key::{SlaveKey, TasksetKey};
use rrr::protocol::status::SlaveStatus;
use rrr::store::Store;

/// A slave driven step by step, and its taskset.
struct Player {
    store: Store,
    taskset: TasksetKey,
    key: SlaveKey,
}

impl Player {
    fn join(server: &Server, taskset: &raw::Taskset, number: usize) -> Self {
        let mut store = rrr::cli::redis_args::RedisArgs::at(server.url())
            .connect()
            .unwrap();
        let taskset = taskset.key.parse().unwrap();
        let key = format!("rrrspec:worker:w:slave:{number}").parse().unwrap();
        slave::join(&mut store, &taskset, &key, &Default::default()).unwrap();
        Self {
            store,
            taskset,
            key,
        }
    }

    fn take(&mut self, most: usize) -> Vec<Job> {
        match reservation::reserve(&mut self.store, &self.taskset, &self.key, most, true, false)
            .unwrap()
        {
            Next::Run(jobs) => jobs,
            _ => Vec::new(),
        }
    }

    fn pass(&mut self, jobs: &[Job], most: usize) -> (Vec<bool>, Vec<Job>) {
        let passed = |job: &Job| passed(&self.key, job.clone());
        let done: Vec<Done> = jobs.iter().map(passed).collect();
        let reply = reservation::finish(&mut self.store, &self.taskset, &self.key, &done, most);
        match reply.unwrap() {
            (counted, Next::Run(jobs)) => (counted, jobs),
            (counted, _) => (counted, Vec::new()),
        }
    }

    fn release(&mut self, running: Option<&Job>, rest: &[Job]) {
        reservation::release(&mut self.store, &self.taskset, &self.key, running, rest).unwrap();
    }

    fn die(&mut self) -> bool {
        slave::reap(&mut self.store, &self.taskset, &self.key, "it died", true)
            .unwrap()
            .value
    }
}

fn files(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| &*job.spec_file).collect()
}

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("t{n:02}")).collect()
}

fn many(number: usize) -> Vec<String> {
    names(0..number)
}

fn written<'a>(server: &'a Server, files: &[String]) -> raw::Taskset<'a> {
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    raw::taskset(server, "t", &files).running()
}

#[test]
fn a_batch_is_reported_and_reserved_in_one_call() {
    let server = Server::new();
    let taskset = written(&server, &many(40));
    let mut player = Player::join(&server, &taskset, 1);
    let alone = player.take(1);
    // From here on Redis has cached the script.
    let (_, hand) = player.pass(&alone, 8);
    assert_eq!(files(&hand), names(1..9));
    assert_eq!(hand.iter().filter(|job| job.begun).count(), 1);
    let before = Counts::take(&mut server.conn());
    let (counted, next) = player.pass(&hand, 8);
    let cost = Counts::take(&mut server.conn()).since(&before);
    assert_eq!(cost.get("evalsha"), 1);
    assert_eq!(counted, [true; 8]);
    assert_eq!(files(&next), names(9..17));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.counts(), (9, 0));
    let keys = server.dump_keys();
    let events = invariants::events(&keys, &taskset.key);
    for job in &hand {
        let of_trial = events.iter().filter(|e| e["trial"] == job.trial.as_str());
        let reply: Vec<_> = of_trial.map(|e| e["event"].as_str().unwrap()).collect();
        assert_eq!(reply, ["trial_started", "trial_finished"], "{}", job.trial);
        assert!(server.hget(job.trial.as_str(), "started_at").is_some());
    }
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn a_batch_leaves_a_fair_share_and_shrinks_to_one_at_the_end() {
    let server = Server::new();
    let taskset = written(&server, &many(13));
    let mut first = Player::join(&server, &taskset, 1);
    let mut second = Player::join(&server, &taskset, 2);
    // Twelve are left after the first: each of two slaves may have six, half of them at once.
    assert_eq!(files(&first.take(16)), names(0..4));
    assert_eq!(files(&second.take(16)), names(4..7));
    assert_eq!(taskset.list("task_queue"), names(7..13));
    for player in [&mut first, &mut second] {
        let hand = player.take(16);
        player.pass(&hand, 0);
    }
    assert_eq!(files(&first.take(16)), names(7..9));
    assert_eq!(files(&second.take(16)), names(9..10));
}

#[test]
fn a_long_or_requeued_task_is_never_batched() {
    let server = Server::new();
    let taskset = written(&server, &many(40));
    server.hset(&taskset.task("t01"), "estimate_sec", "1");
    server.hset(&taskset.task("t03"), "estimate_sec", "2");
    server.hset(&taskset.task("t06"), "queued", "1");
    let mut player = Player::join(&server, &taskset, 1);
    for expected in [0..3, 3..4, 4..6, 6..7, 7..23] {
        let hand = player.take(16);
        assert_eq!(files(&hand), names(expected));
        player.pass(&hand, 0);
    }
}

#[test]
fn a_copy_of_a_task_is_never_in_the_same_batch() {
    let server = Server::new();
    let taskset = written(&server, &many(20));
    for _ in 0..3 {
        let queue = taskset.list_key("task_queue");
        server.run::<i64>(&["LPUSH", &queue, &taskset.task("t00")]);
    }
    let mut player = Player::join(&server, &taskset, 1);
    let hand = player.take(8);
    assert_eq!(files(&hand), ["t00"]);
    player.pass(&hand, 0);
    drain(&server, "rrr-arbiter");
    assert_eq!(files(&player.take(8)), names(1..9));
}

#[test]
fn q2_repeated_calls_about_a_batch_change_nothing() {
    let server = Server::new();
    let taskset = written(&server, &many(40));
    let mut player = Player::join(&server, &taskset, 1);
    let hand = player.take(4);
    assert_eq!(format!("{hand:?}"), format!("{:?}", player.take(4)));
    player.pass(&hand[..2], 0);
    assert_eq!(files(&player.take(4)), names(2..4));
    player.release(Some(&hand[2]), &hand[3..]);
    let before = dump::lines(&server.dump_keys());
    player.release(Some(&hand[2]), &hand[3..]);
    assert_eq!(dump::lines(&server.dump_keys()), before);
    let (_, next) = player.pass(&hand[2..3], 4);
    assert_eq!(files(&next), ["t03"]);
    // An old, delayed call does not affect the new trial of the task.
    let before = dump::lines(&server.dump_keys());
    player.release(Some(&hand[2]), &hand[3..]);
    let (counted, same) = player.pass(&hand[2..3], 4);
    assert_eq!(counted, [true]);
    assert_eq!(format!("{next:?}"), format!("{same:?}"));
    assert_eq!(dump::lines(&server.dump_keys()), before);
    drain(&server, "rrr-arbiter");
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn unstarted_tasks_of_a_dead_slave_are_released_without_a_trace() {
    let server = Server::new();
    let taskset = written(&server, &many(40));
    let mut player = Player::join(&server, &taskset, 1);
    let hand = player.take(4);
    assert!(player.die());
    let queue = taskset.list("task_queue");
    assert_eq!(queue[..4], ["t01", "t02", "t03", "t04"]);
    for job in &hand[1..] {
        let task = taskset.task(&job.spec_file);
        assert_eq!(server.list(&format!("{task}:trial")), [""; 0]);
        assert_eq!(server.run::<i64>(&["EXISTS", job.trial.as_str()]), 0);
    }
    // The trial may have finished before: the cause of the death is unknown, so it does not count.
    let first = hand[0].trial.as_str();
    assert_eq!(server.hget(first, "status").as_deref(), Some("error"));
    assert_eq!(server.hget(first, "stopped").as_deref(), Some("it died"));
    drain(&server, "rrr-arbiter");
    let queue = taskset.list("task_queue");
    assert_eq!((queue.len(), &*queue[0]), (40, "t00"));
    let (counted, next) = player.pass(&hand, 4);
    assert_eq!((counted, next.len()), (vec![false; 4], 0));
    let mut other = Player::join(&server, &taskset, 2);
    for name in many(4) {
        let alone = other.take(16);
        assert_eq!(files(&alone), [name]);
        other.pass(&alone, 0);
    }
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.counts(), (4, 0));
    assert_eq!(taskset.get("flaky_count"), None);
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn the_single_trial_of_a_dead_slave_counts() {
    let server = Server::new();
    let taskset = written(&server, &many(40)).set("max_trials", "1");
    let mut player = Player::join(&server, &taskset, 1);
    let hand = player.take(4);
    player.pass(&hand[..1], 0);
    player.release(Some(&hand[1]), &hand[2..]);
    assert!(player.die());
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.counts(), (1, 1));
}

#[test]
fn a_trial_that_its_dead_slave_never_received_does_not_count() {
    let server = Server::new();
    let taskset = written(&server, &many(2)).set("max_trials", "1");
    for (number, begun, counts) in [(1, "", (0, 0)), (2, "another", (0, 0)), (3, "this", (0, 1))] {
        let mut player = Player::join(&server, &taskset, number);
        let job = player.take(1).remove(0);
        assert_eq!(job.spec_file, "t00");
        let begun = if begun == "this" {
            job.trial.as_str()
        } else {
            begun
        };
        let (store, key) = (&mut player.store, &player.key);
        assert!(
            slave::bury(store, &player.taskset, key, "it died", Some(begun))
                .unwrap()
                .value
        );
        drain(&server, "rrr-arbiter");
        assert_eq!(taskset.counts(), counts, "{begun}");
    }
}

#[test]
fn q2_a_call_delayed_until_its_trial_failed_lists_it_once() {
    let server = Server::new();
    let proxy = Proxy::start(&server);
    let taskset = written(&server, &many(2)).set("max_trials", "2");
    let mut player = Player::join(&server, &taskset, 1);
    player.store = rrr::cli::redis_args::RedisArgs::at(proxy.url())
        .connect()
        .unwrap();
    let job = player.take(1).remove(0);
    let trial = job.trial.to_string();
    let id = trial.rsplit(':').next().unwrap();
    server.hset(&trial, "status", "failed");
    server.tell_arbiter(format!("trial\t{trial}"));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.list("task_queue"), ["t00", "t01"]);
    let ended: Vec<String> = server.run(&["HGETALL", &trial]);
    // Repeats the call by its digest, as a network would deliver it.
    let seen = proxy.transcript();
    let call = seen
        .iter()
        .rev()
        .find(|seen| seen.name.starts_with("EVALSHA"));
    let sha = call.expect("a call of a script").args[0].clone();
    let (taskset_key, slave) = (taskset.key.as_str(), player.key.as_str());
    for _ in 0..2 {
        let queue = "rrrspec:arbiter_queue";
        let now = "2013-07-11 15:43:36 +0900";
        let call = [
            "EVALSHA",
            &sha,
            "3",
            taskset_key,
            slave,
            queue,
            id,
            now,
            "1",
            "1",
            "0",
        ];
        let answer: Vec<String> = server.run(&call);
        assert_eq!(answer, ["skip"]);
    }
    assert_eq!(
        server.list(&format!("{}:trial", taskset.task("t00"))),
        [trial.as_str()]
    );
    let now: Vec<String> = server.run(&["HGETALL", &trial]);
    assert_eq!(now, ended, "a trial that has ended does not change");
    assert_eq!(taskset.list("task_queue"), ["t00", "t01"]);
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn a_lost_batch_is_found_and_each_task_requeued_once() {
    let server = Server::new();
    let taskset = written(&server, &many(4));
    let mut player = Player::join(&server, &taskset, 1);
    // As if there were many more.
    let queue = taskset.list_key("task_queue");
    for _ in 0..20 {
        server.push(&queue, "x");
    }
    assert_eq!(files(&player.take(4)), many(4));
    server.run::<i64>(&["DEL", &queue]);
    server.run::<i64>(&["DEL", "rrrspec:worker:w:slave:1:heartbeat"]);
    let keys: Vec<_> = many(4)
        .iter()
        .rev()
        .map(|name| taskset.task(name).parse().unwrap())
        .collect();
    for order in [0, 2] {
        let mut lost = keys.clone();
        lost.rotate_left(order);
        let _ = rrr::entity::taskset::recover(&mut player.store, &player.taskset, &lost).unwrap();
    }
    drain(&server, "rrr-arbiter");
    let mut queue = taskset.list("task_queue");
    queue.sort();
    assert_eq!(queue, many(4));
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn a_batch_of_a_cancelled_taskset_leaves_nothing() {
    let server = Server::new();
    let taskset = written(&server, &many(40));
    let mut player = Player::join(&server, &taskset, 1);
    let hand = player.take(4);
    server.tell_arbiter(format!("cancel\t{}", taskset.key));
    drain(&server, "rrr-arbiter");
    player.pass(&hand[..2], 0);
    player.release(None, &hand[2..]);
    assert_eq!(taskset.list("task_queue"), [""; 0]);
    assert_eq!(
        server.hget(hand[1].trial.as_str(), "status").as_deref(),
        Some("passed")
    );
    assert_eq!(server.run::<i64>(&["EXISTS", hand[2].trial.as_str()]), 0);
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn no_task_waits_in_the_batch_of_a_slave_with_a_slow_test() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    // It ends after all others: if one of them were in the same batch, neither would end.
    let waits = "until [ -e go ]; do sleep 0.02; done";
    suite
        .many(40, "exit 0")
        .file("slow.sh", waits)
        .many(80, "exit 0");
    let submitter = submit(&server, &suite, &[]);
    let submitted = submitter.wait_for_event("taskset_submitted", PATIENCE);
    let key = submitted["taskset"].as_str().unwrap();
    eventually(PATIENCE, "all but one", || {
        (server.hget(key, "succeeded_count")? == "80").then_some(())
    });
    suite.file("go", "");
    let done = submitter.wait(PATIENCE).expect_code(0);
    assert_eq!(done.receipt().flaky, 0);
    for name in ["trial_started", "trial_finished", "task_finished"] {
        assert_eq!(done.events_named(name).len(), 81, "{name}");
    }
}

#[test]
fn a_test_that_kills_its_slave_among_fast_ones_fails_alone() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    let kills = "kill -9 $PPID";
    suite
        .many(40, "exit 0")
        .file("kills.sh", kills)
        .many(80, "exit 0");
    let done = submit(&server, &suite, &["--max-trials", "2"]).wait(PATIENCE);
    let receipt = done.expect_code(1).receipt();
    let counts = [receipt.succeeded, receipt.failed, receipt.flaky];
    assert_eq!(counts, [80, 1, 0]);
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn q2_an_invalid_queue_entry_displaces_no_task() {
    let server = Server::new();
    let taskset = written(&server, &many(20));
    let queue = taskset.list_key("task_queue");
    let strange = taskset.task("strange");
    server.run::<i64>(&["RPUSH", &strange, "no hash"]);
    for _ in 0..2 {
        server.run::<i64>(&["LPUSH", &queue, &strange]);
    }
    server.run::<i64>(&["LINSERT", &queue, "BEFORE", &taskset.task("t03"), &strange]);
    let mut player = Player::join(&server, &taskset, 1);
    for expected in [0..3, 3..11] {
        let hand = player.take(8);
        assert_eq!(files(&hand), names(expected));
        player.pass(&hand, 0);
    }
}

#[test]
fn a_batch_of_a_departed_slave_is_not_a_trial_of_its_tasks() {
    let server = Server::new();
    let taskset = written(&server, &many(4)).set("max_trials", "1");
    let mut player = Player::join(&server, &taskset, 1);
    // A delayed call reserves tasks for a slave that is leaving.
    let taken = player.take(1);
    assert_eq!(files(&taken), many(1));
    let status = SlaveStatus::NormalExit;
    slave::exit(&mut player.store, &player.taskset, &player.key, status).unwrap();
    server.run::<i64>(&["DEL", &taskset.list_key("task_queue")]);
    let lost: Vec<_> = many(4)
        .iter()
        .map(|name| taskset.task(name).parse().unwrap())
        .collect();
    let _ = rrr::entity::taskset::recover(&mut player.store, &player.taskset, &lost).unwrap();
    assert_eq!(taskset.counts(), (0, 0));
    let mut queue = taskset.list("task_queue");
    queue.sort();
    assert_eq!(queue, many(4));
}
