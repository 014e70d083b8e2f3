//! rrr-submit: uploads the tree, writes and queues a taskset, and optionally follows it to its end.

pub(super) mod rerun;
mod upload;

pub(crate) use crate::suite::args::{Suite, Task};

use crate::archive::db;
use crate::cli::flags;
use crate::cli::redis_args::RedisArgs;
use crate::entity::estimates;
use crate::entity::event_stream::{self, START};
use crate::entity::taskset::{self, Record, Submission};
use crate::inspect::lookup;
use crate::process::text::shell_word;
use crate::process::{exit, stdout};
use crate::protocol::key::TasksetKey;
use crate::protocol::name::rsync_name_error;
use crate::protocol::request::Request;
use crate::protocol::taskset_field as field;
use crate::protocol::taskset_ref::TasksetRef;
use crate::protocol::{event, time};
use crate::show::follow::{self, Follow, OnInterrupt};
use crate::show::view::{self, Background, ViewArgs};
use crate::store::Store;
use crate::suite::{order, signing, tasks, tree_stamp};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Submits a suite: one taskset with one task per spec file
#[derive(clap::Parser)]
#[command(name = "rrr-submit", version, mut_arg("db", |arg| arg.hide_short_help(true)))]
pub struct Options {
    #[command(flatten)]
    suite: Suite,
    /// Resubmit the tasks of KEY that did not pass
    #[arg(
        long,
        value_name = "KEY",
        conflicts_with_all = rerun::SETTINGS,
        conflicts_with = "worker_type"
    )]
    rerun_failed: Option<TasksetRef>,
    #[command(flatten)]
    db: db::DbArgs,
    /// Watch until it finishes; exit with its verdict
    #[arg(long)]
    follow: bool,
    /// Stop following after SEC seconds (exit 124)
    #[arg(long, value_name = "SEC", hide_short_help = true)]
    timeout: Option<u64>,
    #[command(flatten)]
    view: ViewArgs,
    /// Print only the taskset's key
    #[arg(long, conflicts_with = "follow", hide_short_help = true)]
    key_only: bool,
    /// Key of the taskset; must be unused
    #[arg(long, value_name = "KEY", hide_short_help = true)]
    taskset: Option<TasksetKey>,
    /// Folder to send, with its .rrr.toml
    #[arg(long, value_name = "D", default_value = ".")]
    packaging_dir: PathBuf,
    /// Name of the uploaded tree [$USER]
    #[arg(long, value_name = "N")]
    rsync_name: Option<String>,
    /// Where to upload [rsync_info in Redis]
    #[arg(long, value_name = "P")]
    rsync_remote_path: Option<String>,
    /// rsync options [rsync_info in Redis]
    #[arg(
        long,
        value_name = "S",
        allow_hyphen_values = true,
        hide_short_help = true
    )]
    rsync_options: Option<String>,
    /// Create the folder of --rsync-remote-path
    #[arg(long, hide_short_help = true)]
    mkpath: bool,
    /// Do not upload: the workers have the tree
    #[arg(long)]
    no_rsync: bool,
    /// Sign the taskset with the secret key in FILE (rrr-keygen)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    sign_key: Option<PathBuf>,
    /// Seconds until the signature expires
    #[arg(
        long,
        value_name = "SEC",
        default_value_t = 86_400,
        hide_short_help = true
    )]
    sign_for: u64,
    #[command(flatten)]
    redis: RedisArgs,
}

impl Options {
    /// The name of the tree, checked.
    fn rsync_name(&self) -> anyhow::Result<String> {
        let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
        let name = self.rsync_name.clone().or_else(user);
        let name = name.unwrap_or_else(|| "rrr".to_owned());
        match rsync_name_error(&name) {
            None => Ok(name),
            Some(wrong) => Err(exit::usage(format!(
                "rsync name '{}': {wrong}",
                name.escape_debug()
            ))
            .hint("pass --rsync-name NAME")
            .into()),
        }
    }

    /// The request and the tasks from the command line.
    fn named(&self, rsync_name: &str) -> anyhow::Result<(Request, Vec<Task>)> {
        let request = self.suite.request(rsync_name)?;
        let tasks = self.suite.tasks(&self.packaging_dir, !self.no_rsync)?;
        Ok((request, tasks))
    }

    /// The key of the new taskset.
    fn new_taskset(&self, store: &mut Store) -> anyhow::Result<TasksetKey> {
        let Some(taskset) = &self.taskset else {
            return Ok(TasksetKey::fresh());
        };
        if Record::load(store, taskset)?.is_some() {
            return Err(taskset::taken(taskset).into());
        }
        Ok(taskset.clone())
    }
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let folder = &options.packaging_dir;
    // The variable may be meant for other tools.
    let by_variable = std::env::var_os(flags::variable("timeout")).is_some();
    if options.timeout.is_some() && !options.follow && !by_variable {
        return Err(exit::usage("--timeout needs --follow")
            .hint("pass both, or use rrr-wait --timeout later")
            .into());
    }
    let rsync_name = options.rsync_name()?;
    let named = match options.rerun_failed {
        None => Some(options.named(&rsync_name)?),
        Some(_) => None,
    };
    if !options.no_rsync && !folder.is_dir() {
        let missing = format!("packaging folder '{}' does not exist", folder.display());
        return Err(exit::usage(missing)
            .hint("pass --packaging-dir, or --no-rsync when the workers have the tree")
            .into());
    }
    if let Some((_, tasks)) = named.as_ref().filter(|_| options.suite.list) {
        return tasks::print(tasks);
    }
    let signing = match &options.sign_key {
        Some(path) => Some(Signing {
            signer: signing::Signer::load(path)?,
            seconds: options.sign_for,
        }),
        None => None,
    };
    let mut store = options.redis.connect()?;
    store.wait_briefly();
    let (request, tasks) = match (named, &options.rerun_failed) {
        (None, Some(earlier)) => {
            let signer = signing.as_ref().map(|signing| &signing.signer);
            let earlier = lookup::find(Some(&mut store), &options.db, None, earlier)?;
            // A rerun does not need the outputs, so unreadable ones are ignored.
            let (document, _) = lookup::record(Some(&mut store), &options.db, None, &earlier)?;
            let (mut request, tasks) = rerun::of(&document, &rsync_name, signer)?;
            request.policy = options.suite.policy();
            (request, tasks)
        }
        (named, _) => {
            let (request, tasks) = named.expect("nothing else names tasks");
            let suite = &options.suite;
            let tasks = suite.split(&mut store, &request, tasks, folder, "rrr-submit")?;
            (request, tasks)
        }
    };
    if options.suite.list {
        return tasks::print(&tasks);
    }
    let submission = Submission::of(options.new_taskset(&mut store)?);
    options.send_and_submit(&mut store, &submission, request, tasks, signing.as_ref())?;
    options.announce_or_follow(&mut store, &submission.taskset)
}

