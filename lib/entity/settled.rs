//! Tasks with a status, with their trials, whoever wrote them.

use crate::protocol::key::TaskKey;
use crate::protocol::time;
use crate::store;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{Text, rows_each};

/// Tasks or trials read in one round trip.
const BATCH: usize = 500;

/// A trial as its hash has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FinishedTrial {
    pub key: String,
    pub status: String,
    pub took_ms: Option<u64>,
}

/// Those of these tasks that have a status, each with it and its trials.
pub(crate) fn settled(
    store: &mut Store,
    tasks: &[TaskKey],
) -> anyhow::Result<Vec<(TaskKey, String, Vec<FinishedTrial>)>> {
    let mut all = Vec::new();
    type Facts = (Option<Text>, Vec<Text>);
    for chunk in tasks.chunks(BATCH) {
        let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for task in chunk {
                pipe.cmd("HGET").arg(task).arg("status");
                pipe.cmd("LRANGE").arg(task.trials()).arg(0).arg(-1);
            }
            rows_each(pipe.ignore_errors().query(c)?, 2)
        })?;
        let mut settled: Vec<(&TaskKey, Text, Vec<Text>)> = Vec::new();
        for (task, facts) in chunk.iter().zip(facts) {
            let facts = store::unless_refused(task, facts)?;
            if let Some((Some(status), trials)) = facts.filter(|(status, _)| !is_nil(status)) {
                settled.push((task, status, trials));
            }
        }
        let names: Vec<&str> = (settled.iter())
            .flat_map(|(.., trials)| trials.iter().map(|trial| &**trial))
            .collect();
        let mut trials = trials(store, &names)?.into_iter();
        for (task, status, names) in &settled {
            let own: Vec<FinishedTrial> = trials.by_ref().take(names.len()).flatten().collect();
            all.push(((*task).clone(), status.to_string(), own));
        }
    }
    Ok(all)
}

fn is_nil(field: &Option<Text>) -> bool {
    field.as_ref().is_none_or(|text| text.is_empty())
}

/// For each name its trial, `None` if it did not finish or does not count as a try.
fn trials(store: &mut Store, names: &[&str]) -> anyhow::Result<Vec<Option<FinishedTrial>>> {
    let mut all = Vec::with_capacity(names.len());
    for chunk in names.chunks(BATCH) {
        let facts: Vec<Result<([Option<Text>; 5],), Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for name in chunk {
                pipe.cmd("HMGET").arg(name).arg(&[
                    "status",
                    "duration_ms",
                    "started_at",
                    "finished_at",
                    "stopped",
                ]);
            }
            rows_each(pipe.ignore_errors().query(c)?, 1)
        })?;
        for (name, facts) in chunk.iter().zip(facts) {
            let facts = store::unless_refused(name, facts)?;
            all.push(facts.and_then(|(fields,)| trial(name, fields)));
        }
    }
    Ok(all)
}

fn trial(name: &str, fields: [Option<Text>; 5]) -> Option<FinishedTrial> {
    let [status, duration, started, finished, stopped] =
        fields.map(|field| field.filter(|text| !text.is_empty()));
    let at = |text: Option<Text>| time::parse(&text?).map(|at| at.timestamp_millis());
    let between = |(from, to): (i64, i64)| u64::try_from(to - from).ok();
    let told = duration.and_then(|text| text.parse().ok());
    let took_ms = told.or_else(|| at(started).zip(at(finished)).and_then(between));
    (stopped.is_none()).then_some(FinishedTrial {
        key: name.to_owned(),
        status: status?.into(),
        took_ms,
    })
}
