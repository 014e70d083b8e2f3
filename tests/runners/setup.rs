//! A suite with the system that runs it, and the result of a run.

use crate::harness::*;
use std::collections::HashMap;

/// A suite and the system that runs it.
pub(crate) struct Setup {
    pub(crate) server: Server,
    pub(crate) suite: Suite,
    _fleet: Fleet,
    pub(crate) worker: Running,
}

impl Setup {
    /// Starts one worker with this number of slaves.
    pub(crate) fn new(slaves: usize) -> Self {
        Self::with(slaves, |worker, _| worker)
    }

    /// As [`Setup::new`], with a worker that `more` configures.
    pub(crate) fn with(slaves: usize, more: impl FnOnce(Tool, &Suite) -> Tool) -> Self {
        let (server, suite) = (Server::new(), Suite::new());
        let fleet = Fleet::plan(&server).without_persister().start();
        let worker = fleet.worker_tool("w", slaves, suite.path());
        let worker = more(worker, &suite).spawn();
        Self {
            server,
            suite,
            _fleet: fleet,
            worker,
        }
    }

    /// Runs all files of the suite with this slave command, each once unless `args` say otherwise.
    pub(crate) fn run(&self, slave: &str, args: &[&str]) -> Ran<'_> {
        let files = self.suite.files();
        self.submit(|submit| submit.args(["--slave", slave]).args(args).args(files))
    }

    /// Runs the tasks that these flags name, each once.
    pub(crate) fn submit(&self, flags: impl FnOnce(Tool) -> Tool) -> Ran<'_> {
        let submit = Tool::new(&self.server, "rrr-submit")
            .args(["--no-rsync", "--follow", "--max-trials", "1"])
            // Many runners start here, and each takes seconds on a busy machine.
            .bound(PATIENCE * 5)
            .dir(self.suite.path());
        let done = flags(submit).run();
        Ran { setup: self, done }
    }
}

/// A finished taskset.
pub(crate) struct Ran<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) done: Finished,
}

impl Ran<'_> {
    /// The fields of the last trial of a file.
    pub(crate) fn trial(&self, file: &str) -> HashMap<String, String> {
        let receipt = self.done.receipt();
        let taskset = receipt.taskset.as_str();
        let trials = format!("{taskset}:task:{file}:trial");
        let key: String = self.setup.server.run(&["LINDEX", &trials, "-1"]);
        self.setup.server.run(&["HGETALL", &key])
    }

    /// `status passed pending failed` of the last trial of a file.
    pub(crate) fn verdict(&self, file: &str) -> String {
        let trial = self.trial(file);
        ["status", "passed", "pending", "failed"]
            .map(|field| trial.get(field).cloned().unwrap_or_default())
            .join(" ")
    }

    /// The examples of the last trial of a file.
    pub(crate) fn examples(&self, file: &str) -> Vec<serde_json::Value> {
        let trial = self.trial(file);
        let Some(json) = trial.get("examples") else {
            return Vec::new();
        };
        serde_json::from_str(json).unwrap()
    }
}
