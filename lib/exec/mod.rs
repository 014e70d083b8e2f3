//! Running one test: the child process, the adapter for its tool, the report it leaves. Knows nothing
//! of Redis.

pub(crate) mod adapter;
pub(crate) mod begun;
pub mod child;
pub(crate) mod report;
