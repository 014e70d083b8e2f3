//! The runner protocol: the runner's answer decides, and a broken runner does not stop the slave.

use crate::harness::*;
use crate::setup::Setup;

/// A runner in Python whose spec files are Python, run in its own process. `answer(status, …)`
/// answers; `say(line)` prints any line.
const RUNNER: &str = r#"
import json, os, signal, sys, time
orders, answers = os.fdopen(3), os.fdopen(4, "w")
def say(line):
    answers.write(line + "\n"); answers.flush()
hello = json.loads(orders.readline())
assert 1 in hello["versions"]
say(json.dumps({"type": "hello", "version": 1}))
with open("starts", "a") as starts:
    starts.write("start\n")
for line in orders:
    order = json.loads(line)
    def answer(status, **more):
        sys.stdout.flush()
        say(json.dumps({"type": "result", "trial": order["trial"], "status": status, **more}))
    exec(open(order["spec_file"]).read())
print("after the suite", file=sys.stderr)
with open("ends", "a") as ends:
    ends.write("end\n")
"#;

const SLAVE: &str = "rrr-slave --adapter serve -- python3 runner.py";

fn setup(slaves: usize) -> Setup {
    let setup = Setup::new(slaves);
    std::fs::write(setup.suite.path().join("runner.py"), RUNNER).unwrap();
    setup
}

#[test]
fn one_runner_runs_many_files_and_exits_on_its_own() {
    let setup = setup(1);
    setup
        .suite
        .file("1.py", "print('one'); answer('passed', passed=3, pending=1)")
        .file("2.py", "print('two', file=sys.stderr); answer('failed', failed=1, passed=1, examples=[{'id': 'x', 'name': 'y', 'status': 'failed', 'message': 'no'}])")
        .file("3.py", "answer('pending')")
        .file("4.py", "answer('error', message='cannot be loaded')")
        .file("5.py", "answer('passed')");
    let ran = setup.run(SLAVE, &[]);
    assert_eq!(ran.verdict("1.py"), "passed 3 1 0");
    assert_eq!(ran.verdict("2.py"), "failed 1 0 1");
    assert_eq!(ran.verdict("3.py"), "pending 0 1 0");
    assert_eq!(ran.verdict("4.py"), "error 0 0 0");
    assert_eq!(ran.verdict("5.py"), "passed 1 0 0");
    assert_eq!(ran.trial("1.py")["stdout"], "one\n");
    assert_eq!(ran.trial("2.py")["stdout"], "");
    assert_eq!(ran.trial("2.py")["stderr"], "two\n");
    assert_eq!(ran.trial("4.py")["stderr"], "rrr: cannot be loaded\n");
    assert_eq!(ran.examples("2.py")[0]["message"], "no");
    assert_eq!(setup.suite.lines("starts").len(), 1);
    eventually(PATIENCE, "the runner's end", || {
        (setup.suite.lines("ends").len() == 1).then_some(())
    });
}

#[test]
fn output_belongs_to_the_trial_that_printed_it() {
    let setup = setup(1);
    for n in 0..40 {
        let text = format!("os.write(1, b'{n}\\n' * 9000); os.write(2, b'{n}'); answer('passed')");
        setup.suite.file(&format!("{n}.py"), &text);
    }
    let ran = setup.run(SLAVE, &[]);
    for n in 0..40 {
        let trial = ran.trial(&format!("{n}.py"));
        assert!(trial["stdout"] == format!("{n}\n").repeat(9000), "{n}");
        assert_eq!(trial["stderr"], n.to_string());
    }
}

#[test]
fn a_runner_that_dies_or_breaks_the_protocol_is_restarted() {
    let setup = setup(1);
    let cases = [
        ("1-exits.py", "os._exit(3)", "exit code 3"),
        (
            "2-segfaults.py",
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "signal 11",
        ),
        ("3-babbles.py", "say('hello')", "protocol error: 'hello'"),
        (
            "4-binary.py",
            "os.write(4, b'\\xff\\x00\\n')",
            "protocol error",
        ),
        (
            "5-other-trial.py",
            "say('{\"type\":\"result\",\"trial\":\"x\",\"status\":\"passed\"}')",
            "another trial",
        ),
        (
            "6-contradicts.py",
            "answer('passed', failed=1)",
            "contradicts itself",
        ),
        (
            "7-twice.py",
            "os.write(4, (json.dumps({'type': 'result', 'trial': order['trial'], 'status': 'passed'}) + '\\n').encode() * 2)",
            "unexpected line",
        ),
        ("8-no-such-status.py", "answer('green')", "no such status"),
        (
            "9-endless.py",
            "[os.write(4, b'x' * 65536) for _ in iter(int, 1)]",
            "endless line",
        ),
    ];
    for (file, text, _) in cases {
        setup.suite.file(file, text);
    }
    setup.suite.file("a-good.py", "answer('passed')");
    let ran = setup.run(SLAVE, &[]);
    for (file, _, says) in cases {
        let trial = ran.trial(file);
        assert_eq!(trial["status"], "error", "{file} {trial:?}");
        assert!(trial["stderr"].contains(says), "{file} {trial:?}");
    }
    assert_eq!(ran.verdict("a-good.py"), "passed 1 0 0");
    assert_eq!(setup.suite.lines("starts").len(), cases.len() + 1);
}

