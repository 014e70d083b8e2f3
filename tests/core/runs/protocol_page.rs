//! Compares rrr-protocol(7) with a Redis after an eventful run, to find any key, type, field,
//! status or event that the page lacks.

use crate::harness::*;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// The description of one key on the page.
struct Described {
    pattern: String,
    kind: String,
    /// Whether such keys may lack a time to live.
    stays: bool,
    fields: BTreeSet<String>,
    /// Fields that are extensions; all of them if the key itself is one.
    extensions: BTreeSet<String>,
    is_extension: bool,
}

/// The parts of the page that a test can check.
pub struct Page {
    pub text: String,
    keys: Vec<Described>,
    /// Fields by event.
    events: BTreeMap<String, BTreeSet<String>>,
}

impl Page {
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/rrr-protocol.7");
        let text = std::fs::read_to_string(path).unwrap();
        let mut keys = Vec::new();
        let mut events = BTreeMap::new();
        for section in text.split("\n.SS ").skip(1) {
            let section = section.split("\n.SH ").next().unwrap();
            let (pattern, body) = section.split_once('\n').unwrap();
            let about = body.split("\n.TP").next().unwrap();
            let (kind, _) = about.split_once('.').expect("the type comes first");
            let is_extension = about.contains(". Extension: ");
            let fields = body.split(".TP\n.B ").skip(1);
            let extensions = fields.filter(|field| is_extension || field.contains("\nExtension"));
            keys.push(Described {
                extensions: extensions.map(first_line).collect(),
                is_extension,
                pattern: format!("rrrspec:{pattern}"),
                kind: kind.to_owned(),
                stays: about.contains("No TTL") || about.contains("then none"),
                fields: items(body).into_iter().collect(),
            });
        }
        let section = text.split("\n.SH EVENTS").nth(1).unwrap();
        for item in items(section.split("\n.SH ").next().unwrap()) {
            let (name, fields) = item.split_once(" {").unwrap_or((&item, "}"));
            let fields = fields.trim_end_matches('}').split(", ");
            let fields = fields.filter(|field| !field.is_empty()).map(str::to_owned);
            events.insert(name.to_owned(), fields.collect());
        }
        Self { text, keys, events }
    }

    /// Whether this key, or this field of it, is an extension of the original protocol.
    pub fn is_extension(&self, key: &str, field: Option<&str>) -> bool {
        let entry = self.entry(key);
        let entry = entry.unwrap_or_else(|| panic!("the page lacks '{key}'"));
        entry.is_extension || field.is_some_and(|field| entry.extensions.contains(field))
    }

    /// The one entry that describes this key.
    fn entry(&self, key: &str) -> Option<&Described> {
        let fits = |entry: &&Described| matches(&entry.pattern, key);
        let found: Vec<&Described> = self.keys.iter().filter(fits).collect();
        let patterns: Vec<_> = found.iter().map(|entry| &entry.pattern).collect();
        assert!(found.len() < 2, "'{key}' is described twice: {patterns:?}");
        found.first().copied()
    }
}

/// The bold text after each `.TP`.
fn items(text: &str) -> Vec<String> {
    let items = text.split(".TP\n.B ").skip(1);
    items.map(first_line).collect()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap().to_owned()
}

/// Whether `key` matches `pattern`, whose words in capitals are placeholders.
fn matches(pattern: &str, key: &str) -> bool {
    let word = pattern.find(|c: char| c.is_ascii_uppercase());
    let Some(start) = word else {
        return pattern == key;
    };
    let Some(key) = key.strip_prefix(&pattern[..start]) else {
        return false;
    };
    let rest = &pattern[start..];
    let length = rest.find(|c: char| !c.is_ascii_uppercase());
    let (word, rest) = rest.split_at(length.unwrap_or(rest.len()));
    let allowed = |text: &str| match word {
        "FILE" => !text.contains(":trial"),
        "N" => text.chars().all(|c| c.is_ascii_digit()),
        _ => !text.contains(':'),
    };
    let ends = key.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.filter(|end| allowed(&key[..*end]))
        .any(|end| matches(rest, &key[end..]))
}

/// The parts of these keys that the page lacks.
fn lacking(page: &Page, keys: &dump::Keys) -> BTreeSet<String> {
    let mut lacking = BTreeSet::new();
    for (name, key) in keys {
        let Some(entry) = page.entry(name) else {
            lacking.insert(format!("the key '{name}'"));
            continue;
        };
        let pattern = &entry.pattern;
        if key.kind != entry.kind {
            lacking.insert(format!("'{pattern}' as {}", key.kind));
        }
        if key.ttl.is_none() && !entry.stays {
            lacking.insert(format!("'{pattern}' without a TTL"));
        }
        if let ("hash", Value::Object(fields)) = (&*key.kind, &key.value)
            && !["FILE", "NAME"]
                .iter()
                .any(|any| entry.fields.contains(*any))
        {
            let unknown = fields.keys().filter(|field| !entry.fields.contains(*field));
            lacking.extend(unknown.map(|field| format!("'{field}' of '{pattern}'")));
        }
    }
    lacking
}

