//! The check that the commands of a suite exist, before anything is started for it.

use crate::process::exit::{Failure, usage};
use crate::process::which;
use std::path::Path;
use std::process::{Command, Stdio};

/// Refuses a slave command that is empty or whose program does not exist; `words` is the command of
/// the tests, if it was given directly.
pub(super) fn check(slave_command: &str, words: &[String], folder: &Path) -> Result<(), Failure> {
    if slave_command.trim().is_empty() {
        return Err(usage("the slave command is empty")
            .hint("end with '-- CMD', for example: -- sh {}; or pass --slave 'rrr-slave …'"));
    }
    let is_direct = !words.is_empty() && slave_command.starts_with("rrr-slave -- ");
    match (is_direct, shlex::split(slave_command)) {
        (true, _) => check_program(&words[0], folder),
        (false, Some(words)) => check_word(words.first().map_or("", String::as_str), folder),
        // Whether it works, the shell will show.
        (false, None) => Ok(()),
    }
}

fn missing(program: &str) -> Failure {
    usage(format!("command not found: '{}'", program.escape_debug()))
        .hint("install it, or give its full path")
}

/// Refuses a program of the tests that does not exist. A spec file may be the program.
fn check_program(program: &str, folder: &Path) -> Result<(), Failure> {
    let exists = match program.contains('/') {
        true => folder.join(program).exists(),
        false => which::find(program).is_some(),
    };
    match exists || program.contains("{}") {
        true => Ok(()),
        false => Err(missing(program)),
    }
}

/// Refuses the first word of a shell command if the shell knows no such program, builtin or keyword.
/// The tools of rrr are in its own folder.
fn check_word(word: &str, folder: &Path) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+');
    if word.is_empty() || !word.chars().all(plain) || word.starts_with("rrr") {
        return Ok(());
    }
    let shell = Command::new("bash")
        .args(["-c", "type -- \"$1\"", "bash", word])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match shell {
        Ok(status) if !status.success() => Err(missing(word)),
        // Without bash, another shell will show whether it works.
        _ => Ok(()),
    }
}
