//! The tree that runs is the tree that was submitted, or nothing runs (FAULTS F3).

use crate::harness::*;
use std::path::Path;

/// A suite whose test fails in the previous tree, and a worker for it.
struct World {
    server: Server,
    suite: Suite,
    work: tempfile::TempDir,
    remote: tempfile::TempDir,
    _fleet: Fleet,
}

impl World {
    fn new() -> Self {
        let server = Server::new();
        let world = Self {
            _fleet: Fleet::start(&server),
            suite: Suite::new(),
            work: tempfile::tempdir().unwrap(),
            remote: tempfile::tempdir().unwrap(),
            server,
        };
        world.suite.file("a.sh", "exit 0");
        world
    }

    /// Starts a worker that fetches its trees from `remote`.
    fn worker(&self) -> Running {
        Tool::new(&self.server, "rrr-worker")
            .args(["--worker-id", "w", "--slaves", "1", "--working-dir"])
            .arg(self.work.path())
            .args(["--rsync-remote-path", text(self.remote.path())])
            .spawn()
    }

    fn submit(&self, args: &[&str]) -> Finished {
        Tool::new(&self.server, "rrr-submit")
            .args(["--rsync-name", "me", "--follow", "--max-trials", "1"])
            .args(args)
            .args(["a.sh", "--", "sh", "{}"])
            .dir(self.suite.path())
            .run()
    }

    /// Submits after syncing the tree to `remote`.
    fn send(&self, remote: &Path, args: &[&str]) -> Finished {
        let to = ["--rsync-remote-path", text(remote)];
        self.submit(&[&to[..], args].concat())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn reason(done: Finished) -> String {
    let receipt = done.expect_code(1).receipt();
    receipt.fail_reason.as_deref().unwrap().to_owned()
}

#[test]
fn f3_a_tree_sent_elsewhere_or_not_at_all_is_not_run() {
    let world = World::new();
    let _worker = world.worker();
    world.send(world.remote.path(), &[]).expect_code(0);
    let old = std::fs::read_to_string(world.work.path().join("me/.rrr-stamp")).unwrap();
    // With another length: rsync considers files of equal length and second the same.
    world.suite.file("a.sh", "exit 1 # changed");
    let typo = tempfile::tempdir().unwrap();
    let said = reason(world.send(typo.path(), &[]));
    let of = |field: &str| {
        let keys: Vec<String> = world.server.run(&["KEYS", "rrrspec:taskset:*"]);
        let hash = keys.iter().filter(|key| key.matches(':').count() == 2);
        hash.filter_map(|key| world.server.hget(key, field))
            .collect::<Vec<String>>()
    };
    let stamps = of("tree_stamp");
    assert!(said.contains("not the one that was submitted"), "{said}");
    assert_eq!(stamps.len(), 2);
    assert!(
        stamps.iter().all(|stamp| said.contains(stamp)),
        "{said} {stamps:?}"
    );
    assert!(said.contains(old.lines().next().unwrap()), "{said}");
    let said = reason(world.submit(&["--no-rsync"]));
    assert!(said.contains("submitted with --no-rsync from"), "{said}");
    // The new tree fails by its test.
    let done = world.send(world.remote.path(), &[]).expect_code(1);
    assert_eq!(done.receipt().failed, 1);
    assert!(done.receipt().fail_reason.is_none(), "{:?}", done.receipt());
}

#[test]
fn a_stamp_arrives_despite_excludes_and_stays_out_of_the_tree() {
    let world = World::new();
    let _worker = world.worker();
    // The stamp of a tree that was once fetched by rsync.
    world.suite.file(".rrr-stamp", "of another");
    for options in [
        "--archive --delete --exclude=.*",
        "-rl --size-only",
        "-a --delete-excluded --exclude=*stamp*",
    ] {
        let done = world.send(world.remote.path(), &["--rsync-options", options]);
        assert_eq!(done.expect_code(0).receipt().succeeded, 1, "{options}");
    }
    let kept = std::fs::read_to_string(world.suite.path().join(".rrr-stamp")).unwrap();
    assert_eq!(kept, "of another");
    let mut names: Vec<_> = std::fs::read_dir(world.suite.path()).unwrap().collect();
    names.retain(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name() != ".rrr-stamp")
    });
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_missing_tree_folder_is_created_only_on_request() {
    let world = World::new();
    let missing = world.remote.path().join("no/such");
    let refused = world.send(&missing, &[]).expect_code(2);
    assert!(
        refused.stderr.contains("pass --mkpath to create it"),
        "{}",
        refused.stderr
    );
    assert!(!world.remote.path().join("no").exists());
    let submitted: Vec<String> = world.server.run(&["KEYS", "rrrspec:taskset:*"]);
    assert_eq!(submitted, [""; 0]);
    let _worker = Tool::new(&world.server, "rrr-worker")
        .args(["--worker-id", "w", "--slaves", "1", "--working-dir"])
        .arg(world.work.path())
        .args(["--rsync-remote-path", text(&missing)])
        .spawn();
    let done = world.send(&missing, &["--mkpath"]).expect_code(0);
    assert_eq!(done.receipt().succeeded, 1);
}

#[test]
fn an_unstamped_tree_is_run_and_reported_once() {
    let world = World::new();
    let worker = Tool::new(&world.server, "rrr-worker")
        .args(["--worker-id", "w", "--slaves", "1", "--in-place", "."])
        .dir(world.suite.path())
        .spawn();
    for _ in 0..2 {
        world.send(world.remote.path(), &[]).expect_code(0);
        world.submit(&["--no-rsync"]).expect_code(0);
    }
    worker.term();
    let said = worker.wait(PATIENCE).stderr;
    assert_eq!(
        said.matches("cannot check that it is the submitted tree")
            .count(),
        1,
        "{said}"
    );
}

#[test]
fn f3_an_edit_of_the_same_length_and_second_is_sent() {
    let world = World::new();
    let _worker = world.worker();
    world.send(world.remote.path(), &[]).expect_code(0);
    let file = world.suite.path().join("a.sh");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "exit 1").unwrap();
    // The same second, another nanosecond.
    let since = before.duration_since(std::time::UNIX_EPOCH).unwrap();
    let nanos = (since.subsec_nanos() + 1000) % 1_000_000_000;
    let after = std::time::UNIX_EPOCH + std::time::Duration::new(since.as_secs(), nanos);
    let edited = std::fs::File::options().write(true).open(&file).unwrap();
    edited.set_modified(after).unwrap();
    world.send(world.remote.path(), &[]).expect_code(1);
}
