//! The fields of a taskset: spelled once in Rust, and described in rrr-protocol(7).

use crate::{only, rust, sources};

/// The file that spells the fields.
const HOME: &str = "lib/protocol/taskset_field.rs";

/// Names that fields of other hashes and of JSON objects have too.
const COMMON: &[&str] = &[
    "status",
    "created_at",
    "finished_at",
    "given",
    "policy",
    "signature",
    "default",
];

/// Files in which one of the names is something else.
const ELSEWHERE: &[&str] = &[
    // The field of a worker's hash.
    "lib/entity/worker.rs",
    "lib/inspect/fsck/snapshot.rs",
    "lib/role/list.rs",
    // A label of a metric.
    "lib/inspect/stat/prometheus.rs",
    // Keys of JSON objects.
    "lib/archive/history/runs.rs",
    "lib/proof/writers.rs",
    "lib/show/export/lines.rs",
    "lib/show/export/trace.rs",
    // Ids of flags.
    "lib/role/submit/mod.rs",
    "lib/role/submit/rerun.rs",
    // The name of a step, for people.
    "lib/role/worker/prepare.rs",
];

/// The names in the file.
fn fields() -> Vec<String> {
    let home = sources("lib/protocol", ".rs");
    let home = home.iter().find(|source| source.path == HOME).expect(HOME);
    let values = home.text.lines().filter(|line| line.contains(": &str = "));
    let quoted = |line: &str| line.split('"').nth(1).expect("a quoted name").to_owned();
    values.map(quoted).collect()
}

#[test]
fn a_field_of_a_taskset_is_spelled_once() {
    let fields = fields();
    assert!(fields.len() > 20, "{fields:?}");
    let own = fields
        .iter()
        .filter(|name| !COMMON.contains(&name.as_str()));
    let own: Vec<String> = own.map(|name| format!("\"{name}\"")).collect();
    let elsewhere = rust().into_iter().filter(|source| {
        let code = source.code();
        source.path != HOME && own.iter().any(|name| code.contains(name))
    });
    only(
        ELSEWHERE,
        elsewhere.map(|source| source.path),
        "use protocol::taskset_field",
    );
}

#[test]
fn the_protocol_page_describes_each_field_of_a_taskset() {
    let pages = sources("man", "rrr-protocol.7");
    for field in fields().iter().filter(|name| *name != "default") {
        let entry = format!("\n.B {field}\n");
        assert!(pages[0].text.contains(&entry), "{field}");
    }
}
