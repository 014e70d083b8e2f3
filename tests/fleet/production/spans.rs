//! A run as spans: OTLP checked with OpenTelemetry's own types, and the trace as Perfetto needs it.

use crate::harness::*;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A run with a setup, a flaky and a failing file on two slaves, and its key.
fn ran(server: &Server, suite: &Suite) -> String {
    suite.many(6, "sleep 0.1");
    suite
        .file("fails.sh", "exit 3")
        .file("flaky #1.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
    let fleet = Fleet::plan(server).without_persister().start();
    let worker = fleet.worker("box", 2, suite.path());
    let args = ["--max-trials", "2", "--setup", "sleep 0.1"];
    let done = submit(server, suite, &args).wait(PATIENCE).expect_code(1);
    worker.term();
    worker.wait(PATIENCE);
    done.receipt().taskset.as_str().to_owned()
}

fn show(server: &Server, key: &str, format: &str) -> String {
    let tool = Tool::new(server, "rrr-show").args([key, "--format", format]);
    tool.run().expect_code(0).stdout
}

/// Whether all keys of a JSON tree are OTLP names: serde ignores unknown ones.
fn unknown_fields(line: &str, read: &TracesData) -> BTreeSet<String> {
    fn fields(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                into.insert(key.clone());
                fields(value, into);
            }),
            Value::Array(all) => all.iter().for_each(|value| fields(value, into)),
            _ => {}
        }
    }
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    fields(&serde_json::from_str(line).unwrap(), &mut ours);
    fields(&serde_json::to_value(read).unwrap(), &mut theirs);
    ours.difference(&theirs).cloned().collect()
}

fn spans(text: &str) -> Vec<Span> {
    let mut all = Vec::new();
    for line in text.lines() {
        let read: TracesData = serde_json::from_str(line).expect("OTLP");
        assert_eq!(unknown_fields(line, &read), BTreeSet::new(), "{line}");
        for resource in read.resource_spans {
            assert!(resource.resource.is_some());
            let scopes = resource.scope_spans.into_iter();
            all.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
    all
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|own| own.key == name)?;
    match found.value.clone()?.value? {
        Any::StringValue(text) => Some(text),
        Any::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn opentelemetry_reads_spans_nested_within_their_parents() {
    let (server, suite) = (Server::new(), Suite::new());
    let key = ran(&server, &suite);
    let text = show(&server, &key, "otlp-json");
    let all = spans(&text);
    let by_id: BTreeMap<Vec<u8>, &Span> = all.iter().map(|s| (s.span_id.clone(), s)).collect();
    assert_eq!(by_id.len(), all.len(), "every id is unique");
    let (mut roots, mut kinds) = (Vec::new(), BTreeMap::new());
    for span in &all {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert_eq!(span.trace_id, all[0].trace_id);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        *kinds
            .entry(span.name.split(' ').next().unwrap())
            .or_insert(0) += 1;
        if span.parent_span_id.is_empty() {
            roots.push(span);
            continue;
        }
        let parent = by_id[&span.parent_span_id];
        let inside = parent.start_time_unix_nano <= span.start_time_unix_nano
            && span.end_time_unix_nano <= parent.end_time_unix_nano;
        assert!(inside, "{} in {}", span.name, parent.name);
    }
    let [root] = roots[..] else {
        panic!("{roots:?}")
    };
    assert_eq!(kinds["trial"], 10, "{kinds:?}");
    assert_eq!(kinds["t0001.sh"], 1);
    assert_eq!((kinds["worker"], kinds["rsync"], kinds["setup"]), (1, 1, 1));
    let of = |name: &str| attribute(root, name);
    assert_eq!(of("cicd.pipeline.run.id"), Some(key));
    assert_eq!(of("cicd.pipeline.result").as_deref(), Some("failure"));
    assert_eq!(of("test.suite.run.status").as_deref(), Some("failure"));
    assert_eq!(root.status.as_ref().unwrap().code, 2);
    let trials = |file: &str| {
        let mut own: Vec<&Span> = all
            .iter()
            .filter(|span| span.name == format!("trial {file}"))
            .collect();
        own.sort_by_key(|span| attribute(span, "rrr.attempt"));
        own
    };
    let [first, second] = trials("flaky #1.sh")[..] else {
        panic!("two trials")
    };
    let said = [first, second].map(|span| attribute(span, "test.case.result.status").unwrap());
    assert_eq!(said, ["fail", "pass"]);
    assert_eq!(attribute(first, "process.exit.code").as_deref(), Some("1"));
    assert_eq!(attribute(first, "error.type").as_deref(), Some("failed"));
    assert_eq!(second.links[0].span_id, first.span_id);
}

#[test]
fn repeated_and_database_exports_have_the_same_spans() {
    let (server, suite) = (Server::new(), Suite::new());
    let key = ran(&server, &suite);
    let before = show(&server, &key, "otlp-json");
    assert_eq!(before, show(&server, &key, "otlp-json"));
    let fleet = Fleet::plan(&server).arbiters(0).dispatchers(0).start();
    eventually(PATIENCE, "it is persisted", || {
        server
            .list("rrrspec:persister_queue")
            .is_empty()
            .then_some(())
    });
    fleet.stop();
    let _: () = server.run(&["FLUSHALL"]);
    let records = fleet.log_dir();
    let tool = Tool::new(&server, "rrr-show").args([&*key, "--format", "otlp-json"]);
    let tool = tool.args(["--db", &fleet.db(), "--log-dir"]).arg(records);
    assert_eq!(tool.run().expect_code(0).stdout, before);
}

#[test]
fn a_trace_has_one_row_per_slave_and_arrows_that_meet_slices() {
    let (server, suite) = (Server::new(), Suite::new());
    let key = ran(&server, &suite);
    let trace: Value = serde_json::from_str(&show(&server, &key, "trace")).expect("JSON");
    let events = trace["traceEvents"].as_array().unwrap();
    let number = |event: &Value, field: &str| event[field].as_i64().expect(field);
    let row = |event: &Value| (number(event, "pid"), number(event, "tid"));
    let named: BTreeMap<_, &str> = events
        .iter()
        .filter(|event| event["ph"] == "M" && event["name"] == "thread_name")
        .map(|event| (row(event), event["args"]["name"].as_str().unwrap()))
        .collect();
    let slaves = named.values().filter(|name| name.starts_with("slave "));
    assert_eq!(slaves.count(), 2, "{named:?}");
    let mut slices: BTreeMap<_, Vec<(i64, i64)>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let (ts, dur) = (number(event, "ts"), number(event, "dur"));
        assert!(ts >= 0 && dur >= 0, "{event}");
        slices.entry(row(event)).or_default().push((ts, ts + dur));
    }
    for (row, own) in &mut slices {
        own.sort_unstable();
        let overlap = own.windows(2).find(|pair| pair[0].1 > pair[1].0);
        assert_eq!(overlap, None, "{row:?}");
    }
    let trials: usize = named
        .iter()
        .filter(|(_, name)| name.starts_with("slave "))
        .map(|(row, _)| slices[row].len())
        .sum();
    assert_eq!(trials, 10);
    // The two files with two trials.
    for phase in ["s", "f"] {
        let ends: Vec<&Value> = events.iter().filter(|event| event["ph"] == phase).collect();
        let ids: BTreeSet<i64> = ends.iter().map(|event| number(event, "id")).collect();
        assert_eq!(ids, BTreeSet::from([1, 2]));
        for event in ends {
            let at = number(event, "ts");
            let meets = slices[&row(event)]
                .iter()
                .any(|(from, to)| *from <= at && at <= *to);
            assert!(meets, "{event}");
        }
    }
}
