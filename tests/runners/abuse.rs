//! Tests that damage the process they run in, a fork or the runner itself (`--isolation none`), and
//! cancelled runs: each file gets its verdict, later files run, and no process is left.

use crate::harness::*;
use crate::setup::Setup;

/// A test tool and the form of its tests.
struct Kind {
    slave: &'static str,
    runner: &'static str,
    /// Makes the name of a spec file.
    name: fn(&str) -> String,
    /// Makes the text of a spec file from the code of its second example.
    text: fn(&str) -> String,
    helper: (&'static str, &'static str),
    /// In a fork: file name, code, verdict, and expected stderr of the trial.
    fork_abuses: &'static [(&'static str, &'static str, &'static str, &'static str)],
    /// In the runner: file name, code, and expected stderr of the trial.
    abuses: &'static [(&'static str, &'static str, &'static str)],
    sleeps: &'static str,
    /// Code that sleeps and ignores signals.
    ignores: &'static str,
    /// Code that blocks the interpreter in one C call, ignoring signals and other threads.
    holds: &'static str,
    daemon: &'static str,
}

const RSPEC: Kind = Kind {
    slave: "rrr-slave --adapter rspec",
    runner: "rrr_rspec.rb",
    name: |name| format!("{name}_spec.rb"),
    text: |code| {
        format!("RSpec.describe('x') {{ it('is fine') {{ }}; it('abuses') {{ {code} }} }}")
    },
    helper: (
        "spec/spec_helper.rb",
        "File.write('loads', \"x\\n\", mode: 'a')",
    ),
    fork_abuses: &[
        (
            "1-exit",
            "exit! 0",
            "error 1 0 0",
            "ended early (exit code 0), in example 'x abuses'",
        ),
        (
            "2-segfault",
            "Process.kill(:SEGV, $$); sleep",
            "error 1 0 0",
            "signal 6), in example 'x abuses'",
        ),
        ("3-calls-exit", "exit 0", "error 1 0 0", "called exit (0)"),
        (
            "4-kill",
            "Process.kill(:KILL, $$); sleep",
            "error 1 0 0",
            "signal 9",
        ),
        (
            "5-memory",
            "a = []; loop { a << 'x' * 10_000_000 }",
            "error 1 0 0",
            "NoMemoryError",
        ),
        ("6-forks-on", "fork; 1", "passed 2 0 0", ""),
        (
            "7-babbles",
            "IO.for_fd(4, 'w', autoclose: false).write(\"nonsense\\n\") rescue 1",
            "passed 2 0 0",
            "",
        ),
    ],
    abuses: &[
        (
            "1-exit",
            "exit! 0",
            "the runner died in the middle of the trial: exit code 0",
        ),
        (
            "2-segfault",
            "Process.kill(:SEGV, $$); sleep",
            "died in the middle of the trial: signal 6",
        ),
        (
            "3-kill",
            "Process.kill(:KILL, $$); sleep",
            "died in the middle of the trial: signal 9",
        ),
        (
            "4-babbles",
            "IO.for_fd(4, 'w', autoclose: false).syswrite(\"nonsense\\n\")",
            "runner protocol error: 'nonsense'",
        ),
    ],
    sleeps: "sleep",
    ignores: "trap('TERM', 'IGNORE'); sleep",
    holds: "n = Integer('9' * 6_000_000); n * n; n.to_s.size while true",
    daemon: "spawn('setsid sleep 601'); fork { Process.daemon(true, true); sleep 602 }; sleep 0.05",
};

