//! A cgroup (version 2) for the processes of a slave's trials, where one can be created. All of
//! them are killed in one step, however they tried to escape, and the kernel enforces their limits.
//!
//! A slave creates its cgroup below a base: its own cgroup, or the one that its worker names. The
//! creator of a cgroup locks it for life, so that any process can recognise the cgroups of dead
//! slaves.

use super::reap;
use super::reap::Killed;
use crate::process::stderr::say;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The variable with the base cgroup of a slave; if empty, the slave creates no cgroup, nor does a
/// worker without bounds.
pub(crate) const BASE: &str = "RRR_CGROUP";
const PREFIX: &str = "rrr-slave-";
/// The worker's own cgroup: a cgroup that limits others may not contain processes.
const OURS: &str = "rrr-worker";
/// Maximum wait for a cgroup to become empty after its processes were killed.
const EMPTY: Duration = Duration::from_secs(2);

/// The limits of a trial, with all its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct CgroupBounds {
    /// Maximum MiB of a trial as a whole, by its cgroup
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 40), hide_short_help = true)]
    pub trial_memory: Option<u64>,
    /// Maximum processes and threads of a trial
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), hide_short_help = true)]
    pub trial_pids: Option<u64>,
}

impl CgroupBounds {
    /// Whether no limit is set.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Passes the limits to the worker or slave that `command` starts.
    pub(crate) fn pass_on(&self, command: &mut Command) {
        for (name, value) in [
            ("RRR_TRIAL_MEMORY", self.trial_memory),
            ("RRR_TRIAL_PIDS", self.trial_pids),
        ] {
            match value {
                Some(value) => command.env(name, value.to_string()),
                None => command.env_remove(name),
            };
        }
    }

    /// Passes the limits and their `base` to a slave; without a base nothing can enforce them.
    pub(crate) fn pass_on_below(&self, base: Option<&Path>, command: &mut Command) {
        let kept = match base {
            Some(_) => self,
            None => &Self::default(),
        };
        kept.pass_on(command);
        command.env(BASE, base.unwrap_or(Path::new("")));
    }

    /// Reports as `tool` why the limits are not enforced; prints nothing if there are none.
    pub(crate) fn cannot_be_kept(&self, tool: &str, error: &io::Error) {
        if !self.is_empty() {
            say!("{tool}: --trial-memory and --trial-pids cannot be enforced here: {error}");
            say!(
                "hint: they need a delegated cgroup v2, for example a systemd unit with Delegate=yes"
            );
        }
    }

    fn controllers(&self) -> Vec<&'static str> {
        let memory = self.trial_memory.map(|_| "memory");
        let pids = self.trial_pids.map(|_| "pids");
        memory.into_iter().chain(pids).collect()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(mib) = self.trial_memory {
            fs::write(path.join("memory.max"), (mib << 20).to_string())?;
            // A kernel without swap does not have this file.
            let _ = fs::write(path.join("memory.swap.max"), "0");
        }
        if let Some(number) = self.trial_pids {
            fs::write(path.join("pids.max"), number.to_string())?;
        }
        Ok(())
    }
}

/// Whether the parent of this process disabled cgroups.
pub(crate) fn is_unwanted() -> bool {
    std::env::var_os(BASE).is_some_and(|base| base.is_empty())
}

/// The cgroup of this process, as a folder.
///
/// Errors: there is no cgroup v2 here, or it does not show this process.
pub fn own() -> io::Result<PathBuf> {
    let no = |why: &str| io::Error::new(io::ErrorKind::NotFound, why.to_owned());
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    folder(&groups, &mounts).ok_or_else(|| no("no cgroup v2 is mounted"))
}

/// The cgroup as a folder, from the contents of /proc/self/cgroup and /proc/self/mountinfo.
fn folder(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (root, point) = (fields.nth(3)?, fields.next()?);
        let below = Path::new(group).strip_prefix(root).ok()?;
        let is_ours = kind.split(' ').next() == Some("cgroup2");
        is_ours.then(|| Path::new(&point.replace("\\040", " ")).join(below))
    })
}

/// Makes this process's cgroup a base for those of its slaves, which must enforce `bounds`.
///
/// Errors: no cgroup can be created there, or it could not enforce the bounds.
pub(crate) fn base(bounds: &CgroupBounds) -> io::Result<PathBuf> {
    let base = own()?;
    enable(&base, &bounds.controllers())?;
    clean_up(&base);
    // Only an attempt shows whether one can be created.
    drop(Cgroup::make(&base, bounds)?);
    Ok(base)
}

/// Enables `controllers` for the cgroups below `base`.
fn enable(base: &Path, controllers: &[&str]) -> io::Result<()> {
    let control = base.join("cgroup.subtree_control");
    for name in controllers {
        let there = fs::read_to_string(base.join("cgroup.controllers"))?;
        if !there.split_whitespace().any(|there| there == *name) {
            return Err(io::Error::other(format!(
                "the controller '{name}' is not delegated to '{}'",
                base.display()
            )));
        }
        let on = || fs::write(&control, format!("+{name}"));
        match on() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                make_room(base)?;
                on()?;
            }
            result => result?,
        }
    }
    Ok(())
}

