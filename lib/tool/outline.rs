//! The examples of a file, listed by the project's own RSpec or pytest.

use super::halves;
use super::split::Outline;
use crate::tool::{pytest, rspec};
use serde::Deserialize;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// Has the project's own RSpec or pytest list the examples of `file`, with the options from
/// `slave`, a slave command.
pub(crate) fn of(folder: &Path, slave: &str, file: &str) -> Result<Outline, String> {
    if file.contains("::") || file.ends_with(']') {
        return Err("it is part of a file".into());
    }
    if file.ends_with(".rb") {
        list_rspec(folder, &options(slave, "rspec"), file)
    } else if file.ends_with(".py") {
        list_pytest(folder, &options(slave, "pytest"), file)
    } else {
        Err("only files of RSpec (.rb) and pytest (.py) can be split".into())
    }
}

/// The options after `--` of `rrr-slave --adapter NAME`.
fn options(slave: &str, adapter: &str) -> Vec<String> {
    let words = shlex::split(slave).unwrap_or_default();
    match super::adapter(&words) == Some(adapter) {
        true => halves(&words).1.to_vec(),
        false => Vec::new(),
    }
}

const RSPEC: &str = include_str!("../../scripts/runners/list_rspec.rb");

#[derive(Deserialize)]
struct RspecList {
    examples: Vec<Vec<String>>,
    partial: HashSet<Vec<String>>,
}

fn list_rspec(folder: &Path, options: &[String], file: &str) -> Result<Outline, String> {
    let mut words = rspec::interpreter(folder);
    words.extend(["-e", RSPEC, "--"].map(str::to_owned));
    words.extend_from_slice(options);
    words.push(file.to_owned());
    let mut list: RspecList =
        serde_json::from_slice(&output(folder, words)?).map_err(|error| error.to_string())?;
    list.examples.sort_by_cached_key(|path| numbers(path));
    Ok(Outline::Rspec(list.examples, list.partial))
}

/// The numbers of a path, to sort by the order of the file.
fn numbers(path: &[String]) -> Vec<u64> {
    path.iter()
        .map(|number| number.parse().unwrap_or(0))
        .collect()
}

const PYTEST: &str = include_str!("../../scripts/runners/list_pytest.py");

fn list_pytest(folder: &Path, options: &[String], file: &str) -> Result<Outline, String> {
    let mut words = pytest::interpreter(folder);
    words.extend(["-c", PYTEST].map(str::to_owned));
    words.extend_from_slice(options);
    words.push(file.to_owned());
    let text = output(folder, words)?;
    let ids: Vec<String> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    pytest_paths(&ids).map(Outline::Pytest)
}

/// The names in node ids `FILE::NAME::NAME[PARAMETERS]` of one file.
fn pytest_paths(ids: &[String]) -> Result<Vec<Vec<String>>, String> {
    let mut files = HashSet::new();
    let mut path = |id: &String| {
        let (file, names) = id.split_once("::")?;
        files.insert(file.to_owned());
        // A test with parameters is one part: their ids may differ between machines.
        let plain = names.split('[').next().unwrap_or(names);
        Some(plain.split("::").map(str::to_owned).collect())
    };
    let paths: Option<Vec<_>> = ids.iter().map(&mut path).collect();
    let paths = paths.ok_or("pytest printed no node ids")?;
    match files.len() {
        0 | 1 => Ok(paths),
        // They would not be run by names below this file.
        _ => Err("pytest also lists tests of other files".into()),
    }
}

/// Maximum time for listing the examples.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `words` in `folder`, and returns their stdout.
fn output(folder: &Path, words: Vec<String>) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot run '{}': {error}", words[0]);
    let handle = duct::cmd(&words[0], &words[1..])
        .dir(folder)
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .start()
        .map_err(cannot)?;
    let Some(output) = handle.wait_timeout(PATIENCE).map_err(cannot)? else {
        let _ = handle.kill();
        let seconds = PATIENCE.as_secs();
        return Err(format!("listing its examples took more than {seconds} s"));
    };
    if output.status.success() {
        return Ok(output.stdout.clone());
    }
    let said = [&*output.stderr, &*output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().map(str::trim).find(|line| !line.is_empty());
    let first = first.unwrap_or("no output").chars().take(200);
    Err(format!(
        "its examples cannot be listed ({}): {}",
        output.status,
        first.collect::<String>().escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_split_whatever_the_brackets_contain() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let paths = pytest_paths(&ids(&["d[1]/t.py::A::x[a::b-[c]", "d[1]/t.py::y"]));
        assert_eq!(paths.unwrap(), [ids(&["A", "x"]), ids(&["y"])]);
        assert!(pytest_paths(&ids(&["t.py::x", "other.py::y"])).is_err());
        assert!(pytest_paths(&ids(&["t.py"])).is_err());
    }

    #[test]
    fn adapter_options_apply_to_its_list() {
        let slave = "env A=1 rrr-slave --adapter rspec --isolation none -- --tag 'a b'";
        assert_eq!(options(slave, "rspec"), ["--tag", "a b"]);
        assert!(options(slave, "pytest").is_empty());
        assert!(options("rrr-slave -- rspec {}", "rspec").is_empty());
    }
}
