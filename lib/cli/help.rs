//! `-h` and `--help`: one line per flag in two columns.
//!
//! `-h` fits on a screen, since it leaves out rarely used flags (those hidden from clap's short
//! help); `--help` has all of them, and the man page is more detailed than both.

use clap::{Arg, Command};
use console::measure_text_width;

/// The default width of the terminal in columns, and the maximum width used.
const COLUMNS: usize = 80;
const MOST_COLUMNS: usize = 100;

/// Prints the help of `command` on stdout.
pub(crate) fn print(command: Command, long: bool) -> std::io::Result<()> {
    let columns = console::Term::stdout().size_checked();
    let width = columns.map_or(COLUMNS, |(_, columns)| {
        usize::from(columns).min(MOST_COLUMNS)
    });
    let text = text(&command, long, width);
    command.override_help(text).print_help()
}

/// The help text: lines are at most `width` columns wide, as far as words allow.
pub fn text(command: &Command, long: bool, width: usize) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let page = name.split(' ').next().unwrap_or(name);
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    let mut lines = wrap(&about, width);
    lines.push(String::new());
    lines.extend(wrap(&usage, width));
    lines.push(String::new());
    let shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && (long || !arg.is_hide_short_help_set()))
        .filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
        .collect();
    let mut rows: Vec<(String, String)> = shown
        .iter()
        .map(|arg| (term(arg), description(arg)))
        .collect();
    let subcommands = command
        .get_subcommands()
        .filter(|one| one.get_name() != "help");
    rows.extend(subcommands.map(|one| {
        let about = one.get_about().map(ToString::to_string);
        (format!("  {}", one.get_name()), about.unwrap_or_default())
    }));
    lines.extend(columns(&rows, width));
    lines.push(String::new());
    let more = if long {
        format!(
            "--some-flag can also be set as RRR_SOME_FLAG. -h shows short help, -V the version. More: man {page}"
        )
    } else {
        format!("More: {name} --help. Everything: man {page}")
    };
    lines.extend(wrap(&more, width));
    lines.join("\n") + "\n"
}

/// Terms on the left, their descriptions on the right.
fn columns(rows: &[(String, String)], width: usize) -> Vec<String> {
    let widths = rows.iter().map(|(term, _)| measure_text_width(term));
    let column = widths.max().unwrap_or(0) + 2;
    let room = width.saturating_sub(column).max(20);
    let mut lines = Vec::new();
    for (term, meaning) in rows {
        let gap = " ".repeat(column - measure_text_width(term));
        let mut left = format!("{}{gap}", bold(term));
        for line in wrap(meaning, room) {
            lines.push(format!("{left}{line}"));
            left = " ".repeat(column);
        }
    }
    lines
}

fn bold(text: &str) -> String {
    // Stripped again when stdout does not support colours.
    console::Style::new()
        .bold()
        .force_styling(true)
        .apply_to(text)
        .to_string()
}

/// `  -j, --jobs N` or `  FILE...`
fn term(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let values = values
        .iter()
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    let many = if arg
        .get_num_args()
        .is_some_and(|range| range.max_values() > 1)
    {
        "..."
    } else {
        ""
    };
    let flag = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("    --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => return format!("  {values}{many}"),
    };
    if arg.get_action().takes_values() {
        format!("  {flag} {values}{many}")
    } else {
        format!("  {flag}")
    }
}

/// The description of the argument, its possible values and its default.
fn description(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    if arg.get_action().takes_values() && !values.is_empty() {
        text += &format!(" [{}]", values.join("|"));
    }
    let default = arg.get_default_values().join(std::ffi::OsStr::new(" "));
    if arg.get_action().takes_values() && !arg.is_hide_default_value_set() && !default.is_empty() {
        text += &format!(" [{}]", default.to_string_lossy());
    }
    text
}

/// Breaks a text between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one");
        let space = usize::from(!last.is_empty());
        if space == 1 && measure_text_width(last) + space + measure_text_width(word) > width {
            lines.push(word.to_owned());
        } else {
            last.push_str(&" ".repeat(space));
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags;
    use crate::role;

    #[test]
    fn subcommands_are_listed_like_flags() {
        let one = Command::new("one").about("Does one thing");
        let command = Command::new("tool").about("Does things").subcommand(one);
        assert!(text(&command, true, 80).contains("  Does one thing\n"));
    }

    #[test]
    fn short_help_is_shorter_and_both_fit_the_width() {
        let command = flags::command::<role::submit::Options>();
        let (short, long) = (text(&command, false, 80), text(&command, true, 80));
        assert!(short.lines().count() < long.lines().count());
        for line in short.lines().chain(long.lines()) {
            assert!(measure_text_width(line) <= 80, "{line}");
        }
        assert!(long.contains("--unknown-spec-timeout SEC"), "{long}");
        assert!(!short.contains("--unknown-spec-timeout"), "{short}");
    }
}
