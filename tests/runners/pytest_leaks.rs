//! pytest without isolation: state left by a file changes no verdict of a later one.

use crate::setup::{Ran, Setup};

const NONE: &str = "rrr-slave --adapter pytest --isolation none";

/// Runs all files in order.
fn in_order<'a>(setup: &'a Setup, slave: &str) -> Ran<'a> {
    let line = |file: &String| format!("{{\"spec_file\":\"{file}\",\"estimate_sec\":0}}\n");
    let lines: String = setup.suite.files().iter().map(line).collect();
    setup.submit(|submit| {
        submit
            .args(["--slave", slave, "--files-from", "-"])
            .stdin(lines)
    })
}

fn leaks(code: &str) -> String {
    format!(
        "import builtins, json, logging, os, random, select, signal, socket, sys, threading, time\nclass OnlyWrites:\n    def write(self, text): pass\nos.environ['AT_IMPORT'] = sys.argv[0]\nsys.path.insert(0, '/nowhere')\ndef test_leaks(tmp_path):\n    {code}\n"
    )
}

/// Fails if a change by one file is present, or a change for all files is missing.
const LOOKS: &str = r"import builtins, json, logging, os, select, signal, socket, sys, time
import sets_variable
def test_variables():
    assert os.environ['OF_CONFTEST'] == os.environ['OF_SESSION'] == os.environ['OF_MODULE'] == 'yes'
    assert 'AT_IMPORT' not in os.environ and 'LEAK' not in os.environ and 'HOME' in os.environ
def test_places():
    assert os.path.exists('conftest.py') and '/nowhere' not in sys.path and os.umask(18) == 18
def test_signals():
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) and signal.getitimer(signal.ITIMER_REAL)[0] == 0
def test_functions():
    assert time.time() > 1 and time.monotonic() > 0 and json.dumps([]) == '[]' and os.getpid() > 1
    assert 'built-in' in repr(select.select) and 'built-in' in repr(print) and not hasattr(builtins, 'leak')
    assert 'leak' not in sys.modules and sys.modules['json'] is json
    assert sys.getrecursionlimit() != 5000 and socket.getdefaulttimeout() is None
    assert logging.root.manager.disable == 0 and hasattr(sys.stdout, 'flush')
";

const CONFTEST: &str = r"import os, pytest, signal
os.environ['OF_CONFTEST'] = 'yes'
os.umask(18)
@pytest.fixture(scope='session', autouse=True)
def shared():
    os.environ['OF_SESSION'] = 'yes'
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    yield
";

const LEAKS: &[&str] = &[
    "os.environ['LEAK'] = '1'; os.environ.pop('HOME')",
    "os.environ.clear(); os.environ = {}",
    "os.chdir(tmp_path); os.umask(0)",
    "os.chdir(tmp_path); os.rmdir(tmp_path)",
    "signal.signal(15, signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); signal.alarm(600)",
    "sys.stdout = sys.stderr = OnlyWrites()",
    "sys.__stdout__ = sys.__stderr__ = sys.stdin = OnlyWrites()",
    "time.time = time.monotonic = lambda: 0; json.dumps = lambda *a, **k: '{}'",
    "os.write = os.read = select.select = os.getpid = lambda *a: 0",
    "builtins.print = lambda *a, **k: None; builtins.leak = 1",
    "sys.modules['leak'] = OnlyWrites(); sys.modules.pop('json')",
    "sys.setrecursionlimit(5000); socket.setdefaulttimeout(1); logging.disable(50); random.seed(0)",
    "os.close(1); os.close(2)",
];

