//! Neither the content of a tree nor its source settings can reach outside the working folder.

use crate::harness::*;
use rrr::suite::rsync::check_options;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A tree store with the tree of "me", and a worker's working folder.
struct World {
    server: Server,
    remote: tempfile::TempDir,
    work: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            server: Server::new(),
            remote: tempfile::tempdir().unwrap(),
            work: tempfile::tempdir().unwrap(),
        };
        let tree = world.remote.path().join("me");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("a.sh"), "echo ran >>ran").unwrap();
        world
    }

    /// Submits `a.sh` of the existing tree, as a submitter without stamps would, and runs it on a
    /// worker that fetches the tree.
    fn run(&self) -> Finished {
        let key = "rrrspec:taskset:unstamped";
        self.submit(&["--no-rsync", "--taskset", key])
            .expect_code(0);
        self.server.run::<i64>(&["HDEL", key, "tree_stamp"]);
        let (_fleet, _worker) = (Fleet::start(&self.server), self.worker());
        Tool::new(&self.server, "rrr-watch")
            .args([key, "--output", "json"])
            .run()
    }

    fn submit(&self, args: &[&str]) -> Finished {
        Tool::new(&self.server, "rrr-submit")
            .args(["--rsync-name", "me", "--max-trials", "1"])
            .args(args)
            .args(["a.sh", "--", "sh", "{}"])
            .run()
    }

    fn worker(&self) -> Running {
        let path = self.remote.path().display().to_string();
        if self
            .server
            .hget("rrrspec:rsync_info", "rsync_remote_path")
            .is_none()
        {
            self.server
                .hset("rrrspec:rsync_info", "rsync_remote_path", &path);
        }
        Tool::new(&self.server, "rrr-worker")
            // A worker with --trust takes no tree source from Redis.
            .env_remove("RRR_TRUST")
            .args(["--worker-id", "w", "--slaves", "1", "--working-dir"])
            .arg(self.work.path())
            .spawn()
    }

    fn reason(&self) -> String {
        let receipt = self.run().expect_code(1).receipt();
        receipt.fail_reason.as_deref().expect("a reason").to_owned()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_tree_folder_that_links_outside_is_never_written_to() {
    let world = World::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("precious"), "").unwrap();
    symlink(outside.path(), world.work.path().join("me")).unwrap();
    let reason = world.reason();
    assert!(
        reason.contains("leads out of the working folder"),
        "{reason}"
    );
    assert_eq!(names(outside.path()), ["precious"]);
}

#[test]
fn s4_only_links_that_stay_inside_the_tree_arrive() {
    let world = World::new();
    let tree = world.remote.path().join("me");
    symlink("/etc/passwd", tree.join("absolute")).unwrap();
    symlink("../../etc", tree.join("upwards")).unwrap();
    symlink("a.sh", tree.join("within.sh")).unwrap();
    let receipt = world.run().expect_code(0).receipt();
    assert_eq!(receipt.succeeded, 1);
    assert_eq!(
        names(&world.work.path().join("me")),
        ["a.sh", "ran", "within.sh"]
    );
}

/// Options of rsync that run a program, read or write a file outside the tree, or follow links that
/// lead outside it.
const EVIL: [&str; 40] = [
    "--copy-links",
    "--copy-unsafe-links",
    "--copy-dirlinks",
    "-L",
    "-k",
    "-K",
    "-avLz",
    "-rk",
    "-e 'sh -c evil'",
    "-esh",
    "-ae sh",
    "--rsh=evil",
    "--rsh evil",
    "--rsync-path=evil",
    "--rsync-path 'evil; rsync'",
    "-M--log-file=/x",
    "--remote-option=--log-file=/x",
    "--daemon",
    "--config=/x",
    "--server",
    "--sender",
    "--log-file=/etc/cron.d/x",
    "--log-file-format=x",
    "--files-from=/etc/shadow",
    "--exclude-from=/etc/shadow",
    "--include-from=/etc/shadow",
    "-f '. /etc/shadow'",
    "--filter='merge /etc/shadow'",
    "-F",
    "--password-file=/etc/shadow",
    "--write-batch=/x",
    "--only-write-batch=/x",
    "--read-batch=/x",
    "--temp-dir=/x",
    "-T /x",
    "--partial-dir=/x",
    "--backup-dir=/x",
    "--compare-dest=/x",
    "--link-dest=/x",
    "--archive -- /etc/ evil@host:/",
];

#[test]
fn s3_dangerous_rsync_options_from_redis_are_refused() {
    for options in EVIL {
        assert!(check_options(options, "rsync_info").is_err(), "{options}");
        let beside = format!("--archive --delete {options} --compress");
        assert!(check_options(&beside, "rsync_info").is_err(), "{beside}");
    }
    for options in [
        "",
        "-az --delete",
        "--archive --exclude='.git x'",
        "--chmod=u+rw",
    ] {
        assert!(check_options(options, "rsync_info").is_ok(), "{options}");
    }
    let world = World::new();
    let trace = world.work.path().join("trace");
    let evil = format!("--archive -e 'touch {}'", trace.display());
    world
        .server
        .hset("rrrspec:rsync_info", "rsync_options", &evil);
    let path = format!("localhost:{}", world.remote.path().display());
    world
        .server
        .hset("rrrspec:rsync_info", "rsync_remote_path", &path);
    let reason = world.reason();
    assert!(reason.contains("'-e'"), "{reason}");
    assert!(!trace.exists());
}
