//! The targets of rrr::proof on mutated seeds: a bounded form of tests/fuzz that needs no fuzzer.

use rrr::proof::TARGETS;
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Inputs for each target in the short form.
const INPUTS: u64 = 1500;
/// Maximum bytes that a target may hold at once, beside its input.
const MEMORY: usize = 64 << 20;
/// A time after which an input counts as endless, far above that of any real one.
const ENDLESS: Duration = Duration::from_secs(60);

/// Counts the bytes that each thread holds.
struct Counted;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator; the counters do not allocate.
unsafe impl std::alloc::GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        let held = HELD.get().saturating_add(layout.size());
        HELD.set(held);
        PEAK.set(PEAK.get().max(held));
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        unsafe { std::alloc::System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// Words that parsers give a meaning to.
const WORDS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\t",
    b"\0",
    b"\x1b[",
    b"\xff",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"\"",
    b"'",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"<",
    b">",
    b"&",
    b"]]>",
    b"<![CDATA[",
    b"<!DOCTYPE a [<!ENTITY b 'cccccc'>]>",
    b"&b;",
    b"<?xml version='1.0' encoding='ISO-8859-1'?>",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"0.0000001",
    b"1,5",
    b"null",
    b"true",
    b"1..3",
    b"ok ",
    b"not ok ",
    b"# TODO",
    b"# SKIP",
    b"Bail out!",
    b"    ",
    b":trial:",
    b":task:",
    b"rrrspec:",
    b"%",
    b"::error ",
    b"`",
    b"|",
    b"../",
    b"/",
    b"--",
    b"=",
    b"#",
];

/// Changes the input a little, as libFuzzer does.
fn mutated(seed: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..20)).min(bytes.len());
        match random.u8(..9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 | 4 => {
                let word = random.choice(WORDS).expect("words");
                bytes.splice(at..at, word.iter().copied());
            }
            5 => {
                // Deep nesting, long lines, many attributes.
                let part = bytes[at..end].repeat(random.usize(1..300));
                bytes.splice(at..at, part);
            }
            6 if !other.is_empty() => {
                let from = random.usize(..other.len());
                let to = (from + random.usize(..40)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            7 => bytes
                .splice(at..end, (0..4).map(|_| random.u8(..)))
                .for_each(drop),
            _ => {
                let part = bytes[at..end].to_vec();
                bytes.extend(part);
            }
        }
        bytes.truncate(1 << 16);
    }
    bytes
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a seed"))
        .collect()
}

/// Runs a target on one input; panics with the input if a property does not hold.
fn check(name: &str, target: rrr::proof::Target, bytes: &[u8]) {
    let held = HELD.get();
    PEAK.set(held);
    let began = Instant::now();
    let failed = std::panic::catch_unwind(|| target(bytes)).is_err();
    let peak = PEAK.get().saturating_sub(held);
    let shown = || bytes.escape_ascii().to_string();
    assert!(
        !failed,
        "{name}: a property does not hold for b\"{}\"",
        shown()
    );
    assert!(peak <= MEMORY, "{name}: {peak} bytes for b\"{}\"", shown());
    assert!(
        began.elapsed() < ENDLESS,
        "{name}: endless for b\"{}\"",
        shown()
    );
}

/// Runs the target on its seeds and on mutations of them; returns the number of executions.
fn run(name: &str, target: rrr::proof::Target, seed: u64, more: impl Fn(u64) -> bool) -> u64 {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has seeds");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut executions = 0;
    for bytes in &corpus {
        check(name, target, bytes);
        executions += 1;
    }
    // Inputs that came through are mutated again, so that changes add up.
    let mut kept = corpus.clone();
    while more(executions) {
        let seed = random.choice(&kept).expect("seeds").clone();
        let other = random.choice(&corpus).expect("seeds");
        let bytes = mutated(&seed, other, &mut random);
        check(name, target, &bytes);
        executions += 1;
        if bytes.len() < 4096 && random.u8(..4) == 0 {
            match kept.len() {
                0..200 => kept.push(bytes),
                many => {
                    let place = random.usize(corpus.len()..many);
                    kept[place] = bytes;
                }
            }
        }
    }
    executions
}

#[test]
fn the_properties_hold_for_mutated_seeds() {
    let setting = |name: &str| std::env::var(name).ok()?.parse().ok();
    let seed = setting("RRR_PROVE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("seed {seed}");
    for (name, target) in TARGETS {
        run(name, *target, seed, |done| done < INPUTS);
    }
}

/// Enough executions of a cheap target: the time left goes to the expensive ones, which come last.
const ENOUGH: u64 = 10_000_000;

/// Executions that an expensive target reaches by taking up to five times its share, or a sixth of
/// all the time, even if none is left.
const FEWEST: u64 = 1_000_000;

/// Executions of each target within about this time, for the long form.
pub fn long_form(time: Duration) -> serde_json::Map<String, serde_json::Value> {
    let end = Instant::now() + time;
    let targets = TARGETS.iter().enumerate();
    let run = |(place, (name, target)): (usize, &(&str, rrr::proof::Target))| {
        let left = end.saturating_duration_since(Instant::now());
        let (began, share) = (Instant::now(), left / (TARGETS.len() - place) as u32);
        let most = (share * 5).max(time / 6);
        let executions = run(name, *target, fastrand::u64(..), |done| {
            let took = began.elapsed();
            let is_due = done < ENOUGH && took < share;
            done % 256 != 0 || is_due || (done < FEWEST && took < most)
        });
        ((*name).to_owned(), executions.into())
    };
    targets.map(run).collect()
}
