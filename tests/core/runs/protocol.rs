//! The protocol alone: other implementations may share the Redis.

use crate::harness::*;

#[test]
fn a_taskset_by_the_protocol_alone_is_run_judged_and_persisted() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    let taskset = raw::taskset(&server, "hand", &["a", "b", "c"]).submitted();
    let record = eventually(PATIENCE, "the record", || {
        let mut files = std::fs::read_dir(fleet.log_dir()).unwrap().flatten();
        let file = files.find(|file| file.path().extension().is_some_and(|x| x == "json"))?;
        let text = std::fs::read_to_string(file.path()).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).ok()
    });
    assert_eq!(record["taskset"]["status"], "succeeded");
    assert_eq!(record["taskset"]["succeeded_count"], 3);
    assert_eq!(record["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(record["tasks"][0]["trials"][0]["status"], "passed");
    eventually(PATIENCE, "all keys of the taskset expire", || {
        let keys = server.dump_keys();
        let mut ours = keys
            .iter()
            .filter(|(name, _)| name.starts_with(&taskset.key));
        ours.all(|(_, key)| key.ttl.is_some()).then_some(())
    });
}
