//! Test runners driven by real roles: their reports, and tests that damage their runner.

#[path = "../harness/mod.rs"]
mod harness;

mod abuse;
mod as_cargo;
mod cargo;
mod detection;
mod ends;
mod go;
mod leaks;
mod outputs;
mod pasted;
mod projects;
mod pytest;
mod pytest_leaks;
mod pytest_sums;
mod reports;
mod rspec;
mod serve;
mod setup;
mod split;
