//! A real redis-server of its own for each test, and the real binaries beside it. Everything is
//! killed on drop; waits have a bound.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub folder: tempfile::TempDir,
    children: Vec<Child>,
}

pub fn bin(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_rrr-submit")).with_file_name(name)
}

impl Bench {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(settings: &[&str]) -> Self {
        let mut bench = Self {
            folder: tempfile::tempdir().unwrap(),
            children: Vec::new(),
        };
        let socket = bench.path("redis.sock");
        let mut server = Command::new("redis-server");
        server
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(&socket)
            .arg("--dir")
            .arg(bench.folder.path())
            .args(settings)
            .stdout(Stdio::null());
        bench
            .children
            .push(server.spawn().expect("redis-server is installed"));
        until("redis-server to answer", || {
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.path("redis.sock").display())
    }

    pub fn conn(&self) -> redis::Connection {
        redis::Client::open(self.url())
            .unwrap()
            .get_connection()
            .unwrap()
    }

    /// A folder `suite` with these spec files.
    pub fn suite(&self, files: &[(&str, &str)]) -> PathBuf {
        let suite = self.path("suite");
        std::fs::create_dir_all(&suite).unwrap();
        for (name, text) in files {
            std::fs::write(suite.join(name), text).unwrap();
        }
        suite
    }

    pub fn tool(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(bin(name));
        command
            .args(args)
            .env("RRR_REDIS_URL", self.url())
            .env_remove("REDIS_URL")
            .stdin(Stdio::null());
        command
    }

    /// Starts a daemon; returns its place for [`Bench::kill`].
    pub fn start(&mut self, name: &str, args: &[&str]) -> usize {
        let mut command = self.tool(name, args);
        self.children
            .push(command.stdout(Stdio::null()).spawn().unwrap());
        self.children.len() - 1
    }

    pub fn kill(&mut self, place: usize) {
        self.children[place].kill().unwrap();
        self.children[place].wait().unwrap();
    }

    /// Arbiter, dispatcher, and a worker `w` with two slaves in the folder `suite`.
    pub fn roles(&mut self, slaves: &str) -> usize {
        let suite = self.suite(&[]);
        self.start("rrr-arbiter", &[]);
        self.start("rrr-dispatch", &[]);
        let place = suite.to_str().unwrap().to_owned();
        self.start(
            "rrr-worker",
            &["--worker-id", "w", "--slaves", slaves, "--in-place", &place],
        )
    }

    /// Runs a tool to its end.
    pub fn run(&self, name: &str, args: &[&str]) -> Output {
        finish(self.tool(name, args))
    }

    /// Submits files of the suite and follows them to the end.
    pub fn submit(&self, args: &[&str]) -> Output {
        let mut all = vec!["--no-rsync", "--follow"];
        all.extend(args);
        self.run("rrr-submit", &all)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a tool's end, a minute at most.
pub fn finish(mut command: Command) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let readers = [
        std::thread::spawn(move || read(stdout)),
        std::thread::spawn(move || read(stderr)),
    ];
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("process {pid} did not end: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let [stdout, stderr] = readers.map(|reader| reader.join().unwrap());
    Output {
        status,
        stdout,
        stderr,
    }
}

fn read(mut pipe: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The last event that was printed.
pub fn receipt(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .last()
        .unwrap_or_else(|| panic!("no event: {output:?}"));
    serde_json::from_str(line).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until `condition` gives something, a minute at most.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A taskset written by the protocol alone, running, with these tasks.
pub fn by_hand(
    conn: &mut redis::Connection,
    id: &str,
    tasks: &[&str],
    slave: &str,
    status: &str,
) -> String {
    let taskset = format!("rrrspec:taskset:{id}");
    let mut pipe = redis::pipe();
    pipe.cmd("HSET").arg(&taskset);
    for (field, value) in [
        ("rsync_name", "me"),
        ("setup_command", "true"),
        ("slave_command", slave),
        ("worker_type", "default"),
        ("max_workers", "3"),
        ("max_trials", "2"),
        ("taskset_class", "default"),
        ("unknown_spec_timeout_sec", "300"),
        ("least_timeout_sec", "30"),
        ("created_at", "2013-07-11 15:43:36 +0900"),
    ] {
        pipe.arg(field).arg(value);
    }
    if !status.is_empty() {
        pipe.arg("status").arg(status);
    }
    for task in tasks {
        let key = format!("{taskset}:task:{task}");
        pipe.cmd("HSET")
            .arg(&key)
            .arg("taskset")
            .arg(&taskset)
            .arg("spec_file")
            .arg(task);
        for list in ["tasks", "tasks_left", "task_queue"] {
            pipe.cmd("RPUSH").arg(format!("{taskset}:{list}")).arg(&key);
        }
    }
    pipe.cmd("RPUSH")
        .arg("rrrspec:active_taskset")
        .arg(&taskset);
    pipe.cmd("RPUSH").arg("rrrspec:dispatcher_queue").arg("0");
    pipe.exec(conn).unwrap();
    taskset
}

pub fn field(conn: &mut redis::Connection, key: &str, field: &str) -> Option<String> {
    redis::cmd("HGET").arg(key).arg(field).query(conn).unwrap()
}
