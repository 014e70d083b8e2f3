//! One of the targets of rrr::proof, named by the variable RRR_FUZZ_TARGET.

#![no_main]

use rrr::proof::{TARGETS, Target};
use std::sync::LazyLock;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("RRR_FUZZ_TARGET").expect("RRR_FUZZ_TARGET names a target");
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("no target '{name}'")).1
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
