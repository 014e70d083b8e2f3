//! What the integration tests stand on: a real Redis, the real binaries, and ways to hurt both.
//!
//! Each test file says `mod harness;`. In reading order:
//!
//! - [`wait`]: wait for a condition, with a bound;
//! - [`server`]: a redis-server of the test's own, and [`dump`]: all of its keys;
//! - [`tool`] starts one of our binaries, [`process`] is it running (with [`handle`] to signal it and
//!   [`output`] to read it), [`family`] all it started;
//! - [`fleet`]: the daemons of a whole system, a suite of spec files, a submission;
//! - [`hand`]: tasksets, trials and workers written by PROTOCOL.txt alone;
//! - [`proxy`] (with [`link`](mod@link) and [`resp`]): a man in the middle that counts commands,
//!   kills at the k-th one, delays, cuts and swallows;
//! - [`commandstats`]: what the server itself counted.
//!
//! Every process started here dies with the test: when its value is dropped, and, should the test
//! process be killed, by the kernel's parent death signal.
#![allow(dead_code, unused_imports)]

pub mod commandstats;
pub mod dump;
pub mod family;
pub mod fleet;
pub mod hand;
pub mod handle;
pub mod link;
pub mod output;
pub mod process;
pub mod proxy;
pub mod resp;
pub mod server;
pub mod tool;
pub mod wait;

pub use commandstats::Counts;
pub use fleet::{Fleet, Suite, submit, submit_tool};
pub use handle::{Handle, Victim};
pub use process::{Finished, Running};
pub use proxy::{Action, Proxy};
pub use rustix::process::Signal;
pub use server::{Address, Server};
pub use tool::{Tool, bin};
pub use wait::{PATIENCE, eventually};
