//! Tasksets, trials, slaves and workers written as PROTOCOL.txt defines them, as another
//! implementation would write them: no rrr extensions, scripts or wrappers.

use redis::{FromRedisValue, ToRedisArgs};

use crate::harness::server::Server;

/// The time of every worker log and trial.
const THEN: &str = "2013-07-11 15:43:36 +0900";

/// A taskset written by a test. The methods read and write its keys.
pub struct Taskset<'a> {
    server: &'a Server,
    /// The key of the taskset.
    pub key: String,
}

/// Writes a taskset with these spec files that is not announced yet: at most two trials per task,
/// three workers, and the slave command `rrr-slave -- true`.
pub fn taskset<'a>(server: &'a Server, id: &str, files: &[&str]) -> Taskset<'a> {
    let key = format!("rrrspec:taskset:{id}");
    let taskset = Taskset { server, key };
    let fields = [
        ("rsync_name", "me"),
        ("setup_command", "true"),
        ("slave_command", "rrr-slave -- true"),
        ("worker_type", "default"),
        ("max_workers", "3"),
        ("max_trials", "2"),
        ("taskset_class", "default"),
        ("unknown_spec_timeout_sec", "300"),
        ("least_timeout_sec", "30"),
        ("created_at", THEN),
        ("succeeded_count", "0"),
        ("failed_count", "0"),
    ];
    let mut pipe = redis::pipe();
    pipe.cmd("HSET").arg(&taskset.key).arg(&fields[..]);
    for file in files {
        let task = taskset.task(file);
        let fields = [("taskset", &*taskset.key), ("spec_file", file)];
        pipe.cmd("HSET").arg(&task).arg(&fields[..]);
        for list in ["tasks", "tasks_left", "task_queue"] {
            pipe.cmd("RPUSH").arg(taskset.list_key(list)).arg(&task);
        }
    }
    pipe.exec(&mut server.conn()).expect("a taskset by hand");
    taskset
}

impl Taskset<'_> {
    /// Sets fields of the taskset's hash.
    pub fn set(self, field: &str, value: &str) -> Self {
        self.server.hset(&self.key, field, value);
        self
    }

    /// Makes the taskset active and notifies the dispatcher.
    pub fn submitted(self) -> Self {
        self.server.push("rrrspec:active_taskset", &self.key);
        self.server.push("rrrspec:dispatcher_queue", "0");
        self
    }

    /// As [`Taskset::submitted`], and already assigned to a worker.
    pub fn running(self) -> Self {
        self.set("status", "running").submitted()
    }

    /// A field of the taskset's hash.
    pub fn get(&self, field: &str) -> Option<String> {
        self.server.hget(&self.key, field)
    }

    /// The status, `None` while waiting for a worker.
    pub fn status(&self) -> Option<String> {
        self.get("status")
    }

    /// The counts of succeeded and failed tasks.
    pub fn counts(&self) -> (u64, u64) {
        let count = |field| self.get(field).map_or(0, |text| text.parse().unwrap());
        (count("succeeded_count"), count("failed_count"))
    }

    /// The key of the task of `file`.
    pub fn task(&self, file: &str) -> String {
        format!("{}:task:{file}", self.key)
    }

    /// The key of the list `name`: `tasks`, `tasks_left`, `task_queue`, `slave`, `worker_log`.
    pub fn list_key(&self, name: &str) -> String {
        format!("{}:{name}", self.key)
    }

    /// The entries of that list, with tasks of this taskset as spec files.
    pub fn list(&self, name: &str) -> Vec<String> {
        let prefix = self.task("");
        let entries = self.server.list(&self.list_key(name));
        let short = |entry: String| entry.strip_prefix(&prefix).unwrap_or(&entry).to_owned();
        entries.into_iter().map(short).collect()
    }

    /// Reserves the task of `file` for a slave and starts a trial.
    pub fn start_trial(&self, file: &str, id: &str, slave: &str) -> String {
        let task = self.task(file);
        let trial = format!("{task}:trial:{id}");
        let fields = [("task", &*task), ("slave", slave), ("started_at", THEN)];
        redis::pipe()
            .cmd("LREM")
            .arg(self.list_key("task_queue"))
            .arg(1)
            .arg(&task)
            .cmd("HSET")
            .arg(&trial)
            .arg(&fields[..])
            .cmd("RPUSH")
            .arg(format!("{task}:trial"))
            .arg(&trial)
            .cmd("RPUSH")
            .arg(format!("{slave}:trial"))
            .arg(&trial)
            .exec(&mut self.server.conn())
            .expect("a trial by hand");
        trial
    }

    /// As [`Taskset::start_trial`], and finishes the trial with `status`. The arbiter is not
    /// notified: see [`Server::tell_arbiter`].
    pub fn finish_trial(&self, file: &str, id: &str, status: &str) -> String {
        let trial = self.start_trial(file, id, "rrrspec:worker:w:slave:1");
        let fields = [("status", status), ("finished_at", THEN)];
        self.server
            .ask::<()>("HSET", &[trial.as_bytes()], &fields[..]);
        trial
    }

    /// Adds a slave to the taskset, with a heartbeat if `alive`.
    pub fn join_slave(&self, slave: &str, alive: bool) {
        self.server.push(&self.list_key("slave"), slave);
        if alive {
            self.server.set_heartbeat(slave);
        }
    }
}

impl Server {
    /// Registers an idle worker of the type `default`, with a heartbeat.
    pub fn add_worker(&self, id: &str) -> String {
        let key = format!("rrrspec:worker:{id}");
        self.hset(&key, "worker_type", "default");
        self.ask::<()>("SADD", &[b"rrrspec:worker"], &key);
        self.set_heartbeat(&key);
        key
    }

    /// Sets a heartbeat of a worker or slave that expires in 15 s.
    pub fn set_heartbeat(&self, key: &str) {
        let key = format!("{key}:heartbeat");
        self.ask::<()>("SET", &[key.as_bytes(), b"alive", b"EX"], "15");
    }

    /// Appends a message of any bytes to the arbiter's queue.
    pub fn tell_arbiter(&self, message: impl AsRef<[u8]>) {
        self.push("rrrspec:arbiter_queue", message.as_ref());
    }

    /// A field of a hash.
    pub fn hget(&self, key: &str, field: &str) -> Option<String> {
        self.ask("HGET", &[key.as_bytes()], field)
    }

    /// Sets a field of a hash.
    pub fn hset(&self, key: &str, field: &str, value: &str) {
        self.ask::<()>("HSET", &[key.as_bytes(), field.as_bytes()], value);
    }

    /// Appends to a list.
    pub fn push(&self, key: &str, entry: impl ToRedisArgs) {
        self.ask::<()>("RPUSH", &[key.as_bytes()], entry);
    }

    /// All entries of a list.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.ask("LRANGE", &[key.as_bytes(), b"0"], -1)
    }

    fn ask<T: FromRedisValue>(&self, command: &str, words: &[&[u8]], last: impl ToRedisArgs) -> T {
        let mut asking = redis::cmd(command);
        let result = asking.arg(words).arg(last).query(&mut self.conn());
        result.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}
