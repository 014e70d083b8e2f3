//! The daemons of a whole system, a suite of spec files, and a submission of it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::process::{Finished, Running};
use super::server::Address;
use super::tool::Tool;
use super::wait::PATIENCE;

/// What daemons a [`Fleet`] is to have.
pub struct Plan {
    url: String,
    arbiters: usize,
    dispatchers: usize,
    persisters: usize,
}

impl Plan {
    /// So many `rrr-arbiter`; one unless told.
    pub fn arbiters(mut self, number: usize) -> Self {
        self.arbiters = number;
        self
    }

    /// So many `rrr-dispatch`; one unless told.
    pub fn dispatchers(mut self, number: usize) -> Self {
        self.dispatchers = number;
        self
    }

    /// So many `rrr-persist`, all with the same log folder; one unless told.
    pub fn persisters(mut self, number: usize) -> Self {
        self.persisters = number;
        self
    }

    /// No `rrr-persist`: finished tasksets stay in Redis as the arbiter left them.
    pub fn without_persister(self) -> Self {
        self.persisters(0)
    }

    /// Starts them, and returns at once: what is queued before they listen is not lost.
    #[track_caller]
    pub fn start(self) -> Fleet {
        let folder = tempfile::Builder::new().prefix("rrr-fleet.").tempdir();
        let mut fleet = Fleet {
            url: self.url,
            folder: folder.expect("a temporary folder"),
            arbiters: Vec::new(),
            dispatchers: Vec::new(),
            persisters: Vec::new(),
        };
        fs::create_dir(fleet.log_dir()).expect("a folder for the records");
        (0..self.arbiters).for_each(|_| fleet.start_arbiter());
        (0..self.dispatchers).for_each(|_| fleet.start_dispatcher());
        (0..self.persisters).for_each(|_| fleet.start_persister());
        fleet
    }
}

/// Running daemons. The lists are open, so that a test may kill one and start another. All are
/// killed when it is dropped.
pub struct Fleet {
    url: String,
    folder: tempfile::TempDir,
    /// Every `rrr-arbiter` started, in order.
    pub arbiters: Vec<Running>,
    /// Every `rrr-dispatch` started, in order.
    pub dispatchers: Vec<Running>,
    /// Every `rrr-persist` started, in order.
    pub persisters: Vec<Running>,
}

impl Fleet {
    /// One arbiter, one dispatcher, one persister on this Redis.
    #[track_caller]
    pub fn start(redis: &(impl Address + ?Sized)) -> Self {
        Self::plan(redis).start()
    }

    /// Other numbers of them.
    pub fn plan(redis: &(impl Address + ?Sized)) -> Plan {
        Plan {
            url: redis.redis_url(),
            arbiters: 1,
            dispatchers: 1,
            persisters: 1,
        }
    }

    /// Where the persisters write the records.
    pub fn log_dir(&self) -> PathBuf {
        self.folder.path().join("records")
    }

    /// The database that they write to.
    pub fn db(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("history.db").display())
    }

    /// A worker that runs tests in the folder `in_place`; the caller keeps it.
    #[track_caller]
    pub fn worker(&self, id: &str, slaves: usize, in_place: impl AsRef<Path>) -> Running {
        self.worker_tool(id, slaves, in_place).spawn()
    }

    /// The same, to be given more arguments before it is started.
    #[track_caller]
    pub fn worker_tool(&self, id: &str, slaves: usize, in_place: impl AsRef<Path>) -> Tool {
        let slaves = slaves.to_string();
        Tool::new(&self.url, "rrr-worker")
            .args(["--worker-id", id, "--slaves", &slaves, "--in-place"])
            .arg(in_place.as_ref())
    }

    /// One more `rrr-arbiter`.
    #[track_caller]
    pub fn start_arbiter(&mut self) {
        self.arbiters
            .push(Tool::new(&self.url, "rrr-arbiter").spawn());
    }

    /// One more `rrr-dispatch`.
    #[track_caller]
    pub fn start_dispatcher(&mut self) {
        self.dispatchers
            .push(Tool::new(&self.url, "rrr-dispatch").spawn());
    }

    /// One more `rrr-persist`.
    #[track_caller]
    pub fn start_persister(&mut self) {
        let tool = Tool::new(&self.url, "rrr-persist").arg("--log-dir");
        let tool = tool.arg(self.log_dir()).args(["--db", &self.db()]);
        self.persisters.push(tool.spawn());
    }

    /// Sends SIGTERM to those that still run and gives what is left of each: arbiters first, then
    /// dispatchers, then persisters. Panics if one does not end in good time.
    #[track_caller]
    pub fn stop(&self) -> Vec<Finished> {
        let all = || {
            [&self.arbiters, &self.dispatchers, &self.persisters]
                .into_iter()
                .flatten()
        };
        all().for_each(Running::term);
        all().map(|daemon| daemon.wait(PATIENCE)).collect()
    }
}

/// A temporary folder of spec files, to be used as an in-place tree.
pub struct Suite {
    folder: tempfile::TempDir,
    files: Mutex<Vec<String>>,
}

impl Suite {
    /// An empty one.
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("rrr-suite.").tempdir();
        Self {
            folder: folder.expect("a temporary folder"),
            files: Mutex::default(),
        }
    }

    /// Writes a spec file (and the folders above it), or writes it anew. `{}` is not replaced.
    #[track_caller]
    pub fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("its folder");
        fs::write(path, text).expect("a spec file");
        let mut files = self.files.lock().unwrap();
        if !files.iter().any(|known| known == name) {
            files.push(name.to_owned());
        }
        self
    }

    /// Gives the folder and what is in it to a user.
    #[track_caller]
    pub fn give_to(&self, user: u32) {
        let own = |path: &Path| std::os::unix::fs::chown(path, Some(user), Some(user));
        own(self.path()).expect("the folder of the suite");
        for entry in fs::read_dir(self.path()).expect("its files").flatten() {
            own(&entry.path()).expect("a file of the suite");
        }
    }

    /// Writes `number` spec files with this text, `t0001.sh` and so on.
    #[track_caller]
    pub fn many(&self, number: usize, text: &str) -> &Self {
        (1..=number).for_each(|n| {
            self.file(&format!("t{n:04}.sh"), text);
        });
        self
    }

    /// The spec files, in the order in which they were first written.
    pub fn files(&self) -> Vec<String> {
        self.files.lock().unwrap().clone()
    }

    /// The folder: also the working folder of the tests, so `echo >> ran` there is a trace of them.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The lines of a file that the tests have written there; none if there is no such file.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Submits these files of the suite: `rrr-submit --no-rsync --follow ARGS FILES -- COMMAND`, in the
/// folder of the suite. `.spawn()` or `.run()` what it gives.
#[track_caller]
pub fn submit_tool<F: AsRef<OsStr>>(
    redis: &(impl Address + ?Sized),
    suite: &Suite,
    files: impl IntoIterator<Item = F>,
    args: &[&str],
    command: &[&str],
) -> Tool {
    Tool::new(redis, "rrr-submit")
        .args(["--no-rsync", "--follow"])
        .args(args)
        .args(files)
        .arg("--")
        .args(command)
        .dir(suite.path())
}

/// Submits all files of the suite with `sh {}`, and follows it.
#[track_caller]
pub fn submit(redis: &(impl Address + ?Sized), suite: &Suite, args: &[&str]) -> Running {
    submit_tool(redis, suite, suite.files(), args, &["sh", "{}"]).spawn()
}
