//! The example of rrr-protocol(7), run in redis-cli: Redis gives the replies on the page, and each
//! role leaves the same keys as the commands of its step.

use super::protocol_page::Page;
use crate::harness::*;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

/// The commands of one role, with the reply to each.
struct Step {
    /// The role and its action.
    about: String,
    commands: Vec<(String, String)>,
}

impl Step {
    fn is_of(&self, role: &str) -> bool {
        self.about.starts_with(&format!("\\fBThe {role}\\fR "))
    }

    /// Runs the commands in redis-cli.
    fn play(&self, server: &Server) {
        for (command, reply) in &self.commands {
            let typed = Tool::program(server, redis_cli())
                .args(["--no-raw", "-s"])
                .arg(server.socket())
                .stdin(format!("{command}\n"))
                .run();
            assert_eq!(typed.stdout.trim_end(), reply, "{command}: {typed:#?}");
        }
    }
}

fn redis_cli() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let found = ["redis-cli", "valkey-cli"].into_iter().find(on_path);
    found.expect("redis-cli or valkey-cli on PATH")
}

/// The steps of the example, in order.
fn steps(page: &Page) -> Vec<Step> {
    let section = page.text.split("\n.SH EXAMPLE\n").nth(1).unwrap();
    let section = section.split("\n.SH ").next().unwrap();
    let plain = section.replace("\\-", "-").replace("\\e", "\\");
    let mut steps = Vec::new();
    for block in plain.split("\n.fi\n.RE") {
        let Some((about, typed)) = block.split_once("\n.PP\n.RS 4\n.nf\n") else {
            assert_eq!(block.trim(), "", "text without commands");
            continue;
        };
        let commands = format!("\n{typed}");
        let commands = commands.split("\n> ").skip(1).map(|each| {
            let (command, reply) = each.split_once('\n').expect("a reply");
            (command.to_owned(), reply.to_owned())
        });
        steps.push(Step {
            about: about.rsplit(".PP\n").next().unwrap().to_owned(),
            commands: commands.collect(),
        });
    }
    steps
}

/// The keys without extensions, with times and the ids of slaves and trials replaced by a fixed
/// word.
fn without_extensions(page: &Page, server: &Server) -> BTreeMap<String, Value> {
    let mut seen = BTreeMap::new();
    for (name, key) in server.dump_keys() {
        if page.is_extension(&name, None) {
            continue;
        }
        let mut value = key.value;
        if let ("hash", Value::Object(fields)) = (&*key.kind, &mut value) {
            fields.retain(|field, value| *value != "" && !page.is_extension(&name, Some(field)));
            for (field, value) in fields {
                if field.ends_with("_at") {
                    *value = "a time".into();
                }
            }
        }
        let value = serde_json::from_str(&without_ids(&value.to_string())).unwrap();
        seen.insert(without_ids(&name), value);
    }
    seen
}

/// Replaces the word after each `:trial:` and `:slave:`.
fn without_ids(text: &str) -> String {
    let mut text = text.to_owned();
    for before in [":trial:", ":slave:"] {
        let mut pieces = text.split(before);
        let mut replaced = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let end = piece.find([':', '"']).unwrap_or(piece.len());
            replaced += &format!("{before}ID{}", &piece[end..]);
        }
        text = replaced;
    }
    text
}

fn persist(server: &Server, folder: &Path) {
    let persister = Tool::new(server, "rrr-persist").args(["--drain", "--log-dir"]);
    let db = format!("sqlite:{}", folder.join("history.db").display());
    let persister = persister.arg(folder).args(["--db", &db]);
    persister.run().expect_code(0);
}

#[test]
fn each_role_does_what_its_step_of_the_example_does() {
    let page = Page::read();
    let (by_hand, by_roles) = (Server::new(), Server::new());
    let records = tempfile::tempdir().unwrap();
    for step in steps(&page) {
        step.play(&by_hand);
        if step.is_of("dispatcher") {
            drain(&by_roles, "rrr-dispatch");
        } else if step.is_of("arbiter") {
            drain(&by_roles, "rrr-arbiter");
        } else if step.is_of("persister") {
            persist(&by_roles, records.path());
        } else {
            step.play(&by_roles);
        }
        let [real, typed] = [&by_roles, &by_hand].map(|server| without_extensions(&page, server));
        assert_eq!(real, typed, "after: {}", step.about);
    }
    for server in [&by_hand, &by_roles] {
        let ttl: i64 = server.run(&["TTL", "rrrspec:taskset:t1"]);
        assert!((1..=60).contains(&ttl), "{ttl}");
    }
    let files = records.path().read_dir().unwrap().flatten();
    let names: Vec<_> = files.map(|file| file.file_name()).collect();
    let is_record = |name: &&OsString| name.to_string_lossy().ends_with(".json");
    assert_eq!(names.iter().filter(is_record).count(), 1, "{names:?}");
}

#[test]
fn a_real_run_leaves_the_keys_of_the_example() {
    let page = Page::read();
    let (by_hand, real, suite) = (Server::new(), Server::new(), Suite::new());
    suite
        .file("a.sh", "echo hello")
        .file("b.sh", "echo sorry; exit 1");
    let mut steps = steps(&page);
    let last = steps.pop().unwrap();
    let fleet = Fleet::plan(&real).without_persister().start();
    let _worker = fleet.worker("w1", 1, suite.path());
    for step in &steps {
        step.play(&by_hand);
        if step.is_of("client") {
            step.play(&real);
        }
    }
    let expected = without_extensions(&page, &by_hand);
    let run = || without_extensions(&page, &real);
    wait::within(PATIENCE, || (run() == expected).then_some(()));
    assert_eq!(run(), expected);
    last.play(&by_hand);
    let records = tempfile::tempdir().unwrap();
    persist(&real, records.path());
    assert_eq!(run(), without_extensions(&page, &by_hand));
}

#[test]
fn the_example_names_scripts_that_exist_for_each_step() {
    let steps = steps(&Page::read());
    let roles = [
        "client",
        "dispatcher",
        "worker",
        "slave",
        "arbiter",
        "persister",
    ];
    for role in roles {
        assert!(steps.iter().any(|step| step.is_of(role)), "{role}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/lua");
    for step in &steps {
        assert!(roles.iter().any(|role| step.is_of(role)), "{}", step.about);
        let words = step
            .about
            .split(|c: char| !c.is_alphanumeric() && !"._".contains(c));
        let scripts = words.map(|word| word.trim_end_matches('.'));
        for script in scripts.filter(|word| word.ends_with(".lua")) {
            assert!(folder.join(script).is_file(), "{script}");
        }
    }
}
