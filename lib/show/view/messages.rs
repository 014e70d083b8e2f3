//! Messages for people about single events of a run.

use super::note::{Failed, Note};
use super::progress::Progress;
use super::summary::{self, counted};
use crate::entity::trial::{self, TrialDetail};
use crate::process::signals;
use crate::process::text::{duration, harmless, one_line, shell_word};
use crate::protocol::example::{Example, Status};
use crate::protocol::key::{TrialKey, WorkerKey};
use crate::store::Store;
use console::Style;

/// Maximum lines shown with a failure, of each output and of an example's message.
const OUTPUT_LINES: usize = 50;
const MESSAGE_LINES: usize = 50;
/// Maximum failures shown with their output: a suite that fails as a whole repeats the same one.
const MOST_OUTPUTS: usize = 20;

fn red() -> Style {
    Style::new().for_stderr().red().bold()
}

fn yellow() -> Style {
    Style::new().for_stderr().yellow()
}

/// The lines that report `note`, which `progress` has just returned.
pub(crate) fn note(
    store: &mut Store,
    progress: &Progress,
    note: &Note,
) -> anyhow::Result<Vec<String>> {
    Ok(match note {
        Note::WorkerJoined(worker) => {
            let id = worker.parse::<WorkerKey>();
            let id = id.map_or_else(|_| worker.clone(), |key| key.id().to_owned());
            vec![format!("worker {} joined", one_line(&id))]
        }
        Note::Retry { spec_file, reason } => {
            let word = yellow().apply_to("again");
            vec![format!(
                "{word}  {} ({})",
                one_line(spec_file),
                one_line(reason)
            )]
        }
        Note::Copy { spec_file } => {
            let word = yellow().apply_to("twice");
            vec![format!(
                "{word}  {} (takes long: an idle slave tries it too)",
                one_line(spec_file)
            )]
        }
        Note::Flaky { spec_file, trials } => {
            let word = yellow().apply_to("flaky");
            vec![format!(
                "{word}  {} (passed in trial {trials})",
                one_line(spec_file)
            )]
        }
        Note::BudgetSpent { budget } => vec![format!(
            "{}  the retry budget of {budget} is spent: every further failure is final",
            yellow().apply_to("spent")
        )],
        Note::Failed(failed) => failure(store, progress, failed)?,
        Note::Ended => summary::Summary::of(store, progress)?.lines(),
    })
}

fn failure(store: &mut Store, progress: &Progress, failed: &Failed) -> anyhow::Result<Vec<String>> {
    let key = failed
        .trial
        .as_ref()
        .and_then(|key| key.parse::<TrialKey>().ok());
    let outcome = match key {
        Some(key) if progress.failed.len() <= MOST_OUTPUTS => trial::outcome(store, &key)?,
        _ => TrialDetail::default(),
    };
    let mut facts = vec![
        match (failed.status.as_str(), outcome.signal, outcome.exit_code) {
            ("failed" | "error", Some(signal), _) => signals::name(signal),
            ("failed", None, Some(code)) => format!("exit {code}"),
            (status, ..) => one_line(status),
        },
    ];
    facts.extend(
        progress
            .took_ms
            .get(&failed.spec_file)
            .map(|took| duration(*took)),
    );
    facts.extend((failed.trials > 1).then(|| format!("{} trials", failed.trials)));
    let head = format!(
        "{}   {} ({})",
        red().apply_to("FAIL"),
        one_line(&failed.spec_file),
        facts.join(", ")
    );
    let record = progress.background.lasting.then(|| {
        let (key, file) = (progress.taskset.short(), shell_word(&failed.spec_file));
        format!("rrr-show {key} --task {file}")
    });
    let mut lines = vec![head];
    lines.extend(
        excerpt(&outcome, record.as_deref())
            .into_iter()
            .map(|line| format!("    {line}")),
    );
    Ok(lines)
}

/// The details of an outcome: its failed examples, or the end of its outputs. `record`: a command
/// that prints all of it, if there is one.
fn excerpt(outcome: &TrialDetail, record: Option<&str>) -> Vec<String> {
    let bad = |example: &&Example| matches!(example.status, Status::Failed | Status::Error);
    let examples: Vec<&Example> = outcome.examples.iter().filter(bad).collect();
    if examples.is_empty() {
        let outputs = [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)];
        let both = outputs.iter().all(|(_, text)| !text.trim().is_empty());
        let outputs = outputs.into_iter();
        return outputs
            .flat_map(|(name, text)| {
                let label = both.then(|| format!("{name}:"));
                let lines = last_lines(text, record);
                label.into_iter().chain(lines).collect::<Vec<_>>()
            })
            .collect();
    }
    examples.into_iter().flat_map(assertion).collect()
}

/// An example's place, name and message.
fn assertion(example: &Example) -> Vec<String> {
    let place = match (&example.file, example.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        _ => String::new(),
    };
    let mut lines = vec![one_line(&format!("{place}{}", example.name))];
    let message = harmless(example.message.as_deref().unwrap_or_default());
    let shown: Vec<&str> = message
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let below = shown.len().saturating_sub(MESSAGE_LINES);
    lines.extend(
        shown
            .iter()
            .take(MESSAGE_LINES)
            .map(|line| format!("  {line}")),
    );
    lines.extend((below > 0).then(|| format!("  … {} below", counted(below as u64, "line"))));
    lines
}

/// The last lines of an output, after the number of those above them.
fn last_lines(text: &str, record: Option<&str>) -> Vec<String> {
    let text = harmless(text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let above = lines.len().saturating_sub(OUTPUT_LINES);
    let mark = (above > 0).then(|| {
        let command = record.map(|command| format!(": {command}"));
        format!(
            "… {} above{}",
            counted(above as u64, "line"),
            command.unwrap_or_default()
        )
    });
    let shown = lines[above..].iter().map(|line| line.replace('\t', "    "));
    mark.into_iter().chain(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_shown_as_its_last_lines_without_escapes() {
        let stdout: String = (0..60).map(|n| format!("line {n}\n")).collect();
        let outcome = TrialDetail {
            stdout: stdout + "\x1b]0;title\x07end\n",
            ..TrialDetail::default()
        };
        let lines = excerpt(&outcome, Some("rrr-show K"));
        assert_eq!(lines.len(), 1 + OUTPUT_LINES);
        assert_eq!(lines[0], "… 11 lines above: rrr-show K");
        assert_eq!(lines.last().unwrap(), "␛]0;title␇end");
    }

    #[test]
    fn two_outputs_have_labels() {
        let outcome = TrialDetail {
            stdout: "a\n".into(),
            stderr: "b\n".into(),
            ..TrialDetail::default()
        };
        assert_eq!(excerpt(&outcome, None), ["stdout:", "a", "stderr:", "b"]);
    }

    #[test]
    fn failed_examples_are_shown_instead_of_the_output() {
        let mut bad = Example::new("adds", Status::Failed);
        bad.file = Some("a_spec.rb".into());
        bad.line = Some(7);
        bad.message = Some("expected 4\n\ngot 5".into());
        let outcome = TrialDetail {
            stdout: "noise".into(),
            examples: vec![Example::new("fine", Status::Passed), bad],
            ..TrialDetail::default()
        };
        assert_eq!(
            excerpt(&outcome, None),
            ["a_spec.rb:7: adds", "  expected 4", "  got 5"]
        );
    }
}
