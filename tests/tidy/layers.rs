//! The layers of lib/: a folder imports only folders below it, and imports have no cycles.

use crate::{Source, only, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The layers of lib/, the lowest first. Folders of one layer do not import each other.
const FLOORS: &[&[&str]] = &[
    &["process"],
    &["protocol"],
    &["store", "tool"],
    &["entity"],
    &["exec", "archive", "suite"],
    &["show", "inspect", "cli"],
    &["role"],
    &["manual"],
    &["proof"],
];

/// Folders that must not import these lower folders.
const STRANGERS: &[(&str, &[&str])] = &[
    // Tests run without Redis; support for test tools is not part of a run.
    ("exec", &["store", "entity"]),
    ("tool", &["store", "entity"]),
];

/// The modules of process/ that protocol/ may import, as it does no I/O.
const KNOWN_TO_PROTOCOL: &[&str] = &["exit", "text"];

/// Files outside of store/ and entity/ that name the redis crate, and why.
const REDIS_ELSEWHERE: &[&str] = &[
    // A taskset with all its keys is read and given an expiry in bulk.
    "lib/archive/document/expire.rs",
    "lib/archive/document/gather.rs",
    // Estimates are published in one pipeline with the mark of the class.
    "lib/archive/estimate.rs",
    // rrr-fsck and rrr-stat read all keys, even those that the entities would reject.
    "lib/inspect/fsck/leaks.rs",
    "lib/inspect/fsck/load.rs",
    "lib/inspect/fsck/snapshot.rs",
    "lib/inspect/stat/collect.rs",
    // A key is an argument of a command.
    "lib/protocol/key.rs",
];

/// The modules of lib/ by path (`["store", "address"]`), each with the modules it imports.
fn imports() -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let sources = sources("lib", ".rs");
    let modules: BTreeSet<Vec<String>> = sources.iter().map(module).collect();
    let imports = |source: &Source| {
        let own = module(source);
        paths(&source.code())
            .into_iter()
            .filter_map(|path| resolve(&own, &path, &modules))
            .filter(|module| *module != own)
            .collect()
    };
    sources.iter().map(|s| (module(s), imports(s))).collect()
}

fn module(source: &Source) -> Vec<String> {
    let path = source.path.trim_start_matches("lib/");
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let parts = path.split('/').filter(|part| *part != "lib");
    parts.map(str::to_owned).collect()
}

/// Every path of the code that starts with `crate`, `super` or `self`, braces of `use` resolved.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            let starts = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'));
            if starts {
                expand(
                    &mut Vec::new(),
                    &mut code[at..].chars().peekable(),
                    &mut found,
                );
            }
        }
    }
    found
}

/// Parses one use tree from `text` and adds its leaves to `found`.
fn expand(
    prefix: &mut Vec<String>,
    text: &mut std::iter::Peekable<std::str::Chars>,
    found: &mut Vec<Vec<String>>,
) {
    let depth = prefix.len();
    loop {
        while text.next_if(|c| c.is_whitespace()).is_some() {}
        if text.next_if_eq(&'{').is_some() {
            while text.peek().is_some_and(|c| *c != '}') {
                expand(prefix, text, found);
                // Skips an alias and the comma.
                while text.next_if(|c| *c != ',' && *c != '}').is_some() {}
                text.next_if_eq(&',');
                while text.next_if(|c| c.is_whitespace()).is_some() {}
            }
            text.next();
            break;
        }
        let mut word = String::new();
        while let Some(c) = text.next_if(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
        }
        prefix.push(word);
        if text.next_if_eq(&':').is_none() || text.next_if_eq(&':').is_none() {
            found.push(prefix.clone());
            break;
        }
    }
    prefix.truncate(depth);
}

/// The module that a path names.
fn resolve(
    own: &[String],
    path: &[String],
    modules: &BTreeSet<Vec<String>>,
) -> Option<Vec<String>> {
    let mut target = match path.first()?.as_str() {
        "crate" => Vec::new(),
        _ => own.to_vec(),
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(target.pop()),
            part => {
                target.push(part.to_owned());
                if !modules.contains(&target) {
                    target.pop();
                    break;
                }
            }
        }
    }
    (!target.is_empty()).then_some(target)
}

fn floor(folder: &str) -> usize {
    let floor = FLOORS.iter().position(|floor| floor.contains(&folder));
    floor.unwrap_or_else(|| panic!("lib/{folder} has no place in FLOORS"))
}

