//! The Prometheus text format, for the textfile collector of node_exporter.

use super::Stat;
use crate::archive::totals::{Counts, Histogram};
use crate::process::text::harmless;
use std::fmt::Write;

/// A page that is being written.
#[derive(Default)]
struct Page(String);

/// The labels and value of a sample.
type MetricSample<'a> = (&'a [(&'a str, &'a str)], u64);

/// Escapes a label's value; control characters are made visible, since people read the page too.
fn escaped(value: &str) -> String {
    harmless(value)
        .replace('\t', "␉")
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Page {
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, samples: &[MetricSample]) {
        if !samples.is_empty() {
            self.head(name, "gauge", help);
            for (labels, value) in samples {
                self.line(name, labels, value);
            }
        }
    }

    /// Writes counters, one per status; the known statuses are present from the start, at 0.
    fn counters(&mut self, name: &str, help: &str, known: &[&str], counts: &Counts) {
        self.head(name, "counter", help);
        for status in known {
            let value = counts.get(*status).copied().unwrap_or(0);
            self.line(name, &[("status", status)], value);
        }
        for (status, value) in counts.iter().filter(|(own, _)| !known.contains(&&***own)) {
            self.line(name, &[("status", status)], value);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, below) in &histogram.le {
            self.line(&bucket, &[("le", &seconds(*bound))], below);
        }
        self.line(&bucket, &[("le", "+Inf")], histogram.count);
        self.line(&format!("{name}_sum"), &[], seconds(histogram.sum));
        self.line(&format!("{name}_count"), &[], histogram.count);
    }
}

fn seconds(ms: u64) -> String {
    format!("{}", ms as f64 / 1000.0)
}

/// The whole page.
pub(crate) fn page(stat: &Stat) -> String {
    let mut page = Page::default();
    queues(&mut page, stat);
    tasksets(&mut page, stat);
    workers(&mut page, stat);
    totals(&mut page, stat);
    page.0
}

fn queues(page: &mut Page, stat: &Stat) {
    let each = |value: &dyn Fn(&super::Queue) -> Option<u64>, page: &mut Page, name, help| {
        let labels: Vec<([(&str, &str); 1], u64)> = stat
            .queues
            .iter()
            .filter_map(|(queue, facts)| Some(([("queue", *queue)], value(facts)?)))
            .collect();
        let samples: Vec<MetricSample> = labels.iter().map(|(l, v)| (&l[..], *v)).collect();
        page.gauge(name, help, &samples);
    };
    let (name, help) = ("rrr_queue_messages", "Messages waiting to be handled.");
    each(&|queue| Some(queue.messages), page, name, help);
    let (name, help) = ("rrr_dead_messages", "Messages that were refused and kept.");
    each(&|queue| Some(queue.dead), page, name, help);
    let (name, help) = (
        "rrr_queue_oldest_seconds",
        "Time since the oldest message was sent; 0 for an empty queue.",
    );
    let aged = |queue: &super::Queue| queue.oldest_sec.or((queue.messages == 0).then_some(0));
    each(&aged, page, name, help);
    let labels: Vec<([(&str, &str); 1], u64)> = stat
        .roles
        .iter()
        .map(|(role, alive)| ([("role", *role)], u64::from(*alive)))
        .collect();
    let samples: Vec<MetricSample> = labels.iter().map(|(l, v)| (&l[..], *v)).collect();
    let help = "Whether a daemon of this role has run within the last minute.";
    page.gauge("rrr_role_up", help, &samples);
}

