//! PostgreSQL by TLS: verified, or not at all.

use crate::bench::Bench;
use crate::harness::*;

#[test]
fn a_database_by_tls_is_verified_before_anything_is_told() {
    let bench = Bench::sqlite();
    let (postgres, ca) = postgres::Postgres::start_with_tls();
    let ca = ca.display().to_string();
    let good = postgres.tls_url(
        "localhost",
        &format!("sslmode=verify-full&sslrootcert={ca}"),
    );
    let key = bench.strange("t");
    let before = bench.gather(&key);
    let persister = bench.persister().args(["--drain", "--db", &good]);
    persister.run().expect_code(0);
    let show = |db: &str| {
        let tool = bench.tool("rrr-show").args([&key, "--format", "json"]);
        tool.env("RRR_DB", db).run()
    };
    bench.server.run::<String>(&["FLUSHALL"]);
    let shown = show(&good).expect_code(0).stdout;
    let shown: rrr::record::Document = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, before);
    let other = postgres.tls_url("localhost", &format!("sslrootcert={ca}&sslmode=require"));
    show(&other).expect_code(0);

    let root = format!("sslmode=require&sslrootcert={ca}");
    for (url, code, said) in [
        // Somebody else's name, an unknown authority, and no TLS where the server wants it.
        (postgres.tls_url("127.0.0.1", &root), 69, "sslrootcert=FILE"),
        (
            postgres.tls_url("localhost", "sslmode=require"),
            69,
            "sslrootcert=FILE",
        ),
        (postgres.tls_url("localhost", ""), 69, "no encryption"),
        (
            postgres.tls_url("localhost", "sslmode=prefer"),
            2,
            "sslmode=verify-full",
        ),
        (
            postgres.tls_url("localhost", "sslmode=require&sslrootcert=/no"),
            2,
            "cannot read '/no'",
        ),
    ] {
        let refused = bench
            .tool("rrr-history")
            .arg("tasksets")
            .env("RRR_DB", &url);
        let refused = refused.run().expect_code(code);
        assert!(refused.stderr.contains(said), "{url}: {}", refused.stderr);
    }
}
