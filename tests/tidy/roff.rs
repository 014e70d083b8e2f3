//! The manual page of a tool, in roff.

use rrr::manual::Page;
use std::fmt::Write;

/// The date on the pages: that of the last change to what they describe, by hand.
pub const DATE: &str = "2026-11-26";

/// The manual page of a tool, in roff.
pub fn manual(page: &Page) -> String {
    let usage = page.command.clone().render_usage().to_string();
    let command = page
        .command
        .clone()
        .mut_args(|arg| arg.hide_short_help(false))
        .override_usage(usage.trim_start_matches("Usage: ").to_owned());
    let man = clap_mangen::Man::new(command)
        .title(page.name().to_uppercase())
        .date(DATE)
        .source("rrr")
        .manual("rrr");
    let mut text = Vec::new();
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    for paragraph in page.paragraphs() {
        writeln!(bytes(&mut text), ".PP\n{}", roff(&paragraph)).unwrap();
    }
    man.render_options_section(&mut text).unwrap();
    let mut text = String::from_utf8(text).unwrap();
    for sub in page.command.get_subcommands() {
        text += &subcommand(sub);
    }
    text += ".SH ENVIRONMENT\n";
    text += "Each flag \\fB\\-\\-some\\-flag\\fR is also the variable \\fBRRR_SOME_FLAG\\fR";
    for (long, variable) in exceptions(page) {
        write!(
            text,
            "; \\fB\\-\\-{}\\fR is \\fB{variable}\\fR",
            roff(&long)
        )
        .unwrap();
    }
    text += ". The command line overrules it; an empty one counts as not set.\n";
    text += "\\fBNO_COLOR\\fR, \\fBCLICOLOR_FORCE\\fR and \\fBTERM=dumb\\fR are honoured.\n";
    text += &files(page);
    text += ".SH EXIT STATUS\n";
    for code in page.codes() {
        writeln!(text, ".TP\n\\fB{code}\\fR\n{}", roff(page.meaning(code))).unwrap();
    }
    text += ".TP\n\\fB128+n\\fR\nended by signal n; 141 when the reader of stdout went away\n";
    text += ".SH EXAMPLES\n";
    for (what, command) in page.examples() {
        writeln!(
            text,
            ".PP\n{}\n.PP\n.RS 4\n.nf\n{}\n.fi\n.RE",
            roff(what),
            roff(command)
        )
        .unwrap();
    }
    text += ".SH SEE ALSO\n\\fBrrr\\fR(7), \\fBrrr\\-protocol\\fR(7)\n";
    tidied(&text)
}

/// The files that a tool reads or writes unless flags name others.
fn files(page: &Page) -> String {
    let subs = page.command.get_subcommands();
    let commands: Vec<&clap::Command> = std::iter::once(&page.command).chain(subs).collect();
    let has = |id: &str| {
        let mut args = commands.iter().flat_map(|command| command.get_arguments());
        args.any(|arg| arg.get_id() == id)
    };
    let mut text = String::new();
    let mut add = |file: &str, what: &str| {
        let (file, what) = (roff(file), roff(what));
        writeln!(text, ".TP\n\\fI{file}\\fR\n{what}").unwrap();
    };
    if has("print_config") {
        add(
            ".rrr.toml",
            "settings of the suite, in its folder; see EXAMPLE FILE",
        );
    }
    if has("db") {
        add(
            "~/.local/state/rrr/history.db",
            "the database of finished tasksets",
        );
    }
    if has("log_dir") {
        add(
            "~/.local/state/rrr/log/",
            "the outputs and logs of finished tasksets",
        );
    }
    if text.is_empty() {
        return text;
    }
    let example = match has("print_config") {
        true => format!(".SH EXAMPLE FILE\n.nf\n{}\n.fi\n", roff(EXAMPLE_FILE)),
        false => String::new(),
    };
    format!(".SH FILES\n{text}{example}")
}

/// A project file with each kind of setting.
pub const EXAMPLE_FILE: &str = "\
files = [\"spec/**/*_spec.rb\"]
command = [\"bundle\", \"exec\", \"rspec\", \"{}\"]
setup = \"bundle install\"
max-trials = 2
[profile.nightly]
max-trials = 1";

/// Text in roff without requests that have no effect, and with lines of at most 80 bytes.
fn tidied(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut tidy = String::new();
    let mut is_verbatim = false;
    for (place, line) in lines.iter().enumerate() {
        let before = place.checked_sub(1).map_or("", |place| lines[place]);
        let after = lines.get(place + 1).copied().unwrap_or_default();
        let is_idle = match *line {
            // An empty line is a `.sp`.
            ".br" => [before, after]
                .iter()
                .any(|other| ["", ".sp"].contains(other)),
            ".PP" => before.starts_with(".SH"),
            _ => false,
        };
        is_verbatim = *line == ".nf" || (is_verbatim && *line != ".fi");
        match line.len() <= 80 || is_verbatim || line.starts_with('.') {
            _ if is_idle => {}
            true => tidy += &format!("{line}\n"),
            false => wrap(line, &mut tidy),
        }
    }
    tidy
}

/// Appends the words of a line in lines of at most 80 bytes. None of them starts with a request.
fn wrap(line: &str, tidy: &mut String) {
    let mut length = 0;
    for word in line.split(' ') {
        let is_request = word.starts_with(['.', '\'']);
        if length > 0 && (length + 1 + word.len() <= 80 || is_request) {
            tidy.push(' ');
            length += 1;
        } else if length > 0 {
            tidy.push('\n');
            length = 0;
        }
        tidy.push_str(word);
        length += word.len();
    }
    tidy.push('\n');
}

/// The section of a subcommand: its description and flags.
fn subcommand(command: &clap::Command) -> String {
    let mut options = Vec::new();
    let shown = command.clone().mut_args(|arg| arg.hide_short_help(false));
    let man = clap_mangen::Man::new(shown);
    man.render_options_section(&mut options).unwrap();
    let options = String::from_utf8(options).unwrap();
    let about = command.get_about().map(ToString::to_string);
    let section = format!(".SH COMMAND {}\n", command.get_name().to_uppercase());
    section + &roff(&about.unwrap_or_default()) + "\n" + &options.replace(".SH OPTIONS\n", "")
}

/// The flags whose variable name does not follow the rule.
fn exceptions(page: &Page) -> Vec<(String, String)> {
    let named = page.command.get_arguments().filter_map(|arg| {
        let variable = arg.get_env()?.to_str()?.to_owned();
        Some((arg.get_long()?.to_owned(), variable))
    });
    let rule = |long: &str| format!("RRR_{}", long.to_uppercase().replace('-', "_"));
    named
        .filter(|(long, variable)| *variable != rule(long))
        .collect()
}

/// Lets `write!` append to bytes.
fn bytes(text: &mut Vec<u8>) -> impl Write + '_ {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    Bytes(text)
}

/// Escapes plain text for roff, so that it contains no request or escape.
pub fn roff(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    match text.starts_with('.') {
        true => format!("\\&{text}"),
        false => text,
    }
}
