//! Redis over TLS, always verified on both sides.

use crate::harness::redis_mode::{certificates, tls_settings};
use crate::harness::*;
use std::path::Path;

/// A server with TLS, its URL with this host, and its certificates.
struct Secure {
    _server: Server,
    port: u16,
    files: std::path::PathBuf,
}

impl Secure {
    fn new() -> Self {
        let files = certificates(&["127.0.0.1"]);
        let port = server::free_port();
        let options = tls_settings(&files, port)
            .iter()
            .fold(Server::options(), |options, (name, value)| {
                options.set(name, value)
            });
        Self {
            _server: options.password("secret").start(),
            port,
            files,
        }
    }

    fn file(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }

    fn url(&self) -> String {
        format!("rediss://:secret@127.0.0.1:{}", self.port)
    }

    /// The flags of every tool.
    fn flags(&self) -> Vec<String> {
        let (ca, cert, key) = (
            self.file("ca.crt"),
            self.file("rrr.crt"),
            self.file("rrr.key"),
        );
        [
            "--redis-ca",
            &ca,
            "--redis-cert",
            &cert,
            "--redis-key",
            &key,
        ]
        .map(str::to_owned)
        .into()
    }
}

#[test]
fn a_run_over_tls_with_settings_by_flag_reaches_the_slaves_too() {
    let (secure, suite) = (Secure::new(), Suite::new());
    suite.many(5, "exit 0");
    let start = |name: &str| Tool::new(&secure.url(), name).args(secure.flags());
    let _roles = [
        start("rrr-arbiter").spawn(),
        start("rrr-dispatch").spawn(),
        start("rrr-worker")
            .args(["--slaves", "2", "--in-place"])
            .arg(suite.path())
            .spawn(),
    ];
    let submit = start("rrr-submit")
        .args(["--no-rsync", "--follow"])
        .args(suite.files());
    let done = submit
        .args(["--", "sh", "{}"])
        .dir(suite.path())
        .run()
        .expect_code(0);
    assert_eq!(done.receipt().succeeded, 5);
}

#[test]
fn an_unverified_connection_is_refused_with_a_hint() {
    let secure = Secure::new();
    let other = certificates(&["elsewhere.example"]);
    let strange = other.join("ca.crt").display().to_string();
    let empty = other.join("empty.crt");
    std::fs::write(&empty, "").unwrap();
    let mine = secure.flags();
    let only_ca = mine[..2].to_vec();
    let strange_ca = [&["--redis-ca".to_owned(), strange.clone()], &mine[2..]].concat();
    let not_pem = [
        &["--redis-ca".to_owned(), empty.display().to_string()],
        &mine[2..],
    ]
    .concat();
    let swapped: Vec<String> = [
        "--redis-ca",
        &secure.file("ca.crt"),
        "--redis-cert",
        &secure.file("rrr.key"),
        "--redis-key",
        &secure.file("rrr.crt"),
    ]
    .map(str::to_owned)
    .into();
    let ip = secure.url();
    let name = ip.replace("127.0.0.1", "localhost");
    let plain = ip.replace("rediss", "redis");
    let insecure = format!("{ip}#insecure");
    let cases: [(&str, &[String], i32, &str); 9] = [
        (&ip, &[], 69, "--redis-ca"),
        (&ip, &strange_ca, 69, "--redis-ca"),
        (&ip, &not_pem, 69, "--redis-ca"),
        (&ip, &only_ca, 69, "--redis-cert"),
        (&name, &mine, 69, "the host name in it"),
        (&plain, &mine, 2, "rediss://"),
        (&insecure, &mine, 2, "always verified"),
        (&ip, &mine[..4], 2, "both --redis-cert and --redis-key"),
        (&ip, &swapped, 2, "PEM"),
    ];
    for (url, flags, code, says) in cases {
        let done = Tool::new(url, "rrr-arbiter")
            .arg("--drain")
            .args(flags)
            .run();
        assert_eq!(done.code, Some(code), "{flags:?}: {done:#?}");
        assert!(done.stderr.contains(says), "{flags:?}: {done:#?}");
        assert!(!done.stderr.contains("secret"), "{done:#?}");
    }
    let done = Tool::new(&ip, "rrr-arbiter")
        .arg("--drain")
        .args(&mine)
        .run();
    done.expect_code(0);
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let secure = Secure::new();
    let role = Tool::new(&secure.url(), "rrr-arbiter")
        .args(secure.flags())
        .spawn();
    eventually(PATIENCE, "the arbiter is connected", || {
        let list: String = secure._server.run(&["CLIENT", "LIST"]);
        list.contains("cmd=blmove").then_some(())
    });
    // The key of another certificate: new connections with these files must fail from now on.
    let kept = std::fs::read(secure.file("rrr.crt")).unwrap();
    let other = certificates(&["127.0.0.1"]);
    std::fs::copy(other.join("rrr.crt"), secure.file("rrr.crt")).unwrap();
    let _: i64 = secure._server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
    role.wait_for_stderr(PATIENCE, |line| line.contains("lost Redis"));
    std::fs::write(Path::new(&secure.file("rrr.crt")), kept).unwrap();
    eventually(PATIENCE, "the arbiter is connected again", || {
        let list: String = secure._server.run(&["CLIENT", "LIST"]);
        list.contains("cmd=blmove").then_some(())
    });
    assert!(role.is_running());
}
