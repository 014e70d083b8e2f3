//! A Redis, a log folder, a database, and tasksets to persist.

use crate::harness::*;
use rr::{Database, Document, LogDir, TasksetKey};
use std::path::PathBuf;

/// Short names for the library's items.
pub mod rr {
    pub use rrr::archive::db::{Database, Url, number, text};
    pub use rrr::archive::document::{Bytes, Document, gather};
    pub use rrr::archive::history;
    pub use rrr::archive::log_dir::LogDir;
    pub use rrr::cli::redis_args::RedisArgs;
    pub use rrr::protocol::key::TasksetKey;
    pub use rrr::store::Store;
}

pub struct Bench {
    pub server: Server,
    pub postgres: Option<postgres::Postgres>,
}

impl Bench {
    /// A bench with SQLite.
    pub fn sqlite() -> Self {
        Self {
            server: Server::new(),
            postgres: None,
        }
    }

    /// A bench with PostgreSQL.
    pub fn postgres() -> Self {
        Self {
            server: Server::new(),
            postgres: Some(postgres::Postgres::start()),
        }
    }

    /// One bench per kind of database.
    pub fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres()]
    }

    pub fn url(&self) -> String {
        let path = self.server.folder().join("history.db");
        let sqlite = format!("sqlite:{}", path.display());
        self.postgres.as_ref().map_or(sqlite, |p| p.url())
    }

    pub fn log_dir(&self) -> PathBuf {
        self.server.folder().join("documents")
    }

    pub fn tool(&self, name: &str) -> Tool {
        Tool::new(&self.server, name)
            .env("RRR_DB", self.url())
            .env("RRR_LOG_DIR", self.log_dir())
    }

    pub fn persister(&self) -> Tool {
        self.tool("rrr-persist")
    }

    /// Persists all queued tasksets, expecting success.
    #[track_caller]
    pub fn drain(&self) -> Finished {
        let finished = self.persister().arg("--drain").run();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished
    }

    pub fn store(&self) -> rr::Store {
        rr::RedisArgs::at(self.server.url()).connect().unwrap()
    }

    pub fn db(&self) -> Database {
        rr::Url::new(self.url()).unwrap().open().unwrap()
    }

    pub fn count(&self, table: &str) -> i64 {
        let rows = self
            .db()
            .rows(&format!("SELECT count(*) FROM {table}"), &[]);
        rr::number(&rows.unwrap()[0][0])
    }

    /// The record in the database, and its missing parts.
    pub fn load(&self, key: &str) -> Option<(Document, Option<String>)> {
        let key: TasksetKey = key.parse().unwrap();
        rr::history::load(&mut self.db(), &LogDir::at(self.log_dir()), &key).unwrap()
    }

    /// The record in Redis.
    pub fn gather(&self, key: &str) -> Document {
        let key: TasksetKey = key.parse().unwrap();
        rr::gather(&mut self.store(), &key).unwrap().unwrap()
    }

    /// The names of the files in the log folder that belong to records.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.log_dir()).into_iter().flatten();
        let names = entries
            .flatten()
            .map(|e| e.file_name().into_string().unwrap());
        names.filter(|name| name != ".drain.lock").collect()
    }

    /// Queues a finished taskset with every oddity that the protocol allows.
    pub fn strange(&self, id: &str) -> String {
        let spec = ["a b.rb", "tab.rb", "ü/x'y.rb", "never.rb"];
        let taskset = self.ended(id, &spec, "failed");
        let mut conn = self.server.conn();
        let first = taskset.finish_trial(spec[0], "1", "passed");
        let second = taskset.finish_trial(spec[1], "1", "failed");
        let third = taskset.finish_trial(spec[1], "2", "timeout");
        taskset.start_trial(spec[2], "1", "rrrspec:worker:v:slave:2");
        for (key, field, value) in [
            (&first, "stdout", &b"plain\n"[..]),
            (&first, "duration_ms", b"1234"),
            (&first, "passed", b"3"),
            (&second, "stdout", b"\x00\xff\xfe\x1b[31m\\N\t\r\n\"'"),
            (&second, "stderr", b"\\."),
            (&second, "exit_code", b"1"),
            (&second, "late_status", b"passed"),
            (&second, "examples", br#"[{"id":"x[1]","name":"a\tb\\c\u0000d","file":null,"line":7,"status":"failed","duration_ms":3,"message":"no\nluck"}]"#),
            (&third, "failed", b"007"),
            (&third, "examples", b"not json"),
            (&third, "strange", b"\xff"),
            (&taskset.key, "fail_reason", b"nul \x00 inside"),
            (&taskset.key, "setup_command", b"echo 'a\tb' \\\\ \n"),
            (&taskset.key, "ours", b"too"),
        ] {
            let mut cmd = redis::cmd("HSET");
            cmd.arg(key).arg(field).arg(value).exec(&mut conn).unwrap();
        }
        for slave in ["rrrspec:worker:w:slave:1", "rrrspec:worker:v:slave:2"] {
            taskset.join_slave(slave, false);
            self.server.hset(slave, "status", "normal_exit");
        }
        let log = "rrrspec:worker:w:slave:1:log";
        let mut cmd = redis::cmd("SET");
        cmd.arg(log)
            .arg(&b"log \xc3\x28"[..])
            .exec(&mut conn)
            .unwrap();
        let log = format!("{}:worker_log:rrrspec:worker:w", taskset.key);
        self.server.push(&taskset.list_key("worker_log"), &log);
        for (field, value) in [("worker", "rrrspec:worker:w"), ("finished_at", "x")] {
            self.server.hset(&log, field, value);
        }
        taskset.key
    }

    /// Queues a taskset that has finished now.
    pub fn ended<'a>(&'a self, id: &str, files: &[&str], status: &str) -> raw::Taskset<'a> {
        self.ended_at(id, files, status, &rrr::protocol::time::now())
    }

    /// Queues a taskset that finished at this time.
    pub fn ended_at<'a>(
        &'a self,
        id: &str,
        files: &[&str],
        status: &str,
        at: &str,
    ) -> raw::Taskset<'a> {
        let taskset = raw::taskset(&self.server, id, files)
            .set("status", status)
            .set("finished_at", at);
        self.server.push("rrrspec:persister_queue", &taskset.key);
        taskset
    }

    /// Gives the task of `file` this verdict after trials of these statuses, milliseconds and
    /// workers.
    pub fn tried(&self, of: &raw::Taskset, file: &str, status: &str, tries: &[(&str, u64, &str)]) {
        for (at, (status, ms, worker)) in tries.iter().enumerate() {
            let trial = of.finish_trial(file, &at.to_string(), status);
            self.server.hset(&trial, "duration_ms", &ms.to_string());
            let slave = format!("rrrspec:worker:{worker}:slave:1");
            self.server.hset(&trial, "slave", &slave);
        }
        self.server.hset(&of.task(file), "status", status);
    }
}
