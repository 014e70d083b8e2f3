//! Messages for people about single events of a run.

use super::Detail;
use super::background::show_command;
use super::note::{Failed, Note};
use super::progress::{Progress, Told};
use super::summary::{self, counted};
use crate::entity::trial::{self, TrialDetail};
use crate::process::text::{duration, harmless, one_line};
use crate::protocol::example::Example;
use crate::protocol::key::{TrialKey, WorkerKey};
use crate::show::reason::Facts;
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

/// The lines that report `note`, which `progress` has just returned. Remembers the reasons shown.
pub(crate) fn note(
    store: &mut Store,
    progress: &mut Progress,
    note: &Note,
) -> anyhow::Result<Vec<String>> {
    let is_quiet = progress.detail == Detail::Quiet;
    Ok(match note {
        Note::Failed(failed) => failure(store, progress, failed)?,
        Note::Ended => summary::Summary::of(store, progress)?.lines(),
        _ if is_quiet => Vec::new(),
        Note::Passed { spec_file } => passed(store, progress, spec_file)?,
        Note::Submitted => {
            let tasks = counted(progress.total, "task");
            vec![format!("taskset {}: {tasks}", progress.taskset.short())]
        }
        Note::WorkerJoined(worker) => {
            let id = worker.parse::<WorkerKey>();
            let id = id.map_or_else(|_| worker.clone(), |key| key.id().to_owned());
            vec![format!("worker {} joined", one_line(&id))]
        }
        Note::Retry { spec_file, reason } => retry(store, progress, spec_file, reason)?,
        Note::Copy { spec_file } => {
            let word = yellow().apply_to("twice");
            vec![format!(
                "{word}  {} (takes long: an idle slave tries it too)",
                one_line(spec_file)
            )]
        }
        Note::Flaky { spec_file, trials } => {
            let told = progress.told.get(spec_file);
            let before = told.map_or(String::new(), |told| format!("; before: {}", told.reason));
            vec![format!(
                "{}  {} (passed in trial {trials}{before})",
                yellow().apply_to("flaky"),
                one_line(spec_file)
            )]
        }
        Note::BudgetSpent { budget } => vec![format!(
            "{}  the retry budget of {budget} is spent: every further failure is final",
            yellow().apply_to("spent")
        )],
    })
}

/// The lines on a task that passed, with the end of its output.
fn passed(store: &mut Store, progress: &Progress, spec_file: &str) -> anyhow::Result<Vec<String>> {
    let last = progress.last.get(spec_file);
    let detail = match last.and_then(|last| last.key.parse::<TrialKey>().ok()) {
        Some(key) => trial::outcome(store, &key)?,
        None => TrialDetail::default(),
    };
    let took = progress.took_ms.get(spec_file);
    let took = took.map_or(String::new(), |took| format!(" ({})", duration(*took)));
    let word = Style::new().for_stderr().green().apply_to("pass");
    let mut lines = vec![format!("{word}   {}{took}", one_line(spec_file))];
    lines.extend(indented(outputs(
        &detail,
        record(progress, spec_file).as_deref(),
    )));
    Ok(lines)
}

/// The details of a trial, if not too many were shown yet.
fn detail(
    store: &mut Store,
    progress: &Progress,
    trial: Option<&String>,
) -> anyhow::Result<TrialDetail> {
    match trial.and_then(|key| key.parse::<TrialKey>().ok()) {
        Some(key) if progress.told.len() <= MOST_OUTPUTS => trial::outcome(store, &key),
        _ => Ok(TrialDetail::default()),
    }
}

fn facts<'a>(status: &'a str, detail: &'a TrialDetail) -> Facts<'a> {
    Facts {
        status,
        exit_code: detail.exit_code.map(i64::from),
        signal: detail.signal.map(i64::from),
        examples: &detail.examples,
        stdout: &detail.stdout,
        stderr: &detail.stderr,
    }
}

