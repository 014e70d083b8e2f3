//! A real redis-server for one test, with its own folder and Unix socket, removed with the test.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::handle::die_with_the_test;
use crate::harness::redis_mode::{self, RedisMode};
use crate::harness::wait::{PATIENCE, eventually};

/// An address for tools: a [`Server`], a [`Proxy`](crate::harness::Proxy), or a URL as text.
pub trait Address {
    /// The URL, with the password if there is one.
    fn redis_url(&self) -> String;
}

impl Address for str {
    fn redis_url(&self) -> String {
        self.to_owned()
    }
}

impl Address for String {
    fn redis_url(&self) -> String {
        self.clone()
    }
}

/// Settings of a [`Server`] to start.
#[derive(Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    password: Option<String>,
    tcp: bool,
}

impl Options {
    /// Adds a setting of redis.conf, overriding the default.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the data across [`Server::kill`] and [`Server::restart`]: every write is on disk
    /// before its reply (by default a busy server may delay it for up to two seconds).
    pub fn append_only(self) -> Self {
        self.set("appendonly", "yes").set("appendfsync", "always")
    }

    /// Requires `password` of every client; [`Server::url`] includes it.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", password)
    }

    /// Also listens on a free port of 127.0.0.1.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Server {
        let folder = tempfile::Builder::new().prefix("rrr-redis.").tempdir();
        let server = Server {
            folder: folder.expect("a temporary folder"),
            port: if self.tcp { free_port() } else { 0 },
            tls_port: free_port(),
            options: self,
            child: Mutex::new(None),
        };
        assert!(
            server.socket().as_os_str().len() < 108,
            "TMPDIR is too long a path for a Unix socket"
        );
        server.start();
        server
    }
}

/// A running redis-server: without snapshots and append-only file, without eviction, unless
/// [`Options`] say so.
///
/// All methods take `&self`, so that a [`Fleet`](crate::harness::Fleet) can use a server that the
/// test stops and starts. On drop, it is killed, and its log is printed if the test has failed.
pub struct Server {
    options: Options,
    folder: tempfile::TempDir,
    port: u16,
    tls_port: u16,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// Starts a server with the usual settings and waits until it answers.
    #[track_caller]
    pub fn new() -> Self {
        Options::default().start()
    }

    /// The default settings, to change before the start.
    pub fn options() -> Options {
        Options::default()
    }

    /// The URL of the Unix socket, with the password if there is one.
    pub fn url(&self) -> String {
        let query = self.options.password.as_ref().map(|p| format!("?pass={p}"));
        let query = query.unwrap_or_default();
        format!("unix://{}{query}", self.socket().display())
    }

    /// The URL of the TCP port, with the password if there is one.
    #[track_caller]
    pub fn tcp_url(&self) -> String {
        assert!(self.options.tcp, "start it with Server::options().tcp()");
        let password = self.options.password.as_ref().map(|p| format!(":{p}@"));
        let password = password.unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    /// The TCP port, with [`Options::tcp`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of the Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// The folder of its data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens a connection; a reply that takes over a minute is an error.
    #[track_caller]
    pub fn conn(&self) -> redis::Connection {
        self.try_conn().expect("a connection to the test's Redis")
    }

    fn try_conn(&self) -> redis::RedisResult<redis::Connection> {
        let conn = redis::Client::open(self.url())?.get_connection()?;
        conn.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(conn)
    }

    /// Runs one command, as `redis-cli` does: `server.run::<usize>(&["LLEN", "a list"])`.
    #[track_caller]
    pub fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let result = command.query(&mut self.conn());
        result.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// All keys with type, time to live and content.
    pub fn dump_keys(&self) -> crate::harness::dump::Keys {
        crate::harness::dump::keys(&mut self.conn())
    }

    /// Sends SIGTERM, as an init system does, and waits for the end.
    pub fn stop(&self) {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        self.wait_for_the_end();
    }

    /// Stops the server with `SHUTDOWN NOSAVE` and waits for its end.
    pub fn shutdown(&self) {
        let _: Result<(), _> = redis::cmd("SHUTDOWN").arg("NOSAVE").query(&mut self.conn());
        self.wait_for_the_end();
    }

    /// Kills the server with SIGKILL and waits for its end.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait_for_the_end();
    }

