//! PostgreSQL over TLS, always verified.

use crate::harness::*;
use crate::persist::bench::Bench;

#[test]
fn a_tls_database_is_verified_before_any_data_is_sent() {
    let bench = Bench::sqlite();
    let (postgres, made) = postgres::Postgres::start_with_tls("trust");
    let ca = made.join("ca.crt").display().to_string();
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
    let shown: rrr::archive::document::Document = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, before);
    let other = postgres.tls_url("localhost", &format!("sslrootcert={ca}&sslmode=require"));
    show(&other).expect_code(0);

    let root = format!("sslmode=require&sslrootcert={ca}");
    for (url, code, said) in [
        // A wrong host name, an unknown authority, and no TLS where the server requires it.
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

#[test]
fn a_client_certificate_admits_only_the_user_that_it_names() {
    let bench = Bench::sqlite();
    // The certificate must name the user.
    let (postgres, made) = postgres::Postgres::start_with_tls("cert");
    let strange = redis_mode::certificates(&["localhost"]);
    let url = |chain: &std::path::Path, key: &std::path::Path| {
        let ca = made.join("ca.crt");
        let files = [("rootcert", &*ca), ("cert", chain), ("key", key)];
        let files = files.map(|(name, path)| format!("&ssl{name}={}", path.display()));
        postgres.tls_url(
            "localhost",
            &format!("sslmode=verify-full{}", files.concat()),
        )
    };
    let good = url(&made.join("rrr.crt"), &made.join("rrr.key"));
    let key = bench.strange("t");
    let before = bench.gather(&key);
    let persister = bench.persister().args(["--drain", "--db", &good]);
    persister.run().expect_code(0);
    bench.server.run::<String>(&["FLUSHALL"]);
    let show = bench.tool("rrr-show").args([&key, "--format", "json"]);
    let shown = show.env("RRR_DB", &good).run().expect_code(0).stdout;
    let shown: rrr::archive::document::Document = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, before);

    let ca = made.join("ca.crt").display().to_string();
    let pair = "sslcert=FILE and sslkey=FILE";
    for (url, code, said) in [
        (
            postgres.tls_url("localhost", &format!("sslmode=require&sslrootcert={ca}")),
            69,
            pair,
        ),
        (
            url(&strange.join("rrr.crt"), &strange.join("rrr.key")),
            69,
            pair,
        ),
        // The server's certificate, by the same authority; then another user with the right one.
        (
            url(&made.join("redis.crt"), &made.join("redis.key")),
            69,
            pair,
        ),
        (good.replace("//rrr@", "//postgres@"), 69, pair),
        (
            url(&made.join("rrr.crt"), &strange.join("rrr.key")),
            2,
            "belong together",
        ),
        (good.replace("&sslkey", "&application_name"), 2, pair),
        (good.replace("&ssl", "&tls"), 2, "invalid database URL"),
    ] {
        let tool = bench.tool("rrr-history").arg("tasksets");
        let refused = tool.env("RRR_DB", &url).run().expect_code(code);
        assert!(refused.stderr.contains(said), "{url}: {}", refused.stderr);
    }
}
