//! Many slaves in one process: each calls the real transitions over connections of its own, from two
//! threads as rrr-slave does, but what it tries takes no time.

use rrr::cli::redis_args::RedisArgs;
use rrr::entity::{reservation, wake};
use rrr::protocol::result::TrialResult;
use rrr::protocol::status::TrialStatus;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rrr::cli::main;
use rrr::entity::heartbeat::Heartbeat;
use rrr::entity::reservation::{Done, Next};
use rrr::entity::wake::Wake;
use rrr::entity::{slave, trial};
use rrr::protocol::job::Job;
use rrr::protocol::key::{SlaveKey, TasksetKey};
use rrr::protocol::status::SlaveStatus;
use rrr::store::Store;

use super::server::Address;
use super::wait::{PATIENCE, eventually};

/// A thread of a slave needs little, and there are many.
const STACK: usize = 256 << 10;

/// Time after which a slave looks for work without a word, as rrr-slave does.
const LOOK: Duration = Duration::from_secs(2);

/// The trial of `job`, passed without being made.
pub fn passed(slave: &SlaveKey, job: Job) -> Done {
    let mut result = TrialResult::error("");
    result.set_status_alone(TrialStatus::Passed);
    Done::new(slave, job, result)
}

/// Slaves that work until their taskset is over.
pub struct Crowd {
    shared: Arc<Shared>,
    members: Vec<Arc<Member>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    joined: AtomicUsize,
    /// Slaves that have a task on hand, or ask for one.
    busy: AtomicUsize,
    held: AtomicBool,
    over: AtomicBool,
}

impl Crowd {
    /// So many slaves for a running taskset, as if of workers with a hundred each; returns when all
    /// have joined, and have begun.
    #[track_caller]
    pub fn start(redis: &(impl Address + ?Sized), taskset: &str, slaves: usize) -> Self {
        let shared = Arc::new(Shared::default());
        shared.held.store(true, Ordering::SeqCst);
        let members: Vec<_> = (0..slaves)
            .map(|number| {
                let key = format!("rrrspec:worker:w{}:slave:{number}-crowd", number / 100);
                Arc::new(Member {
                    url: redis.redis_url(),
                    taskset: taskset.parse().expect("the key of a taskset"),
                    key: key.parse().expect("the key of a slave"),
                    shared: shared.clone(),
                    work: Mutex::default(),
                    news: Condvar::new(),
                })
            })
            .collect();
        let begin = |member: &Arc<Member>| {
            let member = member.clone();
            spawn(move || member.live())
        };
        let crowd = Self {
            threads: members.iter().map(begin).collect(),
            shared,
            members,
        };
        eventually(PATIENCE, "all slaves have joined", || {
            assert!(!crowd.threads.iter().any(JoinHandle::is_finished));
            (crowd.shared.joined.load(Ordering::SeqCst) == slaves).then_some(())
        });
        crowd.release();
        crowd
    }

    /// Lets no slave take another task; returns when none has one on hand.
    #[track_caller]
    pub fn hold(&self) {
        self.shared.held.store(true, Ordering::SeqCst);
        eventually(PATIENCE, "no slave has a task", || {
            (self.shared.busy.load(Ordering::SeqCst) == 0).then_some(())
        });
    }

    /// Lets them go on.
    pub fn release(&self) {
        self.shared.held.store(false, Ordering::SeqCst);
        self.members.iter().for_each(|member| member.wake());
    }

    /// Waits until the taskset is over and all have left.
    #[track_caller]
    pub fn wait(self) {
        for thread in self.threads {
            thread.join().expect("a slave of the crowd");
        }
    }
}

struct Member {
    url: String,
    taskset: TasksetKey,
    key: SlaveKey,
    shared: Arc<Shared>,
    /// How often it was told that there may be work.
    work: Mutex<u64>,
    news: Condvar,
}

impl Member {
    fn connect(&self) -> Store {
        let redis = RedisArgs::at(self.url.clone());
        let mut store = redis.connect().expect("a connection");
        store.set_patience(PATIENCE);
        store
    }

    fn wake(&self) {
        *self.work.lock().unwrap() += 1;
        self.news.notify_one();
    }

    fn live(self: &Arc<Self>) {
        let mut store = self.connect();
        let heartbeat = Heartbeat::default();
        let state = slave::join(&mut store, &self.taskset, &self.key, &heartbeat).expect("join");
        assert_eq!(state, None, "the taskset is not running");
        let other = self.clone();
        let pulse = spawn(move || other.beat_and_listen());
        self.shared.joined.fetch_add(1, Ordering::SeqCst);
        let mut seen = 0;
        while self.wait_for_work(&mut seen) {
            self.work(&mut store);
            self.shared.busy.fetch_sub(1, Ordering::SeqCst);
        }
        let exit = slave::exit(
            &mut store,
            &self.taskset,
            &self.key,
            SlaveStatus::NormalExit,
        );
        exit.expect("exit");
        pulse.join().expect("the second thread of a slave");
    }

    /// Waits until there may be a task, and is busy then; false when the taskset is over.
    fn wait_for_work(&self, seen: &mut u64) -> bool {
        let mut work = self.work.lock().unwrap();
        let mut late = false;
        while !self.shared.over.load(Ordering::SeqCst) {
            // Busy first: who holds the crowd sees either this, or that nothing is taken.
            self.shared.busy.fetch_add(1, Ordering::SeqCst);
            if !self.shared.held.load(Ordering::SeqCst) && (late || *work != *seen) {
                *seen = *work;
                return true;
            }
            self.shared.busy.fetch_sub(1, Ordering::SeqCst);
            let (told, timeout) = self.news.wait_timeout(work, LOOK).unwrap();
            (work, late) = (told, timeout.timed_out());
        }
        false
    }

    /// Passes one task after the other, until there is none.
    fn work(&self, store: &mut Store) {
        let (taskset, key) = (&self.taskset, &self.key);
        let mut next = reservation::reserve(store, taskset, key, 1, true, true);
        while let Next::Run(jobs) = next.expect("an answer") {
            let done: Vec<Done> = jobs.into_iter().map(|job| passed(key, job)).collect();
            let most = usize::from(!self.shared.held.load(Ordering::SeqCst));
            let told = reservation::finish(store, taskset, key, &done, most);
            let (counted, after) = told.expect("an answer");
            assert!(!counted.contains(&false), "{done:?} came too late");
            next = Ok(after);
        }
    }

    fn beat_and_listen(&self) {
        let heartbeat = Heartbeat::default();
        let mut store = self.connect();
        let mut after = "0-0".to_owned();
        let mut last_beat = Instant::now();
        while !self.shared.over.load(Ordering::SeqCst) {
            if last_beat.elapsed() >= heartbeat.beat() {
                let lives = slave::beat(&mut store, &self.key, &heartbeat).expect("an answer");
                assert!(lives, "{} was declared dead", self.key);
                last_beat = Instant::now();
            }
            let wait = heartbeat.listen().as_millis() as u64;
            let wakes = wake::wakes(&mut store, &self.taskset, &mut after, wait);
            for wake in wakes.expect("an answer") {
                if let Wake::Over(_) = wake {
                    self.shared.over.store(true, Ordering::SeqCst);
                }
                self.wake();
            }
        }
        self.wake();
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(work).expect("a thread")
}