impl Options {
    /// Uploads the tree, unless the workers have it, and submits the tasks.
    fn send_and_submit(
        &self,
        store: &mut Store,
        submission: &Submission,
        mut request: Request,
        tasks: Vec<Task>,
        signing: Option<&Signing>,
    ) -> anyhow::Result<()> {
        let (locked, name) = (!self.no_rsync, request.rsync_name.clone());
        let sent = match locked {
            true => upload::send(store, self, submission, &name),
            false => Ok(tree_stamp::not_sent(&self.packaging_dir)),
        };
        let submitted = sent.and_then(|stamp| {
            request.tree_stamp = stamp;
            submit(
                store,
                submission,
                &request,
                tasks,
                &HashSet::new(),
                locked,
                signing,
            )
        });
        if submitted.is_err() && locked {
            // A lock left behind expires: releasing it is not worth another wait for an unreachable
            // Redis, and a failure must not hide the first error.
            store.set_patience(Duration::from_secs(1));
            let _ = taskset::unlock_rsync_name(store, submission, &name);
        }
        submitted
    }

    /// The flags with which a rerun reaches the same tree, with a space in front of each.
    fn to_rerun(&self) -> String {
        let mut flags = String::new();
        let mut add = |flag: &str, value: Option<&str>| {
            flags += " ";
            flags += flag;
            if let Some(value) = value {
                flags += " ";
                flags += &shell_word(value);
            }
        };
        if self.packaging_dir != Path::new(".") {
            add(
                "--packaging-dir",
                Some(&self.packaging_dir.to_string_lossy()),
            );
        }
        if self.no_rsync {
            add("--no-rsync", None);
        }
        for (flag, value) in [
            ("--rsync-name", &self.rsync_name),
            ("--rsync-remote-path", &self.rsync_remote_path),
            ("--rsync-options", &self.rsync_options),
        ] {
            if let Some(value) = value {
                add(flag, Some(value));
            }
        }
        flags
    }

    /// Follows the taskset if asked to, otherwise prints its key or its submission; returns the exit
    /// code.
    fn announce_or_follow(&self, store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<u8> {
        if self.follow {
            let follow = Follow {
                taskset,
                limit: self.timeout.map(Duration::from_secs),
                on_interrupt: OnInterrupt::Cancel,
            };
            let background = Background::submitted(taskset, &self.to_rerun());
            let mut sink = view::open(store, taskset, &self.view, background)?;
            return follow::to_the_end(store, &follow, sink.as_mut());
        }
        if self.key_only {
            stdout::line(taskset.as_str());
        } else {
            announce(store, taskset)?;
        }
        Ok(exit::OK)
    }
}

/// Prints the submission event.
fn announce(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
    let mut after = START.to_owned();
    let entries = store.call(|c, _| event_stream::read(c, taskset, &mut after, 1))?;
    let first = entries
        .iter()
        .find_map(|entry| Some((entry.unix_ms, entry.events.first()?)));
    if let Some((unix_ms, event)) = first {
        stdout::line(&event::line(unix_ms, taskset.as_str(), event));
    }
    Ok(())
}

/// The signer, and the seconds until the signature expires.
pub(crate) struct Signing {
    signer: signing::Signer,
    seconds: u64,
}

/// Completes the estimates, orders the tasks with `failed` ones first, then writes and queues the
/// taskset.
pub(crate) fn submit(
    store: &mut Store,
    submission: &Submission,
    request: &Request,
    mut tasks: Vec<Task>,
    failed: &HashSet<String>,
    locked: bool,
    signing: Option<&Signing>,
) -> anyhow::Result<()> {
    let known = estimates::estimates(store, &request.taskset_class)?;
    for (file, estimate) in &mut tasks {
        *estimate = estimate.or_else(|| known.get(file.as_str()).copied());
    }
    let known_ms = estimates::estimates_ms(store, &request.taskset_class)?;
    order::order(&mut tasks, &known_ms, failed);
    let mut fields = request.fields(tasks.len());
    if let Some(signing) = signing {
        let digest = signing::digest(tasks.iter().map(|(file, _)| file.as_str()));
        fields.insert(field::TASKS_DIGEST.into(), digest);
        let now = time::unix_ms() / 1000;
        signing
            .signer
            .sign(&submission.taskset, &mut fields, now, signing.seconds);
    }
    taskset::stage(store, submission, &fields, &tasks)?;
    taskset::activate(store, submission, &request.rsync_name, tasks.len(), locked)
}