    /// Restarts the server on the same folder, socket and port, and waits until it answers and has
    /// loaded its data.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// Expires the heartbeat of a dead or stopped process now. A test need not use an expiry so
    /// short that it fails on a busy machine.
    pub fn end_heartbeat(&self, key: &str) {
        let heartbeat = format!("{key}:heartbeat");
        // A heartbeat sent before its sender stopped may arrive after the first deletion.
        eventually(PATIENCE, "the end of a heartbeat", || {
            (self.run::<u64>(&["DEL", &heartbeat]) == 0).then_some(())
        });
    }

    /// Stops the process (SIGSTOP): connections stay open, but nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes a paused server.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Cuts the last `bytes` bytes off the append-only file of a stopped server.
    #[track_caller]
    pub fn cut_append_only_tail(&self, bytes: u64) {
        assert!(self.lock().is_none(), "stop or kill the server first");
        let file = File::options().write(true).open(self.append_only_file());
        let file = file.expect("an append-only file");
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(bytes)).unwrap();
    }

    /// Size of the append-only file in bytes.
    #[track_caller]
    pub fn append_only_length(&self) -> u64 {
        fs::metadata(self.append_only_file()).unwrap().len()
    }

    #[track_caller]
    fn append_only_file(&self) -> PathBuf {
        let folder = self.folder().join("appendonlydir");
        let files = fs::read_dir(&folder).expect("a server with append_only()");
        files
            .map(|entry| entry.expect("an entry of appendonlydir").path())
            .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
            .max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
            .expect("an incremental append-only file")
    }

    /// The server log, over all starts.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    #[track_caller]
    fn start(&self) {
        let child = self.command().spawn();
        *self.lock() = Some(child.expect("redis-server starts"));
        eventually(PATIENCE, "redis-server answers", || {
            if let Some(status) = self.ended() {
                panic!("redis-server ended ({status}):\n{}", self.log());
            }
            let mut conn = self.try_conn().ok()?;
            redis::cmd("PING").query::<String>(&mut conn).ok()
        });
    }

    fn command(&self) -> Command {
        let log = self.folder().join("log");
        let log = File::options().create(true).append(true).open(log);
        let log = log.expect("a file for the log of redis-server");
        let mut command = Command::new(program());
        command
            .args(["--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction"])
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(self.folder())
            .arg("--unixsocket")
            .arg(self.socket());
        for (name, value) in self.mode_settings().iter().chain(&self.options.settings) {
            command.arg(format!("--{name}")).arg(value);
        }
        command
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a second handle of the log"))
            .stdout(log)
            .process_group(0);
        die_with_the_test(&mut command);
        command
    }

    /// The settings of this run's Redis mode; a server with a password has its own user.
    fn mode_settings(&self) -> Vec<(String, String)> {
        match redis_mode::current() {
            _ if self.options.password.is_some() => Vec::new(),
            RedisMode::Plain | RedisMode::Trust => Vec::new(),
            RedisMode::Acl => {
                let users = redis_mode::FOLDER.join("users.acl").display().to_string();
                vec![("aclfile".to_owned(), users)]
            }
            RedisMode::Tls => redis_mode::tls_settings(&redis_mode::FOLDER, self.tls_port),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &*self.lock() {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.lock();
        child.as_mut()?.try_wait().expect("a child of the test")
    }

    fn wait_for_the_end(&self) {
        let running = || self.lock().is_some();
        if running() {
            eventually(PATIENCE, "redis-server ends", || self.ended());
            *self.lock() = None;
        }
    }
}

impl Address for Server {
    fn redis_url(&self) -> String {
        match redis_mode::current() {
            RedisMode::Tls if self.options.password.is_none() => {
                format!("rediss://127.0.0.1:{}", self.tls_port)
            }
            _ => self.url(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of redis-server\n{}", self.log());
        }
        let refused = match redis_mode::current() {
            RedisMode::Acl => {
                self.signal(Signal::CONT);
                self.try_conn()
                    .map(|mut conn| redis_mode::refusals(&mut conn))
            }
            _ => Ok(Vec::new()),
        };
        let refused = refused.unwrap_or_default();
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !refused.is_empty() {
            eprintln!("{}", refused.join("\n"));
            assert!(std::thread::panicking(), "the users of Redis lack rights");
        }
    }
}

/// The path of redis-server, or of Valkey, a compatible server.
fn program() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let known = ["redis-server", "valkey-server"];
    let found = known.into_iter().find(on_path);
    found.expect("redis-server or valkey-server on PATH")
}

/// A free port below the kernel's range for outgoing connections: a port in that range could be
/// taken by any connection before the server listens on it.
pub fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut some = std::iter::repeat_with(|| fastrand::u16(10_000..32_000)).take(1000);
    some.find(free).expect("a free port of 127.0.0.1")
}
