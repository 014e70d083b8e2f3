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

pub mod archive;
pub mod cli;
pub mod entity;
pub mod exec;
pub mod inspect;
pub mod manual;
pub mod process;
pub mod protocol;
pub mod role;
pub mod show;
pub mod store;
pub mod suite;
pub mod tool;