const PYTEST: Kind = Kind {
    slave: "rrr-slave --adapter pytest",
    runner: "rrr_pytest.py",
    name: |name| format!("test_{}.py", name.replace('-', "_")),
    text: |code| {
        format!(
            "import ctypes, os, signal, subprocess, sys, time\ndef test_fine(): pass\ndef test_abuse():\n    {code}\n"
        )
    },
    helper: ("conftest.py", "open('loads', 'a').write('x\\n')"),
    fork_abuses: &[
        (
            "1-exit",
            "os._exit(0)",
            "error 1 0 0",
            "ended early (exit code 0), in test 'test_1_exit.py::test_abuse'",
        ),
        (
            "2-segfault",
            "ctypes.string_at(0)",
            "error 1 0 0",
            "signal 11), in test 'test_2_segfault.py::test_abuse'",
        ),
        (
            "3-kill",
            "os.kill(os.getpid(), 9); time.sleep(60)",
            "error 1 0 0",
            "signal 9",
        ),
        // Python exceptions: ordinary failures.
        (
            "4-babbles",
            "os.write(4, b'nonsense\\n')",
            "failed 1 0 1",
            "",
        ),
        (
            "5-memory",
            "x = [b'x' * 10_000_000 for _ in iter(int, 1)]",
            "failed 1 0 1",
            "",
        ),
        ("6-sys-exit", "sys.exit(0)", "failed 1 0 1", ""),
        ("7-forks-on", "os.fork()", "passed 2 0 0", ""),
    ],
    abuses: &[
        (
            "1-exit",
            "os._exit(0)",
            "the runner died in the middle of the trial: exit code 0",
        ),
        (
            "2-segfault",
            "ctypes.string_at(0)",
            "died in the middle of the trial: signal 11",
        ),
        (
            "3-kill",
            "os.kill(os.getpid(), 9); time.sleep(60)",
            "died in the middle of the trial: signal 9",
        ),
        (
            "4-babbles",
            "os.write(4, b'nonsense\\n')",
            "runner protocol error: 'nonsense'",
        ),
    ],
    sleeps: "time.sleep(600)",
    ignores: "signal.signal(15, signal.SIG_IGN); time.sleep(600)",
    holds: "signal.signal(15, lambda *a: None); pow(3, 10**9)",
    daemon: "subprocess.run(['sh', '-c', 'setsid sleep 601 & sleep 602 &'])",
};

impl Kind {
    fn setup(&self) -> Setup {
        let setup = Setup::new(1);
        let (path, text) = self.helper;
        let path = setup.suite.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        setup
    }

    /// Writes a spec file and returns its line for --files-from.
    fn write(&self, setup: &Setup, name: &str, code: &str) -> String {
        let file = (self.name)(name);
        std::fs::write(setup.suite.path().join(&file), (self.text)(code)).unwrap();
        format!("{{\"spec_file\":\"{file}\",\"estimate_sec\":0}}\n")
    }

    fn gone(&self, setup: &Setup) {
        eventually(PATIENCE, "the end of all that the tests ran in", || {
            let ours = |member: &process_tree::Member| {
                member.command.contains(self.runner) || member.command.contains("sleep 60")
            };
            (!setup.worker.family().iter().any(ours)).then_some(())
        });
    }

    /// In a fork, a crash affects only its trial.
    fn crashes_of_a_fork_cost_the_trial(&self) {
        let setup = self.setup();
        for (name, code, _, _) in self.fork_abuses {
            setup.suite.file(&(self.name)(name), &(self.text)(code));
            let good = (self.name)(&format!("{name}-good"));
            setup.suite.file(&good, &(self.text)("1"));
        }
        let ran = setup.run(&format!("{} --memory-max 400", self.slave), &[]);
        for (name, _, verdict, says) in self.fork_abuses {
            let file = (self.name)(name);
            let trial = ran.trial(&file);
            assert_eq!(&ran.verdict(&file), verdict, "{name} {trial:?}");
            assert!(trial["stderr"].contains(says), "{name} {trial:?}");
            let good = (self.name)(&format!("{name}-good"));
            assert_eq!(ran.verdict(&good), "passed 2 0 0", "after {name}");
        }
        let loads = setup.suite.lines("loads").len();
        assert_eq!(loads, 1, "the runner outlived them all");
        self.gone(&setup);
    }