fn tasksets(page: &mut Page, stat: &Stat) {
    let all = &stat.tasksets;
    page.gauge(
        "rrr_tasksets",
        "Tasksets in Redis: waiting for a worker, running, or finished but not persisted.",
        &[
            (&[("state", "waiting")], all.waiting),
            (&[("state", "running")], all.running),
            (&[("state", "ended")], all.ended),
        ],
    );
    page.gauge(
        "rrr_taskset_oldest_seconds",
        "Time since the oldest active taskset of this state was submitted.",
        &[
            (&[("state", "waiting")], all.oldest_waiting_sec.unwrap_or(0)),
            (&[("state", "running")], all.oldest_running_sec.unwrap_or(0)),
        ],
    );
    page.gauge(
        "rrr_taskset_stranded_seconds",
        "How long the oldest taskset has waited for a worker type without live workers.",
        &[(&[], all.stranded.as_ref().map_or(0, |one| one.waiting_sec))],
    );
    page.gauge(
        "rrr_tasks",
        "Tasks of the active tasksets: with a verdict, or still without one.",
        &[
            (&[("state", "succeeded")], stat.tasks.succeeded),
            (&[("state", "failed")], stat.tasks.failed),
            (&[("state", "left")], stat.tasks.left),
        ],
    );
    page.gauge(
        "rrr_tasks_queued",
        "Entries of the task queues of the active tasksets.",
        &[(&[], stat.tasks.queued)],
    );
    page.gauge(
        "rrr_trials_running",
        "Trials that live slaves are running.",
        &[(&[], stat.trials.running)],
    );
}

fn workers(page: &mut Page, stat: &Stat) {
    let mut labels: Vec<([(&str, &str); 2], u64)> = Vec::new();
    let mut seats: Vec<([(&str, &str); 1], u64)> = Vec::new();
    for (name, own) in &stat.workers {
        for (state, number) in [
            ("idle", own.idle),
            ("busy", own.busy),
            ("benched", own.benched),
        ] {
            labels.push(([("worker_type", name), ("state", state)], number));
        }
        seats.push(([("worker_type", name)], own.slaves));
    }
    let samples: Vec<MetricSample> = labels.iter().map(|(l, v)| (&l[..], *v)).collect();
    page.gauge("rrr_workers", "Live workers.", &samples);
    let samples: Vec<MetricSample> = seats.iter().map(|(l, v)| (&l[..], *v)).collect();
    let help = "Slaves that the live workers run at once when busy.";
    page.gauge("rrr_worker_slaves", help, &samples);
    page.gauge(
        "rrr_workers_silent",
        "Registered workers without a heartbeat.",
        &[(&[], stat.silent_workers)],
    );
    page.gauge(
        "rrr_slaves",
        "Slaves with a heartbeat that work for an active taskset.",
        &[(&[], stat.slaves)],
    );
    page.gauge(
        "rrr_redis_memory_used_bytes",
        "Memory that Redis uses.",
        &[(&[], stat.memory.used)],
    );
    page.gauge(
        "rrr_redis_memory_max_bytes",
        "Memory that Redis may use; 0 for unlimited.",
        &[(&[], stat.memory.max)],
    );
}

fn totals(page: &mut Page, stat: &Stat) {
    let totals = &stat.totals;
    page.counters(
        "rrr_tasksets_total",
        "Persisted tasksets.",
        &["succeeded", "failed", "cancelled"],
        &totals.tasksets,
    );
    page.counters(
        "rrr_tasks_total",
        "Tasks of persisted tasksets.",
        &["passed", "pending", "failed", "unfinished"],
        &totals.tasks,
    );
    page.head(
        "rrr_flaky_tasks_total",
        "counter",
        "Tasks that passed after a failed trial.",
    );
    page.line("rrr_flaky_tasks_total", &[], totals.flaky_tasks);
    page.counters(
        "rrr_trials_total",
        "Trials of persisted tasksets.",
        &["passed", "pending", "failed", "error", "timeout"],
        &totals.trials,
    );
    page.histogram(
        "rrr_taskset_duration_seconds",
        "From the submission of a persisted taskset to its end, in whole seconds.",
        &totals.taskset_ms,
    );
    page.histogram(
        "rrr_taskset_wait_seconds",
        "From the submission of a persisted taskset until its first worker took it, in whole seconds.",
        &totals.taskset_wait_ms,
    );
    page.histogram(
        "rrr_trial_duration_seconds",
        "How long the trials of persisted tasksets took.",
        &totals.trial_ms,
    );
}
