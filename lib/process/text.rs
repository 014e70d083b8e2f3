//! Text for people: untrusted text made harmless, truncation to a width, and readable durations.

use console::{measure_text_width, truncate_str};

/// Whether the character is unsafe on a terminal or in a CI log: controls (ASCII and Latin-1) move
/// the cursor or end a line; format characters change the direction of writing, so that a reader
/// sees another text than the real one.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{206f}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text with its control characters made visible, so that the output of a test cannot move the
/// cursor, set a title or answer for the user (FAULTS S9). Line feeds and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => safe.push(c),
            '\r' if chars.peek() == Some(&'\n') => {}
            _ => push_visible(&mut safe, c),
        }
    }
    safe
}

fn push_visible(safe: &mut String, c: char) {
    match c {
        '\0'..='\u{1f}' => safe.push(char::from_u32(0x2400 + c as u32).unwrap_or('?')),
        '\u{7f}' => safe.push('␡'),
        _ if is_harmful(c) => safe.push_str(&c.escape_unicode().to_string()),
        _ => safe.push(c),
    }
}

/// JSON text that also escapes the characters its writer leaves as they are: DEL, Latin-1 controls
/// and format characters, which can only occur inside strings.
pub(crate) fn harmless_json(json: String) -> String {
    if !json.chars().any(|c| c != '\n' && is_harmful(c)) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            '\n' => safe.push(c),
            _ if is_harmful(c) => safe.push_str(&format!("\\u{:04x}", c as u32)),
            _ => safe.push(c),
        }
    }
    safe
}

/// `: LINE` for a message: the last line that a program printed before it failed, ignoring hints of
/// rrr and, if another line exists, indented ones (the rest of a backtrace); empty if it printed
/// nothing.
pub(crate) fn last_words(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let said = || {
        let lines = text.lines().rev();
        lines.filter(|line| !line.trim().is_empty() && !line.starts_with("hint:"))
    };
    let line = said().find(|line| !line.starts_with([' ', '\t']));
    let line = line.or_else(|| said().next()).unwrap_or("").trim();
    let kept: String = line.chars().filter(|c| !is_harmful(*c)).take(300).collect();
    if kept.is_empty() {
        kept
    } else {
        format!(": {kept}")
    }
}

/// The harmless text on one line.
pub(crate) fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

/// The text, cut to `width` columns; escapes in it stay intact.
pub(crate) fn cut(text: &str, width: usize) -> String {
    truncate_str(text, width, "…").into_owned()
}

/// A file's name, shortened at its front, where names differ least.
pub(crate) fn cut_front(name: &str, width: usize) -> String {
    if measure_text_width(name) <= width {
        return name.to_owned();
    }
    let (mut start, mut columns) = (name.len(), 1);
    for (place, c) in name.char_indices().rev() {
        columns += measure_text_width(c.encode_utf8(&mut [0; 4]));
        if columns > width {
            break;
        }
        start = place;
    }
    format!("…{}", &name[start..])
}

/// A duration: `850ms`, `4.2s`, `4m30s`, `2h05m`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// A duration in whole seconds, for running clocks.
pub(crate) fn clock(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{}s", ms / 1000),
        _ => duration(ms),
    }
}

/// A word of a command line, to be copied into a shell. A word with harmful characters is written
/// with `$'…'`, byte by byte, so that the shell receives the word and the terminal does not.
pub(crate) fn shell_word(word: &str) -> String {
    if !word.chars().any(is_harmful) {
        return shlex::try_quote(word)
            .map_or_else(|_| harmless(word), |quoted| quoted.into_owned());
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\'' | '\\' => quoted.extend(['\\', c]),
            _ if is_harmful(c) => {
                let mut bytes = [0; 4];
                let bytes = c.encode_utf8(&mut bytes).bytes();
                bytes.for_each(|byte| quoted.push_str(&format!("\\{byte:03o}")));
            }
            _ => quoted.push(c),
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let all: String = (0..=0x2fff).filter_map(char::from_u32).collect();
        let safe = harmless(&all);
        let kept = |c: char| c == '\n' || c == '\t' || !c.is_control();
        assert!(safe.chars().all(kept), "{safe:?}");
        assert_eq!(harmless("a\x1b[2Jb\r\nc\rd"), "a␛[2Jb\nc␍d");
        assert!(!one_line("a\nb\tc").contains(['\n', '\t']));
    }

    #[test]
    fn bidi_and_line_breaking_characters_are_escaped() {
        let bad =
            "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{9b}\u{7f}";
        for c in bad.chars() {
            let text = format!("a{c}b");
            let shown = [
                harmless(&text),
                one_line(&text),
                shell_word(&text),
                harmless_json(serde_json::to_string(&text).unwrap()),
            ];
            for shown in &shown {
                assert!(!shown.contains(is_harmful), "{shown:?}");
            }
            assert_eq!(serde_json::from_str::<String>(&shown[3]).unwrap(), text);
        }
        assert_eq!(harmless("é ‍👩‍💻 x"), "é ‍👩‍💻 x");
    }

    #[test]
    fn a_quoted_word_is_the_same_word_to_the_shell() {
        for word in [
            "a\nb'c\\d",
            "x\u{1b}[31m9",
            "\u{202e}0\u{7f}1",
            "\t$HOME`id`\r\n",
        ] {
            let shown = shell_word(word);
            assert!(!shown.contains(is_harmful), "{shown:?}");
            let script = format!("printf %s {shown}");
            let output = std::process::Command::new("bash")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(output.stdout, word.as_bytes(), "{shown}");
        }
    }

    #[test]
    fn durations_are_formatted_for_people() {
        let spoken = [
            (850, "850ms"),
            (4250, "4.2s"),
            (270_000, "4m30s"),
            (7_500_000, "2h05m"),
        ];
        for (ms, text) in spoken {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(clock(4250), "4s");
    }

    #[test]
    fn the_reported_reason_is_the_error_and_not_the_backtrace() {
        for (output, words) in [
            ("", ""),
            (" \n", ""),
            ("one\ntwo\n\n", ": two"),
            ("rrr-slave: no\nhint: yes\n", ": rrr-slave: no"),
            (
                "a.rb:1: no such file (LoadError)\n\tfrom b.rb:2\n",
                ": a.rb:1: no such file (LoadError)",
            ),
            (
                "Traceback:\n  File x\nModuleNotFoundError: y\n",
                ": ModuleNotFoundError: y",
            ),
            ("  only this\n", ": only this"),
            ("\u{1b}[31mred\n", ": [31mred"),
        ] {
            assert_eq!(last_words(output.as_bytes()), words);
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_at_the_front() {
        assert_eq!(cut_front("spec/models/user_spec.rb", 15), "…s/user_spec.rb");
        assert_eq!(cut_front("a.rb", 15), "a.rb");
    }
}
