//! rrr-local: one machine, no service.

use crate::harness::*;

#[test]
fn rrr_local_runs_everything_and_leaves_nothing() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a", "").file("b", "");
    Tool::new(&server, "rrr-local")
        .args(["-j2", "a", "b", "--", "true"])
        .env("TMPDIR", suite.path())
        .dir(suite.path())
        .run()
        .expect_code(0);
    let left = std::fs::read_dir(suite.path()).unwrap().count();
    assert_eq!(left, 2, "only the spec files are left");
}
