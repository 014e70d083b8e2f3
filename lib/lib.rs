//! rrr: a fault-tolerant distributed test runner made of small Unix tools over Redis.
//!
//! ```text
//! rrr-submit ──task_queue──▶ rrr-slave ──trial──▶ arbiter_queue ──▶ rrr-arbiter
//!     │                          ▲ spawn                                │
//!     └─active_taskset,          │                                      ├─▶ events
//!       dispatcher_queue ─▶ rrr-dispatch ─worker_queue─▶ rrr-worker     └─▶ persister_queue ─▶ rrr-persist
//! ```
//!
//! In reading order: [`key`] names everything in Redis, [`store`] talks to it, the modules named
//! after the protocol's nouns wrap one atomic transition each (`lib/lua/*.lua`), [`child`] runs a
//! process, [`adapter`] makes a trial of it, and [`role`] is what each tool does. Codes such as (Q1) name
//! faults and invariants: `tests/faults/README.md` explains them.

pub mod adapter;
pub mod begun;
pub mod child;
pub mod cli;
pub mod config;
pub mod crash;
pub mod db;
pub mod disk;
pub mod estimate;
pub mod event;
pub mod example;
pub mod exit;
pub mod flags;
pub mod folder;
pub mod follow;
pub mod format;
pub mod fsck;
pub mod heartbeat;
pub mod help;
pub mod history;
pub mod key;
pub mod log_store;
pub mod name;
pub mod notify;
pub mod out;
pub mod pages;
pub mod plain;
pub mod presence;
pub mod queue;
pub mod record;
pub mod regular;
pub mod remove;
pub mod report;
pub mod role;
pub mod roster;
pub mod rsync;
pub mod say;
pub mod schedule;
pub mod secret;
pub mod slave;
pub mod source;
pub mod stamp;
pub mod stat;
pub mod state;
pub mod stop;
pub mod store;
pub mod suite_end;
pub mod task;
pub mod taskset;
pub mod time;
pub mod trial;
pub mod trust;
pub mod url;
pub mod view;
pub mod worker;
pub mod worker_log;