/// The events in these keys that the page lacks or describes incompletely.
fn lacking_events(page: &Page, keys: &dump::Keys) -> BTreeSet<String> {
    let streams = keys.iter().filter(|(name, _)| name.ends_with(":events"));
    let entries = streams.flat_map(|(_, key)| key.value.as_array().unwrap());
    let texts = entries.flat_map(|entry| entry.as_object().unwrap().values());
    let mut lacking = BTreeSet::new();
    for text in texts {
        let event: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        let name = event["event"].as_str().unwrap();
        let known = page.events.get(name);
        for field in event.as_object().unwrap().keys() {
            if field != "event" && !known.is_some_and(|known| known.contains(field)) {
                lacking.insert(format!("'{field}' of the event '{name}'"));
            }
        }
    }
    lacking
}

/// Causes every event that leaves something in Redis, calling `look` in between.
fn an_eventful_day(look: impl Fn(&str, &Server)) {
    let (server, suite, trees) = (Server::new(), Suite::new(), Suite::new());
    let (remote, work) = (trees.path().join("remote"), trees.path().join("work"));
    std::fs::create_dir(&remote).unwrap();
    server.hset(
        "rrrspec:rsync_info",
        "rsync_remote_path",
        remote.to_str().unwrap(),
    );
    server.hset("rrrspec:rsync_info", "rsync_options", "--archive --delete");
    let fleet = Fleet::plan(&server).arbiters(0).without_persister().start();
    let arbiter = Tool::new(&server, "rrr-arbiter")
        .args(["--speculate-after", "0"])
        .spawn();
    let worker = Tool::new(&server, "rrr-worker")
        .env_remove("RRR_TRUST")
        .args(["--worker-id", "w", "--slaves", "2", "--working-dir"])
        .arg(&work)
        .spawn();
    suite
        .file("pass.sh", "echo out; echo err >&2")
        .file("fail.sh", "exit 1")
        .file("pend.sh", "exit 77")
        .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1")
        .file("signal.sh", "kill -9 $$")
        .file(
            "kills.sh",
            "[ -e killed ] && exit 0; touch killed; kill -9 $PPID; sleep 60",
        )
        // The last file: the other slave is idle and runs a second copy of it.
        .file("slow.sh", "[ -e slow ] && exit 0; touch slow; sleep 60");
    let submitter = |files: &[String], args: &[&str], command: &[&str]| {
        Tool::new(&server, "rrr-submit")
            .args(["--follow", "--rsync-name", "me"])
            .args(args)
            .args(files)
            .arg("--")
            .args(command)
            .dir(suite.path())
    };
    let args = ["--setup", "echo set up", "--max-trials", "2"];
    let done = submitter(&suite.files(), &args, &["sh", "{}"]).run();
    let receipt = done.clone().expect_code(1).receipt();
    assert_eq!(receipt.tasks, 7, "{done:#?}");
    assert!(!done.events_named("task_speculated").is_empty());

    let report = r#"printf '<testsuite><testcase classname="c" name="n"/></testsuite>' >"$1""#;
    suite.file("report.sh", report);
    let slave = "rrr-slave --report junit:report.xml -- sh {} report.xml";
    Tool::new(&server, "rrr-submit")
        .args([
            "--follow",
            "--rsync-name",
            "me",
            "--slave",
            slave,
            "report.sh",
        ])
        .dir(suite.path())
        .run()
        .expect_code(0);

    let unable = submitter(&["pass.sh".into()], &["--setup", "false"], &["sh", "{}"]).run();
    assert!(unable.expect_code(1).receipt().fail_reason.is_some());

    // A runner with a pending suite end.
    let hello = r#"read -r hello <&3; echo '{"type":"hello","version":1}' >&4; sleep 600"#;
    suite.file("endless.sh", hello);
    let files = ["endless.sh", "./endless.sh", ".//endless.sh"].map(str::to_owned);
    let runner = ["--slave", "rrr-slave --adapter serve -- sh endless.sh"];
    let endless = Tool::new(&server, "rrr-submit")
        .args(["--follow", "--rsync-name", "me"])
        .args(runner)
        .args(files)
        .dir(suite.path())
        .spawn();
    let trial = endless.wait_for_event("trial_started", PATIENCE);
    look("while it runs", &server);
    let quick = || {
        let tool = Tool::new(&server, "rrr-submit");
        let tool = tool.args(["--no-rsync", "--key-only", "x", "--", "true"]);
        tool.run().expect_code(0).stdout.trim().to_owned()
    };
    arbiter.stop();
    fleet.dispatchers[0].stop();
    Tool::new(&server, "rrr-cancel").arg("--all").run();
    let first = quick();
    look("without listeners", &server);
    arbiter.cont();
    fleet.dispatchers[0].cont();
    endless.wait(PATIENCE).expect_code(3);
    let trial = trial["trial"].as_str().unwrap();
    eventually(PATIENCE, "the stopped trial", || {
        server.hget(trial, "stopped")
    });
    // Otherwise the worker might still take the first one once it is found idle.
    eventually(PATIENCE, "the end of the first", || {
        server.hget(&first, "finished_at")
    });
    eventually(PATIENCE, "an idle worker", || {
        server
            .hget("rrrspec:worker:w", "taskset")
            .is_none()
            .then_some(())
    });
    worker.stop();
    quick();
    eventually(PATIENCE, "work for the worker", || {
        (!server.list("rrrspec:worker:w:worker_queue").is_empty()).then_some(())
    });
    look("while the worker is held up", &server);
    worker.cont();
    server.push("rrrspec:worker:w:worker_queue", "bogus");
    eventually(PATIENCE, "its refusal", || {
        (!server.list("rrrspec:worker:w:worker_queue:dead").is_empty()).then_some(())
    });
    server.tell_arbiter("bogus");
    eventually(PATIENCE, "its refusal", || {
        (!server.list("rrrspec:arbiter_queue:dead").is_empty()).then_some(())
    });
    eventually(PATIENCE, "the end of all", || {
        server
            .list("rrrspec:active_taskset")
            .is_empty()
            .then_some(())
    });
    look("before they are persisted", &server);

    server.push("rrrspec:persister_queue", "bogus");
    let persister = || {
        let persister = Tool::new(&server, "rrr-persist").args(["--drain", "--log-dir"]);
        persister.arg(trees.path().join("records"))
    };
    let broken = format!("sqlite:{}", trees.path().join("broken.db").display());
    let mut database = rrr::archive::db::Url::new(broken.clone())
        .unwrap()
        .open()
        .unwrap();
    let gone = "ALTER TABLE trials RENAME TO hidden";
    database.execute(gone, &[]).unwrap();
    persister().args(["--db", &broken]).run().expect_code(70);
    look("when they could not be persisted", &server);
    persister().run().expect_code(0);
    look("when they are persisted", &server);
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    fleet.stop();
    look("when all have left", &server);
}

