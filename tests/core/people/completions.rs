//! The completions, each in its shell.

use crate::harness::*;
use crate::people::terminal::Terminal;
use std::path::Path;

/// The folder of a shell's completions, and the tools that have one.
fn completions(shell: &str) -> (String, Vec<String>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/completions");
    let folder = format!("{folder}/{shell}");
    let entries = std::fs::read_dir(&folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let tool = |name: String| {
        name.trim_start_matches('_')
            .trim_end_matches(".fish")
            .to_owned()
    };
    let mut tools: Vec<String> = names.map(tool).collect();
    tools.sort();
    (folder, tools)
}

/// Types prefixes and Tab into a shell and waits for the completions.
fn complete_in(mut terminal: Terminal, tools: &[String]) {
    terminal.wait_for("a prompt", |screen| screen.contains("ready> "));
    let some = [
        ("rrr-submit --wor", "rrr-submit --worker-type"),
        ("rrr-show --format ju", "rrr-show --format junit"),
        ("rrr-history slow", "rrr-history slowest"),
    ];
    let every = tools
        .iter()
        .map(|tool| (format!("{tool} --versi"), format!("{tool} --version")));
    let some = some.map(|(typed, wanted)| (typed.to_owned(), wanted.to_owned()));
    for (typed, wanted) in some.into_iter().chain(every) {
        terminal.types(&typed);
        terminal.types("\t");
        let wanted = format!("ready> {wanted}");
        terminal.wait_for(&wanted, |screen| screen.contains(&wanted));
        // Clears the line.
        terminal.types("\x15");
        let last = |screen: &str| screen.trim_end().lines().last().map(str::to_owned);
        terminal.wait_for("an empty prompt", |screen| {
            last(screen).is_some_and(|line| line.trim_end() == "ready>")
        });
    }
}

#[test]
fn bash_completes_every_tool() {
    let (folder, tools) = completions("bash");
    let suite = Suite::new();
    let load = format!(
        "PS1='ready> '; bind 'set enable-bracketed-paste off'; for f in {folder}/*; do . $f; done\n"
    );
    suite.file("rc", &load);
    let args = ["--noprofile", "--rcfile", "rc", "-i"];
    let terminal = Terminal::program(Path::new("bash"), 120, suite.path(), &args, &[]);
    complete_in(terminal, &tools);
}

#[test]
fn zsh_completes_every_tool() {
    let (folder, tools) = completions("zsh");
    let suite = Suite::new();
    // As installed: found by name in a folder of functions.
    let load = format!(
        "PS1='ready> '; unset zle_bracketed_paste; fpath=({folder} $fpath); autoload -U compinit; compinit -u -d dump\n"
    );
    suite.file(".zshrc", &load);
    let home = suite.path().display().to_string();
    let env = [("ZDOTDIR", &*home)];
    let args = ["-d", "-i", "+o", "global_rcs"];
    let terminal = Terminal::program(Path::new("zsh"), 120, suite.path(), &args, &env);
    complete_in(terminal, &tools);
}

#[test]
fn fish_completes_every_tool() {
    let (folder, tools) = completions("fish");
    let suite = Suite::new();
    // It loads completions only for existing commands.
    let ours = bin("rrr").parent().unwrap().display().to_string();
    let path = format!("{ours}:{}", std::env::var("PATH").unwrap());
    let ask = |line: &str| {
        let script = format!("set -p fish_complete_path {folder}; complete -C '{line}'");
        Tool::program("unused", "fish")
            .args(["--no-config", "-c", &script])
            .env("HOME", suite.path())
            .env("PATH", &path)
            .dir(suite.path())
            .run()
            .expect_code(0)
            .stdout
    };
    let submit = ask("rrr-submit --wor");
    assert!(submit.starts_with("--worker-type\t"), "{submit}");
    let formats = ask("rrr-show --format ju");
    assert!(formats.starts_with("junit"), "{formats}");
    let history = ask("rrr-history slow");
    assert!(history.starts_with("slowest\t"), "{history}");
    for tool in tools {
        let version = ask(&format!("{tool} --versi"));
        assert!(version.starts_with("--version\t"), "{tool}: {version}");
    }
}
