//! The manual pages and completions match the flags.
//!
//! `RRR_UPDATE=1 cargo test --test tidy pages` regenerates them.

use crate::roff::{DATE, EXAMPLE_FILE, manual, roff};
use clap_complete::Shell;
use rrr::cli::help;
use rrr::manual::{self as pages, Page};
use rrr::process::exit;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn completion(page: &Page, shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut page.command.clone(), page.name(), &mut text);
    String::from_utf8(text).unwrap()
}

/// Every generated file and its expected content.
fn generated() -> Vec<(PathBuf, String)> {
    // The same program under the name that cargo uses.
    let mut files = vec![("man/cargo-rrr.1".to_owned(), ".so man1/rrr.1\n".to_owned())];
    for page in pages::all() {
        let name = page.name().to_owned();
        files.push((format!("man/{name}.1"), manual(&page)));
        for (shell, file) in [
            (Shell::Bash, format!("bash/{name}")),
            (Shell::Zsh, format!("zsh/_{name}")),
            (Shell::Fish, format!("fish/{name}.fish")),
        ] {
            files.push((
                format!("scripts/completions/{file}"),
                completion(&page, shell),
            ));
        }
    }
    files
        .into_iter()
        .map(|(path, text)| (root().join(path), text))
        .chain([schema()])
        .collect()
}

/// The schema of the project file.
fn schema() -> (PathBuf, String) {
    let schema = pages::schema::project_file(&rrr::role::project_file_readers());
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    (
        root().join("scripts/completions/rrr.toml.schema.json"),
        text,
    )
}

#[test]
fn pages_and_completions_match_the_flags() {
    let update = std::env::var_os("RRR_UPDATE").is_some();
    let mut stale = Vec::new();
    for (path, wanted) in generated() {
        if std::fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
            continue;
        }
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        } else {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "run RRR_UPDATE=1 cargo test --test tidy pages, for {stale:?}"
    );
}

#[test]
fn manual_pages_have_no_faults() {
    if std::env::var_os("RRR_UPDATE").is_some() {
        return;
    }
    let pages = glob::glob(&root().join("man/*.[17]").to_string_lossy()).unwrap();
    for page in pages.map(Result::unwrap) {
        // A link to another page.
        if page.ends_with("cargo-rrr.1") {
            continue;
        }
        let lint = std::process::Command::new("mandoc")
            .args(["-Tlint", "-Wwarning"])
            .arg(&page)
            .output()
            .expect("mandoc");
        let faults = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert_eq!(faults, "", "{}", page.display());
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains(DATE), "{} has a date", page.display());
    }
}

#[test]
fn the_example_project_file_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".rrr.toml"), EXAMPLE_FILE).unwrap();
    let local = std::process::Command::new(env!("CARGO_BIN_EXE_rrr-local"))
        .arg("--print-config")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        local.status.success(),
        "{}",
        String::from_utf8_lossy(&local.stderr)
    );
}

#[test]
fn every_tool_has_a_page_and_every_page_a_tool() {
    let tools: BTreeSet<String> = std::fs::read_dir(root().join("bins"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "cargo-rrr")
        .collect();
    let paged: BTreeSet<String> = pages::all()
        .iter()
        .map(|page| page.name().to_owned())
        .collect();
    assert_eq!(tools, paged);
    for kind in [
        "man",
        "scripts/completions/bash",
        "scripts/completions/zsh",
        "scripts/completions/fish",
    ] {
        for entry in std::fs::read_dir(root().join(kind)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let tool = name.trim_start_matches('_').trim_end_matches(".fish");
            let tool = tool.strip_suffix(".1").unwrap_or(tool);
            assert!(
                name == "src"
                    || name == "cargo-rrr.1"
                    || name.ends_with(".7")
                    || tools.contains(tool),
                "{kind}/{name} is of no tool"
            );
        }
    }
}

#[test]
fn every_example_parses() {
    let pages = pages::all();
    for page in &pages {
        assert!(
            !page.examples().is_empty(),
            "{} has no example",
            page.name()
        );
        for (_, example) in page.examples() {
            let words = shlex::split(example).unwrap_or_else(|| panic!("{example}"));
            let ours = |word: &String| pages.iter().any(|page| page.name() == word.as_str());
            let from = words.iter().position(ours);
            let from =
                from.or_else(|| words.iter().position(|word| word.ends_with("$(rrr-submit")));
            let from = from.unwrap_or_else(|| panic!("no rrr tool in: {example}"));
            let tool = words[from].rsplit('(').next().unwrap();
            let command = &pages
                .iter()
                .find(|page| page.name() == tool)
                .unwrap()
                .command;
            let ends = |word: &&String| !["|", "&&", ";"].contains(&word.as_str());
            let words: Vec<String> = words[from..]
                .iter()
                .take_while(ends)
                .map(|word| word.replace("$KEY", "rrrspec:taskset:k"))
                .collect();
            let parsed = command.clone().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn every_flag_has_a_variable() {
    for page in pages::all().iter().filter(|page| page.name() != "rrr") {
        let commands = std::iter::once(&page.command).chain(page.command.get_subcommands());
        for arg in commands
            .flat_map(|command| command.get_arguments())
            .filter(|arg| arg.get_long().is_some())
        {
            assert!(arg.get_env().is_some(), "{}: {arg}", page.name());
        }
    }
}

#[test]
fn short_help_fits_on_a_screen_and_long_help_has_all_flags() {
    for page in pages::all() {
        let [short, long] = [false, true].map(|long| help::text(&page.command, long, 80));
        let lines = short.lines().count();
        assert!(lines <= 25, "{}: {lines} lines", page.name());
        assert!(lines < long.lines().count(), "{}", page.name());
        assert!(page.command.get_about().is_some(), "{}", page.name());
        for flag in page
            .command
            .get_arguments()
            .filter_map(|arg| arg.get_long())
        {
            let is_common = ["help", "version"].contains(&flag);
            assert!(
                is_common || long.contains(&format!("--{flag}")),
                "{}: --{flag}",
                page.name()
            );
        }
    }
}

#[test]
fn every_documented_exit_code_has_a_distinct_meaning() {
    let all = [
        exit::OK,
        exit::FAILED,
        exit::USAGE,
        exit::CANCELLED,
        exit::NOTHING,
        exit::HARD_TIMEOUT,
        exit::UNAVAILABLE,
        exit::INTERNAL,
        exit::TIMED_OUT,
    ];
    let meanings: BTreeSet<&str> = all.iter().map(|code| pages::meaning(*code)).collect();
    assert_eq!(meanings.len(), all.len());
}

#[test]
fn the_overview_names_every_other_page() {
    let overview = std::fs::read_to_string(root().join("man/rrr.7")).unwrap();
    for entry in std::fs::read_dir(root().join("man")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some((name, section)) = file.rsplit_once('.') else {
            continue; // the folder with the prose
        };
        if file != "rrr.7" && name != "cargo-rrr" {
            let link = format!("\\fB{}\\fR({section})", roff(name));
            assert!(overview.contains(&link), "{file}");
        }
    }
}