#[test]
fn the_page_names_every_key_type_field_and_event_of_a_real_run() {
    let page = Page::read();
    let seen = std::sync::Mutex::new(BTreeSet::new());
    an_eventful_day(|when, server| {
        let keys = server.dump_keys();
        let lacking: Vec<String> = lacking(&page, &keys)
            .into_iter()
            .chain(lacking_events(&page, &keys))
            .collect();
        assert!(
            lacking.is_empty(),
            "{when}, rrr-protocol(7) lacks {lacking:#?}"
        );
        let known = keys.keys().filter_map(|key| page.entry(key));
        seen.lock()
            .unwrap()
            .extend(known.map(|entry| entry.pattern.clone()));
    });
    // Conversely, the run was eventful enough to show everything that the page describes.
    let rare = ["rsync_lock:NAME", "taskset:ID:log", "ID:N", "ID:N:log"];
    let seen = seen.into_inner().unwrap();
    let unseen: Vec<_> = page
        .keys
        .iter()
        .map(|entry| &entry.pattern)
        .filter(|pattern| {
            !seen.contains(*pattern) && !rare.iter().any(|end| pattern.ends_with(end))
        })
        .collect();
    assert!(unseen.is_empty(), "described, and never seen: {unseen:?}");
}

#[test]
fn the_page_names_every_status_and_message() {
    let page = Page::read();
    let statuses = ["running", "succeeded", "cancelled", "failed"]
        .into_iter()
        .chain(["passed", "pending", "error", "timeout"])
        .chain(["normal_exit", "timeout_exit", "failure_exit"]);
    for status in statuses {
        assert!(page.text.contains(&format!("\\fB{status}\\fR")), "{status}");
    }
    let messages = page.text.split("\n.SH MESSAGES").nth(1).unwrap();
    let messages = items(messages.split("\n.SH ").next().unwrap());
    assert_eq!(messages, ["cancel", "check", "fail", "trial"]);
}

#[test]
fn every_field_on_the_page_is_still_in_the_code() {
    let page = Page::read();
    let mut code = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("lib")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => code.push_str(&std::fs::read_to_string(path).unwrap()),
            }
        }
    }
    let fields = page.keys.iter().flat_map(|entry| &entry.fields);
    let gone: Vec<_> = fields
        .filter(|field| !["FILE", "NAME"].contains(&&***field))
        .filter(|field| {
            let quoted = [format!("'{field}'"), format!("\"{field}\"")];
            !quoted.iter().any(|quoted| code.contains(quoted))
        })
        .collect();
    assert!(gone.is_empty(), "on the page and not in lib/: {gone:?}");
}