/// Keeps `line` for a thread that prints it during the next trial.
fn late(line: &str) -> String {
    format!(
        "import threading\nline, go = {line}, threading.Event()\n\
         late = threading.Thread(target=lambda: (go.wait(), say(line)))\nlate.start()\nanswer('passed')"
    )
}

#[test]
fn a_late_line_of_a_trial_does_not_affect_another() {
    let setup = setup(1);
    let result = |trial: &str| {
        format!("json.dumps({{'type': 'result', 'trial': {trial}, 'status': 'passed'}})")
    };
    let stays = "try: go.set(); late.join()\nexcept NameError: pass\n";
    setup
        .suite
        .file("1.py", &late(&result("order['trial']")))
        .file("2.py", &format!("{stays}answer('failed')"))
        .file("3.py", &late(&result("'another'")))
        .file("4.py", &format!("{stays}answer('failed')"))
        .file("5.py", &late("'nonsense'"))
        .file("6.py", &format!("{stays}answer('pending')"))
        .file("7.py", "answer('passed')\nos._exit(0)")
        .file("8.py", "answer('passed')");
    let ran = setup.run(SLAVE, &[]);
    for (file, verdict) in [
        ("1.py", "passed 1 0 0"),
        ("2.py", "failed 0 0 1"),
        ("3.py", "passed 1 0 0"),
        ("4.py", "failed 0 0 1"),
        ("5.py", "passed 1 0 0"),
        ("6.py", "pending 0 1 0"),
        ("7.py", "passed 1 0 0"),
        ("8.py", "passed 1 0 0"),
    ] {
        assert_eq!(ran.verdict(file), verdict, "{file} {:?}", ran.trial(file));
    }
}

#[test]
fn a_runner_that_asks_to_be_replaced_exits_cleanly() {
    let setup = setup(1);
    let replace = "answer('passed', replace='it spoilt \\x1b its process')";
    for n in 1..=3 {
        setup.suite.file(&format!("{n}.py"), replace);
    }
    setup.suite.file("4.py", "answer('passed')");
    let ran = setup.run(SLAVE, &[]);
    for n in 1..=4 {
        assert_eq!(ran.verdict(&format!("{n}.py")), "passed 1 0 0");
    }
    assert_eq!(setup.suite.lines("starts").len(), 4);
    eventually(PATIENCE, "the runners' ends", || {
        (setup.suite.lines("ends").len() == 4).then_some(())
    });
    let logs = eventually(PATIENCE, "the slave's log", || {
        let keys: Vec<String> = setup.server.run(&["KEYS", "*:slave:*:log"]);
        let logs: String = keys
            .iter()
            .map(|key| setup.server.run::<String>(&["GET", key]))
            .collect();
        logs.contains("spoilt").then_some(logs)
    });
    assert_eq!(logs.matches("it spoilt").count(), 1, "{logs}");
    assert!(!logs.contains('\x1b'), "{logs}");
}

#[test]
fn i15_a_long_message_is_bounded_and_sums_must_agree() {
    let setup = setup(1);
    let printed = "sys.stderr.write('y' * (4 << 20))\nsys.stderr.flush()\n";
    setup
        .suite
        .file("1.py", "answer('failed', message='x' * (7 << 20))")
        .file(
            "2.py",
            &format!("{printed}answer('failed', message='x' * (7 << 20))"),
        )
        .file(
            "3.py",
            "answer('passed', passed=2, examples=[{'id': 'x', 'name': 'y', 'status': 'passed'}])",
        );
    let ran = setup.run(SLAVE, &[]);
    for file in ["1.py", "2.py"] {
        assert_eq!(ran.verdict(file), "failed 0 0 1");
        let stderr = &ran.trial(file)["stderr"];
        assert!(stderr.len() < (4 << 20) + 4096, "{}", stderr.len());
        assert!(stderr.contains(" bytes dropped ...]"));
    }
    let trial = ran.trial("3.py");
    assert_eq!(trial["status"], "error", "{trial:?}");
    assert!(trial["stderr"].contains("it counts 2 passed"), "{trial:?}");
}