#[test]
fn process_state_left_by_a_file_is_reset_before_the_next() {
    let setup = Setup::new(1);
    let write =
        |name: &str, text: &str| std::fs::write(setup.suite.path().join(name), text).unwrap();
    write("conftest.py", CONFTEST);
    write(
        "sets_variable.py",
        "import os\nos.environ['OF_MODULE'] = 'yes'\n",
    );
    for (n, code) in LEAKS.iter().enumerate() {
        setup
            .suite
            .file(&format!("test_{n:02}_a.py"), &leaks(code))
            .file(&format!("test_{n:02}_b.py"), LOOKS);
    }
    let ran = in_order(&setup, NONE);
    for (n, code) in LEAKS.iter().enumerate() {
        let (first, second) = (format!("test_{n:02}_a.py"), format!("test_{n:02}_b.py"));
        assert_eq!(
            ran.verdict(&first),
            "passed 1 0 0",
            "{code} {:?}",
            ran.trial(&first)
        );
        assert_eq!(
            ran.verdict(&second),
            "passed 4 0 0",
            "{code} {:?}",
            ran.trial(&second)
        );
    }
}

#[test]
fn a_file_passes_after_another_closed_or_captured_stdout() {
    let setup = Setup::new(1);
    setup
        .suite
        .file(
            "test_1.py",
            "import sys\ndef test_closes(): sys.stdout.close()\n",
        )
        .file("test_2.py", "def test_fine(): print('fine')\n")
        .file(
            "test_3.py",
            "import sys\ndef test_closes(): sys.__stdout__.close()\n",
        )
        .file("test_4.py", "def test_fine(): print('fine')\n");
    let ran = in_order(&setup, NONE);
    for file in ["test_2.py", "test_4.py"] {
        assert_eq!(ran.verdict(file), "passed 1 0 0", "{:?}", ran.trial(file));
    }
}

#[test]
fn whole_run_options_are_disabled_or_work_per_file() {
    let setup = Setup::new(2);
    let write =
        |name: &str, text: &str| std::fs::write(setup.suite.path().join(name), text).unwrap();
    write(
        "pytest.ini",
        "[pytest]\naddopts = --junitxml=report.xml --basetemp=base/deep --maxfail=1 --cache-clear --lf --sw\n",
    );
    for n in 0..4 {
        setup.suite.file(
            &format!("test_{n}.py"),
            "import time\ndef test_folder(tmp_path):\n    (tmp_path / 'x').write_text('x')\n    time.sleep(0.1)\n    assert (tmp_path / 'x').exists() and 'popen-gw' in str(tmp_path)\ndef test_other(): pass\n",
        );
    }
    for slave in ["rrr-slave --adapter pytest", NONE] {
        let ran = setup.run(slave, &[]);
        for n in 0..4 {
            let file = format!("test_{n}.py");
            assert_eq!(
                ran.verdict(&file),
                "passed 2 0 0",
                "{slave} {:?}",
                ran.trial(&file)
            );
        }
        assert!(!setup.suite.path().join("report.xml").exists());
    }
}

#[test]
fn an_unrestorable_runner_is_replaced_before_the_next_file() {
    let setup = Setup::new(1);
    let write =
        |name: &str, text: &str| std::fs::write(setup.suite.path().join(name), text).unwrap();
    write(
        "conftest.py",
        "import os\nopen('pids', 'a').write(f'{os.getpid()}\\n')\n",
    );
    write(
        "patches.py",
        "import time\ndef frozen(): return 0\ndef freeze(): time.time = frozen\n",
    );
    setup
        .suite
        .file(
            "test_1.py",
            "import threading, time\ndef test_starts(): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n",
        )
        .file(
            "test_2.py",
            "import patches, threading\ndef test_alone(): assert threading.active_count() == 1\ndef test_freezes(): patches.freeze()\n",
        )
        .file("test_3.py", "import time\ndef test_time(): assert time.time() > 1\n")
        .file("test_4.py", "def test_fine(): pass\n");
    let ran = in_order(&setup, NONE);
    for (file, verdict) in [
        ("test_1.py", "passed 1 0 0"),
        ("test_2.py", "passed 2 0 0"),
        ("test_3.py", "passed 1 0 0"),
        ("test_4.py", "passed 1 0 0"),
    ] {
        assert_eq!(ran.verdict(file), verdict, "{:?}", ran.trial(file));
    }
    assert_eq!(setup.suite.lines("pids").len(), 3);
}
