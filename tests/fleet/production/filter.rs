//! The system call filters of a unit, applied to a process without systemd: the same lists (from
//! `systemd-analyze syscall-filter`) and the same rules for arguments.
//!
//! One difference, so that no violation is missed: where the unit makes a forbidden call fail with
//! EPERM, the process is killed here (SIGSYS). Errors that programs are expected to handle are the
//! same as systemd's: those of an address family and of clone3.

use rustix::io::Errno;
use rustix::mm::ProtFlags;
use rustix::net::AddressFamily;
use rustix::thread::UnshareFlags;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{MaskedEq, Ne};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use syscalls::Sysno;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters of a unit, in the order in which to apply them.
#[derive(Clone)]
pub struct Filters(Vec<BpfProgram>);

impl Filters {
    /// The filters in the text of a unit, with its drop-ins appended.
    pub fn of(unit: &str) -> Self {
        let mut all = Vec::new();
        let families = words(unit, "RestrictAddressFamilies");
        if !families.is_empty() {
            let refused = SeccompAction::Errno(Errno::AFNOSUPPORT.raw_os_error() as u32);
            all.push(forbid(other_families(&families), refused));
        }
        if words(unit, "RestrictNamespaces") == ["yes"] {
            // Its flags are in memory, which filters cannot read: libraries then fall back to
            // clone.
            let absent = SeccompAction::Errno(Errno::NOSYS.raw_os_error() as u32);
            all.push(forbid(always(Sysno::clone3), absent));
            all.push(forbid(namespaces(), SeccompAction::KillProcess));
        }
        if words(unit, "MemoryDenyWriteExecute") == ["yes"] {
            all.push(forbid(new_code(), SeccompAction::KillProcess));
        }
        // Last: it forbids applying another filter.
        let calls = allowed(unit);
        let known = calls.iter().filter_map(|name| name.parse::<Sysno>().ok());
        let rules: Rules = known.flat_map(always).collect();
        // Names of calls that this machine lacks are skipped, as systemd does.
        assert!(rules.len() > 200, "{calls:?}");
        all.push(program(
            rules,
            SeccompAction::KillProcess,
            SeccompAction::Allow,
        ));
        Self(all)
    }

    /// Applies the filters permanently; must be called between fork and exec.
    pub fn enter(&self) -> std::io::Result<()> {
        for filter in &self.0 {
            apply_filter(filter).map_err(|_| Errno::INVAL)?;
        }
        Ok(())
    }
}

/// The words of all settings called `name`; an empty one resets the list.
fn words<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let mut words = Vec::new();
    for line in unit.lines() {
        match line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            Some("") => words.clear(),
            Some(value) => words.extend(value.split_whitespace()),
            None => {}
        }
    }
    words
}

/// The names of the system calls that the unit allows.
fn allowed(unit: &str) -> BTreeSet<String> {
    // Calls that every program needs are in every allow list.
    let mut allowed = group("@default");
    let lists = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let lists: Vec<&str> = lists.collect();
    let first = lists.first().expect("an allow list of the unit");
    assert!(!first.starts_with('~'), "{first}");
    for list in lists {
        let calls = |names: &str| names.split_whitespace().flat_map(group).collect::<Vec<_>>();
        match list.strip_prefix('~') {
            Some(names) => calls(names).iter().for_each(|call| {
                allowed.remove(call);
            }),
            None => allowed.extend(calls(list)),
        }
    }
    allowed
}

/// The calls of a group, which may contain groups; a call is a group of one.
fn group(name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return BTreeSet::from([name.to_owned()]);
    }
    let mut command = Command::new("systemd-analyze");
    let output = command
        .args(["syscall-filter", "--no-pager", name])
        .output();
    let output = output.expect("systemd-analyze, of the package systemd");
    assert!(output.status.success(), "{name}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // The first line is the name of the group.
    let members = text.lines().skip(1).map(str::trim);
    let members = members.filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.flat_map(group).collect()
}

fn program(rules: Rules, otherwise: SeccompAction, matching: SeccompAction) -> BpfProgram {
    let machine = std::env::consts::ARCH
        .try_into()
        .expect("a machine that it knows");
    let filter = SeccompFilter::new(rules, otherwise, matching, machine).expect("a filter");
    filter.try_into().expect("a program")
}

fn forbid(rules: Rules, how: SeccompAction) -> BpfProgram {
    program(rules, SeccompAction::Allow, how)
}

/// A call with any arguments.
fn always(call: Sysno) -> Rules {
    Rules::from([(i64::from(call.id()), Vec::new())])
}

fn condition(argument: u8, how: seccompiler::SeccompCmpOp, value: u32) -> SeccompCondition {
    SeccompCondition::new(argument, Dword, how, value.into()).expect("a condition")
}

/// A call whose argument has all of `bits`.
fn with(call: Sysno, argument: u8, bits: u32) -> (i64, SeccompRule) {
    let rule = SeccompRule::new(vec![condition(argument, MaskedEq(bits.into()), bits)]);
    (i64::from(call.id()), rule.expect("a rule"))
}

fn rules(all: impl IntoIterator<Item = (i64, SeccompRule)>) -> Rules {
    let mut rules = Rules::new();
    for (call, rule) in all {
        rules.entry(call).or_default().push(rule);
    }
    rules
}

/// A socket of any other family.
fn other_families(names: &[&str]) -> Rules {
    let none = names.iter().map(|name| {
        let family = match *name {
            "AF_UNIX" => AddressFamily::UNIX,
            "AF_INET" => AddressFamily::INET,
            "AF_INET6" => AddressFamily::INET6,
            other => panic!("RestrictAddressFamilies={other}: add it here"),
        };
        condition(0, Ne, u32::from(family.as_raw()))
    });
    let rule = SeccompRule::new(none.collect()).expect("a rule");
    rules([(i64::from(Sysno::socket.id()), rule)])
}

/// Creating a namespace of any kind, or joining one.
fn namespaces() -> Rules {
    let kinds = [
        UnshareFlags::NEWCGROUP,
        UnshareFlags::NEWIPC,
        UnshareFlags::NEWNET,
        UnshareFlags::NEWNS,
        UnshareFlags::NEWPID,
        UnshareFlags::NEWTIME,
        UnshareFlags::NEWUSER,
        UnshareFlags::NEWUTS,
    ];
    let mut forbidden = always(Sysno::setns);
    // clone does not accept the flag of a time namespace.
    let by_clone = kinds.iter().filter(|kind| **kind != UnshareFlags::NEWTIME);
    forbidden.extend(rules(
        by_clone.map(|kind| with(Sysno::clone, 0, kind.bits())),
    ));
    forbidden.extend(rules(
        kinds.map(|kind| with(Sysno::unshare, 0, kind.bits())),
    ));
    forbidden
}

/// Memory that is writable and executable, at once or successively.
fn new_code() -> Rules {
    let (write, execute) = (ProtFlags::WRITE.bits(), ProtFlags::EXEC.bits());
    /// SHM_EXEC of <sys/shm.h>.
    const SHM_EXEC: u32 = 0o100_000;
    rules([
        with(Sysno::mmap, 2, write | execute),
        with(Sysno::mprotect, 2, execute),
        with(Sysno::pkey_mprotect, 2, execute),
        with(Sysno::shmat, 2, SHM_EXEC),
    ])
}