    /// In a fork, a hang affects only its trial, and a daemon only itself.
    fn hangs_and_daemons_of_a_fork_end_with_its_trial(&self) {
        let setup = self.setup();
        let hangs = [
            ("1-sleeps", self.sleeps),
            ("2-ignores", self.ignores),
            ("3-holds", self.holds),
        ];
        let mut list: Vec<String> = hangs
            .iter()
            .map(|(name, code)| self.write(&setup, name, code))
            .collect();
        list.push(self.write(&setup, "4-daemon", self.daemon));
        list.push(self.write(&setup, "5-good", "1"));
        let ran = setup.submit(|submit| {
            submit
                .args(["--slave", self.slave, "--least-timeout", "2"])
                .args(["--files-from", "-"])
                .stdin(list.concat())
        });
        for (name, _) in hangs {
            let trial = ran.trial(&(self.name)(name));
            assert_eq!(trial["status"], "timeout", "{name} {trial:?}");
            let reported = &trial["stderr"];
            assert!(reported.contains("was stopped, in "), "{name} {trial:?}");
            assert!(reported.contains("abuse"), "{name} {trial:?}");
        }
        assert_eq!(ran.verdict(&(self.name)("4-daemon")), "passed 2 0 0");
        assert_eq!(ran.verdict(&(self.name)("5-good")), "passed 2 0 0");
        let loads = setup.suite.lines("loads").len();
        assert_eq!(loads, 1, "the runner outlived them all");
        self.gone(&setup);
    }

    /// Without isolation, a crash ends the trial and the runner, which is restarted.
    fn crashes_cost_the_trial_and_the_runner(&self) {
        let setup = self.setup();
        for (name, code, _) in self.abuses {
            setup.suite.file(&(self.name)(name), &(self.text)(code));
            let good = (self.name)(&format!("{name}-good"));
            setup.suite.file(&good, &(self.text)("1"));
        }
        let ran = setup.run(&format!("{} --isolation none", self.slave), &[]);
        for (name, _, says) in self.abuses {
            let trial = ran.trial(&(self.name)(name));
            assert_eq!(trial["status"], "error", "{name} {trial:?}");
            assert!(trial["stderr"].contains(says), "{name} {trial:?}");
            let good = (self.name)(&format!("{name}-good"));
            assert_eq!(ran.verdict(&good), "passed 2 0 0", "after {name}");
        }
        // The invalid line may come from the previous file: a new runner repeats the trial.
        let starts = 1 + self.abuses.len() + 1;
        assert_eq!(setup.suite.lines("loads").len(), starts);
        self.gone(&setup);
    }

    /// Without isolation, a hang has the same effect, and a daemon affects only itself.
    fn hangs_and_daemons_end_with_their_trial(&self) {
        let setup = self.setup();
        let list = [
            self.write(&setup, "1-holds", self.holds),
            self.write(&setup, "2-daemon", self.daemon),
            self.write(&setup, "3-good", "1"),
        ];
        let slave = format!("{} --isolation none", self.slave);
        let ran = setup.submit(|submit| {
            submit
                .args(["--slave", &slave, "--least-timeout", "2"])
                .args(["--files-from", "-"])
                .stdin(list.concat())
        });
        let trial = ran.trial(&(self.name)("1-holds"));
        assert_eq!(trial["status"], "timeout", "{trial:?}");
        let trial = ran.trial(&(self.name)("2-daemon"));
        assert_eq!(trial["status"], "passed", "{trial:?}");
        assert!(
            trial["stderr"].contains("that the test left behind"),
            "{trial:?}"
        );
        assert_eq!(ran.verdict(&(self.name)("3-good")), "passed 2 0 0");
        // Restarted after the hang and after the leaked process.
        let loads = setup.suite.lines("loads").len();
        assert!(loads == 2 || loads == 3, "{loads}");
        self.gone(&setup);
    }

