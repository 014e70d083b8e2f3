//! rrr: a fault-tolerant distributed test runner made of small Unix tools over Redis.
//!
//! ```text
//! rrr-submit ──task_queue──▶ rrr-slave ──trial──▶ arbiter_queue ──▶ rrr-arbiter
//!     │                          ▲ spawn                                │
//!     └─active_taskset,          │                                      ├─▶ events
//!       dispatcher_queue ─▶ rrr-dispatch ─worker_queue─▶ rrr-worker     └─▶ persister_queue ─▶ rrr-persist
//! ```
//!
//! Each folder imports only folders above it in this list (`tests/tidy` keeps that). Codes such as (Q1)
//! name faults and invariants: `tests/core/faults/README.md` explains them.

/// This process and its host: exit codes, signals, standard streams, temporary folders.
pub mod process;

/// The protocol in types: keys, statuses, messages, events, requests and results. No I/O.
pub mod protocol;

/// The connection to Redis, and Lua scripts as atomic calls (`lib/lua/*.lua`).
pub mod store;

/// Knowledge of cargo, nextest, RSpec and pytest: how to list their tests.
pub mod tool;

/// The nouns of the protocol in Redis: one module per noun, one function per atomic transition.
pub mod entity;

/// Running one test: the child process, the adapter for its tool, the report it leaves.
pub mod exec;

/// Persistent records: the database, the documents in the log folder, the estimates learned.
pub mod archive;

/// A submission before it is in Redis: tasks, order, tree, signature.
pub mod suite;

/// Showing a taskset: following it while it runs, exporting its record.
pub mod show;

/// Looking at an installation from outside: rrr-fsck's invariants, rrr-stat's figures.
pub mod inspect;

/// The command line and the project file of every tool.
pub mod cli;

/// The tools: one file or folder each, whose `run` is the tool's story.
pub mod role;

/// The manual pages, from the flags and their prose.
pub mod manual;

#[doc(hidden)]
/// The parsers, escapes and writers as functions of bytes, for fuzzing (tests/proof, tests/fuzz).
pub mod proof;
