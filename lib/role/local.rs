//! rrr-local: everything on this machine, over a Redis of its own that goes away with it.

use super::submit::{self, Suite};
use crate::event::Event;
use crate::key::TasksetKey;
use crate::{cli, exit, stop};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a suite on this machine
#[derive(clap::Parser)]
#[command(name = "rrr-local", version)]
pub struct Options {
    #[command(flatten)]
    suite: Suite,
    /// Slaves to run at once [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Folder of the suite
    #[arg(long, value_name = "D", default_value = ".")]
    packaging_dir: PathBuf,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let tasks = options.suite.tasks(Some(&options.packaging_dir))?;
    let request = submit::request(&options.suite, "local")?;
    let folder = tempfile::Builder::new().prefix("rrr-local-").tempdir()?;
    let mut house = House {
        children: Vec::new(),
    };
    let url = house.start_redis(folder.path())?;
    let mut store = cli::Redis::at(url.clone()).connect()?;
    store.set_patience(Duration::from_secs(2));
    let here = std::env::current_exe()?
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default();
    let role = |name: &str| {
        let mut command = Command::new(here.join(name));
        command
            .env("RRR_REDIS_URL", &url)
            .env_remove("RRR_REDIS_PASSWORD_FILE")
            .stdout(Stdio::null());
        command
    };
    house.start(role("rrr-arbiter"))?;
    house.start(role("rrr-dispatch"))?;
    let mut worker = role("rrr-worker");
    worker.arg("--in-place").arg(&options.packaging_dir);
    worker.arg("--worker-type").arg(&options.suite.worker_type);
    if let Some(jobs) = options.jobs {
        worker.arg("--slaves").arg(jobs.to_string());
    }
    house.start(worker)?;
    let taskset = TasksetKey::fresh();
    let began = Instant::now();
    submit::submit(&mut store, &taskset, &request, tasks, false)?;
    let mut bad = Vec::new();
    let mut code = submit::follow(&mut store, &taskset, None, &mut |event| {
        house.mend();
        match event {
            Event::TaskFinished {
                spec_file,
                status,
                trials,
                ..
            } if status == "failed" => {
                bad.push(format!("failed: {spec_file} ({trials} trials)"));
            }
            Event::TaskFinished {
                spec_file,
                flaky: true,
                ..
            } => bad.push(format!("flaky: {spec_file}")),
            Event::TasksetFinished {
                status,
                tasks,
                succeeded,
                failed,
                flaky,
                fail_reason,
            } => {
                let seconds = began.elapsed().as_secs_f64();
                for line in &bad {
                    eprintln!("{line}");
                }
                if let Some(reason) = fail_reason {
                    eprintln!("reason: {reason}");
                }
                eprintln!(
                    "{status}: {succeeded} of {tasks} succeeded, {failed} failed, {flaky} flaky, in {seconds:.1} s"
                );
            }
            _ => {}
        }
    })?;
    if stop::requested() && code == exit::OK {
        code = stop::signal_code();
    }
    Ok(code)
}

/// The processes that this run started, ended with it whatever happens.
struct House {
    children: Vec<(Command, Child)>,
}

impl House {
    fn start(&mut self, mut command: Command) -> anyhow::Result<()> {
        command.stdin(Stdio::null()).process_group(0);
        // SAFETY: prctl is async-signal-safe, and nothing else happens between fork and exec. If
        // this process is killed, so are its children.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(
                    rustix::process::Signal::TERM,
                ))?;
                Ok(())
            });
        }
        let child = command.spawn()?;
        self.children.push((command, child));
        Ok(())
    }

    /// Starts again what has died.
    fn mend(&mut self) {
        for (command, child) in &mut self.children[1..] {
            if matches!(child.try_wait(), Ok(Some(_)))
                && let Ok(again) = command.spawn()
            {
                *child = again;
            }
        }
    }

    fn start_redis(&mut self, folder: &Path) -> anyhow::Result<String> {
        let socket = folder.join("redis.sock");
        for server in ["redis-server", "valkey-server"] {
            let mut command = Command::new(server);
            command
                .args([
                    "--port",
                    "0",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                    "--maxmemory-policy",
                    "noeviction",
                ])
                .args([
                    "--loglevel",
                    "warning",
                    "--unixsocketperm",
                    "700",
                    "--unixsocket",
                ])
                .arg(&socket)
                .arg("--dir")
                .arg(folder)
                .stdout(Stdio::null());
            match self.start(command) {
                Ok(()) => {
                    let began = Instant::now();
                    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
                        if began.elapsed() > Duration::from_secs(10) {
                            anyhow::bail!("{server} did not start within 10 s");
                        }
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    return Ok(format!("unix://{}", socket.display()));
                }
                Err(error) => {
                    let missing = error
                        .downcast_ref::<std::io::Error>()
                        .is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
                    if !missing {
                        return Err(error);
                    }
                }
            }
        }
        Err(
            cli::usage("neither redis-server nor valkey-server is installed")
                .hint("apt-get install redis-server")
                .into(),
        )
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Roles first, so that they need not miss their Redis; it goes last.
        for (_, child) in self.children.iter_mut().skip(1) {
            let pid = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        for (_, child) in self.children.iter_mut().skip(1) {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some((_, redis)) = self.children.first_mut() {
            let _ = redis.kill();
            let _ = redis.wait();
        }
    }
}
