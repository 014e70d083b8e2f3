//! The processes of one run on this machine: started, restarted, and always ended with the run.

use crate::cli::redis_args::RedisArgs;
use crate::exec::child;
use crate::process::secret::Secret;
use crate::process::stderr::say;
use crate::process::{exit, which};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Maximum restarts of a role that keeps dying, before the run is abandoned.
const MOST_RESTARTS: u32 = 20;

/// Maximum length of the path of a Unix socket on Linux, in bytes.
const LONGEST_SOCKET: usize = 107;

/// Time for the roles to exit: more than a worker gives its slaves, since they would outlive a
/// worker that is killed while it waits for them.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// Time between checks for roles that a test has stopped.
const WAKE: Duration = Duration::from_secs(1);

struct Role {
    name: String,
    command: Command,
    child: Child,
    /// The Redis that the process uses; `None` for Redis itself.
    redis: Option<RedisArgs>,
    /// The write end of its stdin, which carries the password.
    _leash: Option<UnixStream>,
}

impl Role {
    /// Starts the process again.
    fn restart(&mut self) -> std::io::Result<()> {
        self._leash = leash(self.redis.as_ref(), &mut self.command)?;
        self.child = self.command.spawn()?;
        Ok(())
    }

    /// Continues the process if a test has stopped it: nothing else would.
    fn wake(&self) {
        let pid = Pid::from_child(&self.child);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        if let Ok(Some(_)) = waitid(WaitId::Pid(pid), options) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}

fn leash(redis: Option<&RedisArgs>, command: &mut Command) -> std::io::Result<Option<UnixStream>> {
    match redis {
        Some(redis) => redis.pass_on(command),
        None => Ok(None),
    }
}

/// Redis first, then the roles.
pub(crate) struct Processes {
    roles: Vec<Role>,
    restarts: u32,
    /// The time of the last check for stopped roles.
    woken: Instant,
    /// The file that receives the roles' stderr, so that it does not disturb a live view.
    stderr: PipeWriter,
    take_stderr: Receiver<String>,
}

fn read_lines(pipe: PipeReader, lines: &Sender<String>) {
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        if lines
            .send(String::from_utf8_lossy(&line).into_owned())
            .is_err()
        {
            break;
        }
    }
}