/// `exit 1, 2.3s` of the last trial of a file.
fn end(progress: &Progress, spec_file: &str, facts: &Facts) -> Vec<String> {
    let took = progress.took_ms.get(spec_file).map(|took| duration(*took));
    let limit = (facts.status == "timeout").then(|| progress.expected.limit(spec_file));
    let limit = limit.map(|limit| format!("limit: {limit}"));
    [Some(facts.end()), took, limit]
        .into_iter()
        .flatten()
        .collect()
}

/// The lines on a trial that will be repeated; with its details if it is the first of the file.
fn retry(
    store: &mut Store,
    progress: &mut Progress,
    spec_file: &str,
    reason: &str,
) -> anyhow::Result<Vec<String>> {
    let last = progress.last.get(spec_file);
    let (trial, status) = (
        last.map(|last| last.key.clone()),
        last.map_or("", |last| &last.status).to_owned(),
    );
    let is_first = !progress.told.contains_key(spec_file);
    let detail = match is_first {
        true => detail(store, progress, trial.as_ref())?,
        false => TrialDetail::default(),
    };
    let facts = facts(&status, &detail);
    let told = match reason == status && is_first {
        true => end(progress, spec_file, &facts).join(", "),
        false => one_line(reason),
    };
    let word = yellow().apply_to("again");
    let mut lines = vec![format!("{word}  {} ({told})", one_line(spec_file))];
    if is_first && progress.told.len() < MOST_OUTPUTS {
        let excerpt = indented(excerpt(&detail, record(progress, spec_file).as_deref()));
        lines.extend(excerpt.iter().cloned());
        let told = Told {
            reason: facts.reason(),
            excerpt,
        };
        progress.told.insert(spec_file.to_owned(), told);
    }
    Ok(lines)
}

/// The lines on a task that has failed; its details, unless they are the same as those of its first
/// trial.
fn failure(
    store: &mut Store,
    progress: &mut Progress,
    failed: &Failed,
) -> anyhow::Result<Vec<String>> {
    let file = &failed.spec_file;
    let detail = detail(store, progress, failed.trial.as_ref())?;
    let facts = facts(&failed.status, &detail);
    let mut told = end(progress, file, &facts);
    told.extend((failed.trials > 1).then(|| format!("{} trials", failed.trials)));
    let mut lines = vec![format!(
        "{}   {} ({})",
        red().apply_to("FAIL"),
        one_line(file),
        told.join(", ")
    )];
    let excerpt = indented(excerpt(&detail, record(progress, file).as_deref()));
    let before = progress.told.get(file);
    match before.is_some_and(|told| told.excerpt == excerpt && !excerpt.is_empty()) {
        true => lines.push("    (as in the first trial, above)".to_owned()),
        false => lines.extend(excerpt.iter().cloned()),
    }
    let told = Told {
        reason: facts.reason(),
        excerpt,
    };
    progress.told.entry(file.clone()).or_insert(told);
    Ok(lines)
}

fn indented(lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| format!("    {line}"))
        .collect()
}

/// A command that prints the outputs of the file's last trial, if there will be a record.
fn record(progress: &Progress, spec_file: &str) -> Option<String> {
    let lasting = progress.background.lasting;
    lasting.then(|| show_command(&progress.taskset, spec_file))
}

/// The details of an outcome: its failed examples, or the end of its outputs. `record`: a command
/// that prints all of it, if there is one.
fn excerpt(outcome: &TrialDetail, record: Option<&str>) -> Vec<String> {
    let examples = outcome.examples.iter();
    let mut bad = examples
        .filter(|example| example.status.is_bad())
        .peekable();
    match bad.peek() {
        None => outputs(outcome, record),
        Some(_) => bad.flat_map(assertion).collect(),
    }
}

/// The ends of the outputs, labelled if there are two.
fn outputs(outcome: &TrialDetail, record: Option<&str>) -> Vec<String> {
    let outputs = [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)];
    let both = outputs.iter().all(|(_, text)| !text.trim().is_empty());
    let lines = outputs.into_iter().flat_map(|(name, text)| {
        let label = both.then(|| format!("{name}:"));
        let lines = last_lines(text, record);
        label.into_iter().chain(lines).collect::<Vec<_>>()
    });
    lines.collect()
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
    use crate::protocol::example::Status;

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