#[test]
fn a_folder_imports_only_folders_below_it() {
    let upwards = imports().into_iter().flat_map(|(own, imported)| {
        let upwards = imported.into_iter().filter_map(move |module| {
            let (from, to) = (own.first()?, module.first()?);
            let up = from != to && floor(to) >= floor(from);
            up.then(|| format!("{} -> {}", own.join("::"), module.join("::")))
        });
        upwards.collect::<Vec<_>>()
    });
    only(&[], upwards, "a folder imports only folders below it");
}

#[test]
fn running_a_test_and_listing_tests_know_no_redis() {
    let known = imports().into_iter().flat_map(|(own, imported)| {
        let strangers = STRANGERS
            .iter()
            .find(|(folder, _)| own.first().is_some_and(|it| it == folder));
        let strangers = strangers.map_or(&[][..], |(_, others)| others);
        let known = imported
            .into_iter()
            .filter(|module| strangers.contains(&module[0].as_str()));
        known
            .map(|module| format!("{} -> {}", own.join("::"), module.join("::")))
            .collect::<Vec<_>>()
    });
    only(&[], known, "exec and tool know neither store nor entity");
}

#[test]
fn the_protocol_does_no_io() {
    let known = imports().into_iter().filter(|(own, imported)| {
        let stranger = |module: &Vec<String>| {
            module[0] == "process"
                && module
                    .get(1)
                    .is_none_or(|name| !KNOWN_TO_PROTOCOL.contains(&name.as_str()))
        };
        own.first().is_some_and(|it| it == "protocol") && imported.iter().any(stranger)
    });
    let known = known.map(|(own, _)| own.join("::"));
    only(
        &[],
        known,
        "protocol uses only these of process/: exit, text",
    );
}

#[test]
fn redis_is_named_only_where_keys_are_read_and_written() {
    let naming = sources("lib", ".rs").into_iter().filter(|source| {
        let at_home = ["lib/store/", "lib/entity/"];
        !at_home.iter().any(|folder| source.path.starts_with(folder))
            && source.code().contains("redis::")
    });
    let paths = naming.map(|source| source.path);
    only(
        REDIS_ELSEWHERE,
        paths,
        "only store/ and entity/ name the redis crate",
    );
}

#[test]
fn store_and_entities_print_nothing() {
    let printing = ["lib/store", "lib/entity"]
        .into_iter()
        .flat_map(|folder| sources(folder, ".rs"))
        .filter(|source| {
            let code = source.code();
            ["stdout", "stderr"]
                .iter()
                .any(|stream| code.contains(&format!("{stream}::line")))
        });
    let paths = printing.map(|source| source.path);
    only(&[], paths, "store and entities speak to the observer alone");
}

/// Whether one module is the parent of another: they may import each other, as the parent's file
/// holds items shared by its children.
fn is_parent(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() + 1 && one.starts_with(other)
}

#[test]
fn imports_have_no_cycles() {
    let mut imports = imports();
    for (own, imported) in &mut imports {
        imported.retain(|module| !is_parent(own, module) && !is_parent(module, own));
    }
    // A module without imports, or that no module imports, is not in a cycle.
    loop {
        let before = imports.len();
        let importing: BTreeSet<Vec<String>> = imports.keys().cloned().collect();
        let imported: BTreeSet<Vec<String>> = imports.values().flatten().cloned().collect();
        imports.retain(|own, _| imported.contains(own));
        for modules in imports.values_mut() {
            modules.retain(|module| importing.contains(module));
        }
        imports.retain(|_, modules| !modules.is_empty());
        if imports.len() == before {
            break;
        }
    }
    let rest = imports.keys().map(|module| module.join("::"));
    only(&[], rest, "no import leads back to its own file");
}

#[test]
fn the_crate_root_describes_at_most_fifteen_modules() {
    let root = std::fs::read_to_string(crate::root().join("lib/lib.rs")).unwrap();
    let lines: Vec<&str> = root.lines().collect();
    let modules = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("pub mod "));
    let (mut count, mut silent) = (0, Vec::new());
    for (at, line) in modules {
        count += 1;
        if !lines[at - 1].starts_with("/// ") {
            silent.push((*line).to_owned());
        }
    }
    assert!(count <= 15, "{count} modules at the crate root");
    only(&[], silent, "each module of the crate root has its line");
}