/// Moves this process out of `base`, if no other process is in it.
fn make_room(base: &Path) -> io::Result<()> {
    let pids = fs::read_to_string(base.join("cgroup.procs"))?;
    let pid = std::process::id().to_string();
    if pids.lines().any(|other| other != pid) {
        return Err(io::Error::other(format!(
            "there are other processes in '{}'",
            base.display()
        )));
    }
    let ours = base.join(OURS);
    match fs::create_dir(&ours) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::write(ours.join("cgroup.procs"), pid),
    }
}

/// Kills and removes the cgroups that dead slaves have left below `base`.
pub(crate) fn clean_up(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(folder) = File::open(entry.path()) else {
            continue;
        };
        if is_ours && folder.try_lock().is_ok() {
            let _ = fs::write(entry.path().join("cgroup.kill"), "1");
            remove(&entry.path());
        }
    }
}

/// Removes an empty cgroup; one with dying processes is empty soon.
fn remove(path: &Path) {
    let began = Instant::now();
    while let Err(error) = fs::remove_dir(path) {
        if error.kind() != io::ErrorKind::ResourceBusy || began.elapsed() > EMPTY {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The cgroup of a slave's trials, used by one trial after another; removed when dropped.
pub(crate) struct Cgroup {
    path: PathBuf,
    /// Kept open, because every trial uses them.
    procs: File,
    events: File,
    /// Missing before Linux 5.14.
    kill: Option<File>,
    bounded: bool,
    out_of_memory: u64,
    _lock: File,
}

impl Cgroup {
    /// Creates a cgroup below `base` that enforces `bounds`.
    pub(crate) fn make(base: &Path, bounds: &CgroupBounds) -> io::Result<Self> {
        loop {
            let path = base.join(format!("{PREFIX}{}", uuid::Uuid::new_v4().simple()));
            fs::create_dir(&path)?;
            let made = Self::open(&path, bounds);
            // Before the lock, a worker that cleans up may have mistaken the cgroup for a dead
            // slave's.
            if made.is_ok() || path.exists() {
                return made.inspect_err(|_| remove(&path));
            }
        }
    }

    fn open(path: &Path, bounds: &CgroupBounds) -> io::Result<Self> {
        let lock = File::open(path)?;
        lock.try_lock()?;
        bounds.write(path)?;
        let write = |name| OpenOptions::new().write(true).open(path.join(name));
        Ok(Self {
            procs: write("cgroup.procs")?,
            events: File::open(path.join("cgroup.events"))?,
            kill: write("cgroup.kill").ok(),
            path: path.to_owned(),
            bounded: !bounds.is_empty(),
            out_of_memory: 0,
            _lock: lock,
        })
    }

    /// Makes `command` start in the cgroup. If it cannot enter, it runs without limits, provided
    /// that none was asked for.
    pub(crate) fn enter(&self, command: &mut Command) -> io::Result<()> {
        let (mut procs, bounded) = (self.procs.try_clone()?, self.bounded);
        // SAFETY: write is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(move || match procs.write(b"0") {
                Err(error) if bounded => Err(error),
                _ => Ok(()),
            });
        }
        Ok(())
    }

    /// Kills the processes in the cgroup; returns their names by process id.
    pub(crate) fn kill(&mut self) -> Killed {
        let mut found = Killed::new();
        if self.is_empty() {
            return found;
        }
        let pids = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
            found.insert(pid, reap::name_of(pid).unwrap_or_default());
        }
        if let Some(kill) = &mut self.kill {
            let _ = kill.write(b"1");
        }
        found
    }

    fn is_empty(&self) -> bool {
        let mut text = [0; 64];
        let read = self.events.read_at(&mut text, 0).unwrap_or(0);
        text[..read].starts_with(b"populated 0")
    }

    /// Whether the kernel killed one of the cgroup's processes for its memory since the last call.
    pub(crate) fn ran_out_of_memory(&mut self) -> bool {
        if !self.bounded {
            return false;
        }
        let text = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        let kills = kills.and_then(|text| text.parse().ok()).unwrap_or(0);
        kills > std::mem::replace(&mut self.out_of_memory, kills)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 24 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        31 30 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        32 30 0:29 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_current_cgroup_is_found_below_its_mount() {
        let found = |groups, mounts| folder(groups, mounts).map(|path| path.display().to_string());
        assert_eq!(
            found("8:pids:/\n0::/a.slice/b\n", HYBRID).as_deref(),
            Some("/sys/fs/cgroup/unified/a.slice/b")
        );
        let bound = "32 30 0:29 /pod/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(
            found("0::/pod/x/y\n", bound).as_deref(),
            Some("/sys/fs/cgroup/y")
        );
        assert_eq!(
            found("0::/elsewhere\n", bound),
            None,
            "the cgroup is not visible"
        );
        assert_eq!(found("8:pids:/\n", HYBRID), None, "version 1 only");
    }

    #[test]
    fn limits_are_written_in_kernel_syntax() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = CgroupBounds {
            trial_memory: Some(3),
            trial_pids: Some(20),
        };
        bounds.write(folder.path()).unwrap();
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("memory.max"), "3145728");
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("pids.max"), "20");
    }
}