    /// Cancels a run whose test ignores signals and has started a daemon.
    fn nothing_stays_of_a_cancelled_run(&self, isolation: &str) {
        let setup = self.setup();
        let code = format!("{}; open('began', 'w').close; {}", self.daemon, self.holds);
        let code = match self.runner {
            "rrr_pytest.py" => code.replace(".close", ".close()"),
            _ => code,
        };
        let list = self.write(&setup, "1-holds", &code);
        let slave = format!("{} --isolation {isolation}", self.slave);
        let submit = Tool::new(&setup.server, "rrr-submit")
            .args(["--no-rsync", "--follow", "--files-from", "-"])
            .args(["--slave", &slave, "--least-timeout", "600"])
            .stdin(list)
            .dir(setup.suite.path())
            .spawn();
        eventually(PATIENCE, "the test begins", || {
            setup.suite.path().join("began").exists().then_some(())
        });
        Tool::new(&setup.server, "rrr-cancel")
            .arg("--all")
            .run()
            .expect_code(0);
        submit.wait(PATIENCE).expect_code(3);
        self.gone(&setup);
    }
}

#[test]
fn a_spec_that_crashes_its_fork_costs_its_own_file_only() {
    RSPEC.crashes_of_a_fork_cost_the_trial();
}

#[test]
fn a_test_that_crashes_its_fork_costs_its_own_file_only() {
    PYTEST.crashes_of_a_fork_cost_the_trial();
}

#[test]
fn a_spec_that_hangs_its_fork_times_out_without_leaks() {
    RSPEC.hangs_and_daemons_of_a_fork_end_with_its_trial();
}

#[test]
fn a_test_that_hangs_its_fork_times_out_without_leaks() {
    PYTEST.hangs_and_daemons_of_a_fork_end_with_its_trial();
}

#[test]
fn a_spec_that_crashes_its_ruby_costs_its_own_file_only() {
    RSPEC.crashes_cost_the_trial_and_the_runner();
}

#[test]
fn a_test_that_crashes_its_python_costs_its_own_file_only() {
    PYTEST.crashes_cost_the_trial_and_the_runner();
}

#[test]
fn a_spec_that_hangs_its_ruby_times_out_without_leaks() {
    RSPEC.hangs_and_daemons_end_with_their_trial();
}

#[test]
fn a_test_that_hangs_its_python_times_out_without_leaks() {
    PYTEST.hangs_and_daemons_end_with_their_trial();
}

#[test]
fn a_cancelled_run_leaves_no_ruby_process() {
    RSPEC.nothing_stays_of_a_cancelled_run("fork");
    RSPEC.nothing_stays_of_a_cancelled_run("none");
}

#[test]
fn a_cancelled_run_leaves_no_python_process() {
    PYTEST.nothing_stays_of_a_cancelled_run("fork");
    PYTEST.nothing_stays_of_a_cancelled_run("none");
}

#[test]
fn the_memory_limit_applies_inside_the_runner() {
    for (kind, code) in [
        (RSPEC, "a = []; loop { a << 'x' * 10_000_000 }"),
        (PYTEST, "x = [b'x' * 10_000_000 for _ in iter(int, 1)]"),
    ] {
        let setup = kind.setup();
        let file = (kind.name)("1-eats");
        setup.suite.file(&file, &(kind.text)(code));
        setup.suite.file(&(kind.name)("2-good"), &(kind.text)("1"));
        let slave = format!("{} --isolation none --memory-max 400", kind.slave);
        let ran = setup.run(&slave, &[]);
        let trial = ran.trial(&file);
        assert!(matches!(&*trial["status"], "failed" | "error"), "{trial:?}");
        assert!(
            !trial["examples"].is_empty() && trial["passed"] == "1",
            "{trial:?}"
        );
        assert_eq!(ran.verdict(&(kind.name)("2-good")), "passed 2 0 0");
    }
}
