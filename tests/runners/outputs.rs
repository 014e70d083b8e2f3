//! Files that tests leave in TEST_UNDECLARED_OUTPUTS_DIR are kept and reported, if configured.

use crate::harness::*;
use crate::setup::{Ran, Setup};
use std::path::{Path, PathBuf};

impl Ran<'_> {
    /// The outputs folder that the last trial of a file reported.
    fn outputs(&self, file: &str) -> Option<PathBuf> {
        self.trial(file).get("outputs").map(PathBuf::from)
    }
}

/// A setup whose worker keeps outputs in `out`, relative to its working folder.
fn setup(folder: &Path) -> Setup {
    Setup::with(1, |worker, _| worker.dir(folder).args(["--outputs", "out"]))
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn only_files_that_a_test_leaves_are_kept_and_reported() {
    // Probably on another file system than the suite.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let setup = setup(folder.path());
    setup
        .suite
        .file(
            "leaves.sh",
            "echo kept >\"$TEST_UNDECLARED_OUTPUTS_DIR/a b\"",
        )
        .file(
            "nothing.sh",
            "ls -A \"$TEST_UNDECLARED_OUTPUTS_DIR\" >seen && test ! -s seen",
        )
        .file("removes.sh", "rmdir \"$TEST_UNDECLARED_OUTPUTS_DIR\"");
    let ran = setup.run("rrr-slave -- sh {}", &[]);
    assert_eq!(ran.verdict("leaves.sh"), "passed 1 0 0");
    assert_eq!(ran.verdict("nothing.sh"), "passed 1 0 0");
    assert_eq!(ran.verdict("removes.sh"), "passed 1 0 0");
    assert_eq!(ran.outputs("nothing.sh"), None);
    assert_eq!(ran.outputs("removes.sh"), None);
    let kept = ran.outputs("leaves.sh").expect("a folder");
    assert_eq!(std::fs::read_to_string(kept.join("a b")).unwrap(), "kept\n");
    // DIR/TASKSET/TRIAL.
    let taskset = kept.parent().unwrap();
    let receipt = ran.done.receipt();
    let key = receipt.taskset.as_str();
    assert!(key.ends_with(taskset.file_name().unwrap().to_str().unwrap()));
    assert_eq!(taskset.parent().unwrap(), folder.path().join("out"));
    assert_eq!(count(taskset), 1);
    let events = ran.done.events();
    let reported = events.iter().filter(|event| event.get("outputs").is_some());
    let reported: Vec<_> = reported.map(|event| &event["event"]).collect();
    assert_eq!(reported, ["trial_finished"]);
    let text = Tool::new(&setup.server, "rrr-show").arg(key).run();
    let line = format!("  leaves.sh: outputs in {}\n", kept.display());
    assert!(text.stdout.contains(&line), "{}", text.stdout);
}

#[test]
fn tests_under_runners_leave_outputs_too() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let ruby = |code: &str| format!("RSpec.describe('x') {{ it('y') {{ {code} }} }}");
    setup
        .suite
        .file(
            "1_spec.rb",
            &ruby("File.write(ENV['TEST_UNDECLARED_OUTPUTS_DIR'] + '/kept', 'x')"),
        )
        .file(
            "2_spec.rb",
            &ruby("expect(Dir.children(ENV['TEST_UNDECLARED_OUTPUTS_DIR'])).to eq []"),
        );
    for isolation in ["fork", "none"] {
        let slave = format!("rrr-slave --adapter rspec --isolation {isolation}");
        let ran = setup.run(&slave, &[]);
        let kept = ran.outputs("1_spec.rb").expect("a folder");
        assert!(kept.join("kept").exists());
        assert_eq!(ran.verdict("2_spec.rb"), "passed 1 0 0");
        assert_eq!(ran.outputs("2_spec.rb"), None);
        assert_eq!(count(kept.parent().unwrap()), 1);
    }
    let python = |code: &str| {
        format!(
            "import os\ndef test_x():\n    folder = os.environ['TEST_UNDECLARED_OUTPUTS_DIR']\n    {code}\n"
        )
    };
    let list = "test_1.py\ntest_2.py\n";
    setup
        .suite
        .file("test_1.py", &python("open(folder + '/kept', 'w').close()"))
        .file("test_2.py", &python("assert os.listdir(folder) == []"));
    for isolation in ["fork", "none"] {
        let slave = format!("rrr-slave --adapter pytest --isolation {isolation}");
        let ran = setup.submit(|submit| {
            submit
                .args(["--slave", &slave, "--files-from", "-"])
                .stdin(list)
        });
        let kept = ran.outputs("test_1.py").expect("a folder");
        assert!(kept.join("kept").exists());
        assert_eq!(ran.verdict("test_2.py"), "passed 1 0 0");
        assert_eq!(ran.outputs("test_2.py"), None);
        assert_eq!(count(kept.parent().unwrap()), 1);
    }
}

#[test]
fn no_outputs_folder_is_offered_unless_it_is_kept() {
    let setup = Setup::new(1);
    setup
        .suite
        .file("a.sh", "test -z \"${TEST_UNDECLARED_OUTPUTS_DIR+set}\"");
    let ran = setup.run("rrr-slave -- sh {}", &[]);
    assert_eq!(ran.verdict("a.sh"), "passed 1 0 0");
}

#[test]
fn an_unwritable_outputs_folder_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let server = Server::new();
    let says = format!("cannot keep outputs in '{}'", file.display());
    let tools = [
        Tool::new(&server, "rrr-worker"),
        Tool::new(&server, "rrr-slave").args(["--taskset", "rrrspec:taskset:t"]),
        Tool::new(&server, "rrr-local").args(["file", "--", "true"]),
    ];
    for tool in tools {
        let done = tool.env("RRR_OUTPUTS", &file).dir(folder.path()).run();
        let done = done.expect_code(2);
        assert!(done.stderr.contains(&says), "{}", done.stderr);
    }
    // The folder may also disappear while the slave runs.
    let setup = setup(folder.path());
    let out = folder.path().join("out");
    let spoil = format!("rm -r {0} && echo >{0}", out.display());
    let ruby = |code: &str| format!("RSpec.describe('x') {{ it('y') {{ {code} }} }}");
    setup
        .suite
        .file("1.sh", &spoil)
        .file("2.sh", "echo ran >>ran")
        .file("1_spec.rb", &ruby(&format!("system('{spoil}')")))
        .file("2_spec.rb", &ruby("File.write('ran', '')"));
    for (slave, ending) in [
        ("rrr-slave -- sh {}", ".sh"),
        ("rrr-slave --adapter rspec", "_spec.rb"),
    ] {
        let list = format!("1{ending}\n2{ending}\n");
        let ran = setup.submit(|submit| {
            let list = submit.args(["--files-from", "-"]).stdin(list);
            list.args(["--slave", slave])
        });
        assert_eq!(ran.verdict(&format!("1{ending}")), "passed 1 0 0");
        let trial = ran.trial(&format!("2{ending}"));
        assert_eq!(trial["status"], "error", "{trial:?}");
        let says = format!("cannot keep outputs in '{}/", out.display());
        assert!(trial["stderr"].contains(&says), "{trial:?}");
        assert!(!setup.suite.path().join("ran").exists());
        std::fs::remove_file(&out).unwrap();
    }
}
