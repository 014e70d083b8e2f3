//! The harness of the integration tests: a real Redis, the real binaries, and ways to break both.
//!
//! ```text
//! mod harness; // in tests/NAME/main.rs: #[path = "../harness/mod.rs"] mod harness;
//! use harness::*;
//!
//! #[test]
//! fn a_failing_file_fails_the_taskset() {
//!     let (server, suite) = (Server::new(), Suite::new());
//!     let fleet = Fleet::start(&server); // an arbiter, a dispatcher, a persister
//!     let _worker = fleet.worker("w", 2, suite.path());
//!     suite.file("good.sh", "exit 0").file("bad.sh", "exit 1");
//!     let done = submit(&server, &suite, &["--max-trials", "1"]).wait(PATIENCE);
//!     assert_eq!(done.expect_code(1).receipt().failed, 1);
//! }
//!
//! #[test]
//! fn a_verdict_alone() {
//!     let server = Server::new();
//!     let taskset = raw::taskset(&server, "t", &["a"]).running(); // as PROTOCOL.txt has it
//!     let trial = taskset.finish_trial("a", "1", "passed");
//!     server.tell_arbiter(format!("trial\t{trial}"));
//!     drain(&server, "rrr-arbiter");
//!     assert_eq!(taskset.status().as_deref(), Some("succeeded"));
//! }
//! ```
//!
//! In reading order:
//!
//! - [`wait`]: wait for a condition, with a bound;
//! - [`server`]: one redis-server per test, and [`dump`]: all of its keys;
//! - [`tool`] starts an rrr binary, [`process`] is a running one (with [`handle`] to signal it and
//!   [`output`] to read it), [`process_tree`] finds all its descendants;
//! - [`fleet`]: the daemons of a whole system, a suite of spec files, a submission;
//! - [`raw`]: tasksets, trials and workers written directly, as PROTOCOL.txt defines them;
//! - [`proxy`] (with [`link`](mod@link) and [`resp`]): a man in the middle that counts commands,
//!   kills the client at the k-th one, delays, disconnects and drops replies;
//! - [`redis_mode`]: runs the same suite as the users of an ACL file, over TLS, or signed;
//! - [`commandstats`]: the server's own call counts; [`simulated_slaves`]: a thousand slaves in one
//!   process;
//! - [`invariants`]: checks of a finished taskset; [`random`]: printed, repeatable seeds;
//! - [`skip`]: reports and counts tests that cannot run on this machine.
//!
//! Every process started here dies with the test: when its value is dropped or, if the test process
//! is killed, by the kernel's parent-death signal.
#![allow(dead_code, unused_imports)]

mod fixture;
pub mod process;
pub mod proxy;
mod redis;

pub use self::fixture::fleet::{Fleet, Suite, submit, submit_tool};
pub use self::fixture::project::Project;
pub use self::fixture::simulated_slaves::{SimulatedSlaves, passed};
pub use self::fixture::skip::skipped;
pub use self::fixture::{fleet, postgres, random, simulated_slaves, skip};
pub use self::process::handle::Handle;
pub use self::process::tool::{NOBODY, Tool, bin, drain};
pub use self::process::wait::{PATIENCE, eventually};
pub use self::process::{handle, output, process_tree, tool, wait};
pub use self::proxy::link;
pub use self::redis::commandstats::Counts;
pub use self::redis::server::{Address, Server};
pub use self::redis::{commandstats, dump, invariants, raw, redis_mode, resp, server};
pub use process::{Finished, Running};
pub use proxy::{Crash, Proxy};
pub use rustix::process::Signal;