#[test]
fn l3_a_hanging_runner_times_out_and_is_restarted() {
    let setup = setup(1);
    setup
        .suite
        .file("1-hangs.py", "time.sleep(600)")
        .file(
            "2-ignores-term.py",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
        )
        .file("3-good.py", "answer('passed')");
    let files = setup.suite.path().join("files");
    let lines = ["1-hangs.py", "2-ignores-term.py"]
        .map(|file| format!("{{\"spec_file\":\"{file}\",\"estimate_sec\":0}}\n"));
    std::fs::write(&files, lines.concat()).unwrap();
    // An estimate of zero makes the minimum timeout both the soft and the hard one.
    let done = Tool::new(&setup.server, "rrr-submit")
        .args([
            "--no-rsync",
            "--follow",
            "--max-trials",
            "1",
            "--least-timeout",
            "1",
        ])
        .args(["--slave", SLAVE, "--files-from", "files", "3-good.py"])
        .dir(setup.suite.path())
        .run();
    let ran = crate::setup::Ran {
        setup: &setup,
        done,
    };
    for file in ["1-hangs.py", "2-ignores-term.py"] {
        assert!(
            ran.verdict(file).starts_with("timeout "),
            "{:?}",
            ran.trial(file)
        );
    }
    assert_eq!(ran.verdict("3-good.py"), "passed 1 0 0");
}

#[test]
fn i10_an_orphaned_daemon_is_killed_before_the_next_test() {
    let setup = setup(1);
    let daemon = "import subprocess\nsubprocess.run(['sh', '-c', 'setsid sleep 600 & echo $! > pid; setsid sleep 600 &'])\nanswer('passed')";
    let look = "pid = open('pid').read().strip()\nanswer('failed' if os.path.exists('/proc/' + pid) else 'passed')";
    setup.suite.file("1.py", daemon).file("2.py", look);
    let ran = setup.run(SLAVE, &[]);
    assert_eq!(ran.verdict("1.py"), "passed 1 0 0");
    let said = &ran.trial("1.py")["stderr"];
    assert!(said.contains("killed 2 process(es)"), "{said}");
    assert_eq!(ran.verdict("2.py"), "passed 1 0 0");
    let family = setup.worker.family();
    assert!(
        !family
            .iter()
            .any(|member| member.command.contains("sleep 600")),
        "{family:?}"
    );
}

#[test]
fn a_cancel_ends_the_runner_and_its_descendants() {
    let setup = setup(2);
    setup
        .suite
        .file(
            "1.py",
            "import subprocess\nopen('began', 'a').write('1')\nsubprocess.run(['sleep', '600'])",
        )
        .file("2.py", "open('began', 'a').write('2')\ntime.sleep(600)");
    let submit = Tool::new(&setup.server, "rrr-submit")
        .args(["--no-rsync", "--follow", "--slave", SLAVE])
        .args(setup.suite.files())
        .dir(setup.suite.path())
        .spawn();
    eventually(PATIENCE, "both tests", || {
        (setup.suite.lines("began").concat().len() == 2).then_some(())
    });
    Tool::new(&setup.server, "rrr-cancel").arg("--all").run();
    submit.wait(PATIENCE).expect_code(3);
    eventually(PATIENCE, "the runners' end", || {
        let family = setup.worker.family();
        let alive = |word: &str| family.iter().any(|member| member.command.contains(word));
        (!alive("python3") && !alive("sleep 600")).then_some(())
    });
}

#[test]
fn a_runner_that_cannot_start_fails_the_taskset_without_trials() {
    for (runner, says) in [
        ("no-such-runner", "no-such-runner"),
        ("false", "exit code 1"),
        ("sh -c 'echo nonsense >&4; sleep 60'", "expected hello"),
        (
            "sh -c 'echo \"{\\\"type\\\":\\\"hello\\\",\\\"version\\\":9}\" >&4; sleep 60'",
            "version 9",
        ),
    ] {
        let setup = setup(1);
        setup.suite.file("a.py", "answer('passed')");
        let ran = setup.run(&format!("rrr-slave --adapter serve -- {runner}"), &[]);
        let receipt = ran.done.receipt();
        let reason = receipt.fail_reason.as_deref().unwrap_or_default();
        assert!(reason.contains(says), "{runner}: {receipt:?}");
        assert_eq!(receipt.failed, 0, "{receipt:?}");
    }
}

#[test]
fn the_runner_of_the_manual_page_works() {
    let page = include_str!("../../man/rrr-runner.7");
    let (_, behind) = page.split_once("IN TEN LINES\n.nf\n").unwrap();
    let (program, _) = behind.split_once(".fi\n").unwrap();
    assert_eq!(program.lines().count(), 10);
    let setup = Setup::new(1);
    std::fs::write(setup.suite.path().join("runner.py"), program).unwrap();
    setup
        .suite
        .file("good.sh", "echo $RRR_ATTEMPT; exit 0")
        .file("bad.sh", "exit 1");
    let ran = setup.run(SLAVE, &[]);
    assert_eq!(ran.verdict("good.sh"), "passed 1 0 0");
    assert_eq!(ran.verdict("bad.sh"), "failed 0 0 1");
    assert_eq!(ran.trial("good.sh")["stdout"], "1\n");
}
