//! Keys that would stay for ever.

use crate::harness::*;

#[test]
fn k1_a_message_for_an_expired_taskset_brings_no_key_back() {
    let server = Server::new();
    server.tell_arbiter("trial\trrrspec:taskset:gone:task:a:trial:1");
    server.tell_arbiter("check\trrrspec:taskset:gone");
    server.tell_arbiter("fail\trrrspec:taskset:gone");
    drain(&server, "rrr-arbiter");
    let keys: Vec<_> = server.dump_keys().into_keys().collect();
    assert_eq!(keys, ["rrrspec:arbiter_queue:dead"]);
}
