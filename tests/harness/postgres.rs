//! A real PostgreSQL of its own, in a temporary folder, on a Unix socket; if wanted, by TLS too.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{PATIENCE, eventually};

/// A cluster; its server is stopped, and its folder removed, on drop.
pub struct Postgres {
    folder: tempfile::TempDir,
    server: Mutex<Option<Child>>,
    settings: Vec<String>,
    port: u16,
}

/// Debian keeps the server's programs off PATH.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter();
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

/// The server refuses to be root: then it is `postgres`, whom the package brings along.
fn as_server(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        let mut command = Command::new(program);
        super::handle::die_with_the_test(&mut command);
        return command;
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .args(["--pdeathsig", "QUIT", "--"])
        .arg(program);
    command
}

impl Postgres {
    /// Makes a cluster and starts it.
    #[track_caller]
    pub fn start() -> Self {
        let mut postgres = Self::make();
        postgres.settings = vec!["listen_addresses=".into()];
        postgres.run();
        postgres
    }

    /// One that is reached by TLS only, beside its socket: as `localhost`, with the certificates of
    /// the folder. Who comes that way is checked by `method`, as pg_hba.conf has it.
    #[track_caller]
    pub fn start_with_tls(method: &str) -> (Self, PathBuf) {
        let mut postgres = Self::make();
        let made = super::guise::certificates(&["localhost"]);
        let own = |name: &str| postgres.folder.path().join(name);
        for name in ["redis.crt", "redis.key", "ca.crt"] {
            std::fs::copy(made.join(name), own(name)).expect("a certificate");
            if rustix::process::geteuid().is_root() {
                let chown = Command::new("chown")
                    .arg("postgres")
                    .arg(own(name))
                    .status();
                assert!(chown.unwrap().success());
            }
        }
        let rules = format!("local all all trust\nhostssl all all all {method}\n");
        std::fs::write(own("data").join("pg_hba.conf"), rules).expect("its rules");
        postgres.port = super::server::free_port();
        postgres.settings = vec![
            "listen_addresses=localhost".into(),
            format!("port={}", postgres.port),
            "ssl=on".into(),
            format!("ssl_cert_file={}", own("redis.crt").display()),
            format!("ssl_key_file={}", own("redis.key").display()),
            format!("ssl_ca_file={}", own("ca.crt").display()),
        ];
        postgres.run();
        (postgres, made)
    }

    #[track_caller]
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if rustix::process::geteuid().is_root() {
            let chown = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status();
            assert!(chown.unwrap().success(), "a user 'postgres' is needed");
        }
        let made = as_server(&program("initdb"))
            .args(["--auth=trust", "--username=rrr", "--no-sync", "-E", "UTF8"])
            .args(["--locale=C", "-D"])
            .arg(folder.path().join("data"))
            .current_dir("/")
            .output()
            .expect("initdb: Debian's package postgresql");
        assert!(made.status.success(), "{made:?}");
        Self {
            folder,
            server: Mutex::new(None),
            settings: Vec::new(),
            port: 5432,
        }
    }

    /// Starts the server again.
    #[track_caller]
    pub fn run(&self) {
        let mut command = as_server(&program("postgres"));
        command
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "fsync=off"])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .current_dir("/")
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        *self.server.lock().unwrap() = Some(command.spawn().expect("postgres"));
        eventually(PATIENCE, "PostgreSQL answers", || self.try_client());
    }

    /// For `--db`.
    pub fn url(&self) -> String {
        let folder = self.folder.path().display();
        let port = self.port;
        format!("postgres://rrr@localhost:{port}/postgres?host={folder}")
    }

    /// The URL of its TCP port, for a server with TLS: as `host`, with these parameters.
    pub fn tls_url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://rrr@{host}:{}/postgres?{parameters}", self.port)
    }

    fn try_client(&self) -> Option<postgres::Client> {
        let mut config: postgres::Config = self.url().parse().unwrap();
        // What the URL has before the folder is only there for its form.
        config.host_path(self.folder.path());
        config.connect(postgres::NoTls).ok()
    }

    /// A connection of the test's own.
    #[track_caller]
    pub fn client(&self) -> postgres::Client {
        self.try_client().expect("PostgreSQL answers")
    }

    /// Ends the server at once, as a crash would; the data stays.
    pub fn stop(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            let pid = Pid::from_raw(server.id() as i32).unwrap();
            let _ = kill_process(pid, Signal::QUIT);
            let _ = server.wait();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