impl Processes {
    /// An empty set of processes.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (reader, stderr) = std::io::pipe()?;
        let (sender, take_stderr) = channel();
        std::thread::Builder::new()
            .name("roles".into())
            .spawn(move || read_lines(reader, &sender))?;
        Ok(Self {
            roles: Vec::new(),
            restarts: 0,
            woken: Instant::now(),
            stderr,
            take_stderr,
        })
    }

    /// The lines that the processes have written to stderr since the last call.
    pub(crate) fn take_stderr(&self) -> Vec<String> {
        self.take_stderr.try_iter().collect()
    }

    /// Prints those lines.
    pub(crate) fn report(&self) {
        let lines = self.take_stderr();
        lines.iter().for_each(|line| say!("{line}"));
    }

    /// Starts a role that dies with this process, and uses `redis`.
    pub(crate) fn start(&mut self, command: Command, redis: &RedisArgs) -> anyhow::Result<()> {
        self.enter(command, Some(redis.clone()))
    }

    fn enter(&mut self, mut command: Command, redis: Option<RedisArgs>) -> anyhow::Result<()> {
        command
            .stdout(Stdio::null())
            .stderr(self.stderr.try_clone()?)
            .process_group(0);
        let leash = leash(redis.as_ref(), &mut command)?;
        // On SIGTERM the roles, and with them their tests, would continue for a while.
        child::end_with_us(&mut command, Signal::KILL);
        let name = Path::new(command.get_program()).file_name();
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| {
            let path = Path::new(command.get_program()).display();
            exit::failure(exit::USAGE, format!("cannot run '{path}': {error}")).hint(
                "rrr-local needs the other tools in its own folder, where cargo install puts them",
            )
        })?;
        self.roles.push(Role {
            name,
            command,
            child,
            redis,
            _leash: leash,
        });
        Ok(())
    }

    /// Restarts the roles that have died, and returns their names.
    ///
    /// Errors: Redis has died, which ends the run, or a role keeps dying.
    pub(crate) fn restart_dead(&mut self) -> anyhow::Result<Vec<String>> {
        let mut mended = Vec::new();
        let wakes = self.woken.elapsed() >= WAKE;
        if wakes {
            self.woken = Instant::now();
        }
        for (place, role) in self.roles.iter_mut().enumerate() {
            let Some(status) = role.child.try_wait()? else {
                if wakes {
                    role.wake();
                }
                continue;
            };
            let name = &role.name;
            if place == 0 {
                let message = format!("{name} died during the run ({status})");
                return Err(exit::failure(exit::INTERNAL, message)
                    .hint("check that there is enough memory, and run it again")
                    .into());
            }
            self.restarts += 1;
            if self.restarts > MOST_RESTARTS {
                anyhow::bail!("{name} keeps dying ({status})");
            }
            let name = name.clone();
            role.restart()?;
            mended.push(format!("{name} died ({status}) and was restarted"));
        }
        Ok(mended)
    }

    /// Asks the roles to end, without waiting. They end before Redis, so that they do not lose their
    /// connection to it.
    pub(crate) fn dismiss(&mut self) {
        for role in self.roles.iter_mut().skip(1) {
            let pid = Pid::from_child(&role.child);
            if let Ok(None) = role.child.try_wait() {
                let _ = kill_process(pid, Signal::TERM);
                let _ = kill_process(pid, Signal::CONT);
            }
        }
    }

    /// Starts a private Redis, with its socket and files in `folder`, that requires a password.
    pub(crate) fn start_redis(&mut self, folder: &Path) -> anyhow::Result<RedisArgs> {
        let socket = folder.join("redis.sock");
        if socket.as_os_str().len() > LONGEST_SOCKET {
            let message = format!("socket path too long: '{}'", socket.display());
            return Err(exit::usage(message)
                .hint("set TMPDIR to a shorter path")
                .into());
        }
        let servers = ["redis-server", "valkey-server"];
        let Some(server) = servers.into_iter().find(|name| which::find(name).is_some()) else {
            return Err(
                exit::usage("neither redis-server nor valkey-server is installed")
                    .hint("apt-get install redis-server")
                    .into(),
            );
        };
        self.enter(redis_command(server, folder, &socket), None)?;
        let secret = Secret::random();
        if let Some(mut stdin) = self.roles[0].child.stdin.take() {
            let line = format!("requirepass {}\n", secret.clone().into_text());
            stdin.write_all(line.as_bytes())?;
        }
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            if let Some(status) = self.roles[0].child.try_wait()? {
                anyhow::bail!("{server} exited at startup ({status})");
            }
            if began.elapsed() > Duration::from_secs(10) {
                anyhow::bail!("{server} did not start within 10 s");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let url = format!("unix://{}", socket.display());
        Ok(RedisArgs::at(url).with_secret(secret))
    }
}

/// The command of a Redis that keeps nothing on disk and reads the rest of its configuration from
/// stdin, where no test can read it.
fn redis_command(server: &str, folder: &Path, socket: &Path) -> Command {
    let mut command = Command::new(server);
    command
        .stdin(Stdio::piped())
        .args(["-", "--port", "0", "--save", "", "--appendonly", "no"])
        .args(["--maxmemory-policy", "noeviction"])
        // Keeps hashes with long file names compact.
        .args(["--hash-max-ziplist-value", "512"])
        .args(["--loglevel", "warning", "--unixsocketperm", "700"])
        .arg("--unixsocket")
        .arg(socket)
        .arg("--dir")
        .arg(folder);
    command
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.dismiss();
        let Some((redis, roles)) = self.roles.split_first_mut() else {
            return;
        };
        let deadline = Instant::now() + LEAVE_LIMIT;
        for role in roles {
            while Instant::now() < deadline && matches!(role.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = role.child.kill();
            let _ = role.child.wait();
        }
        let _ = redis.child.kill();
        let _ = redis.child.wait();
    }
}
