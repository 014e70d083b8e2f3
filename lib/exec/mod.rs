//! Running one test: the child process, the adapter for its tool, the report it leaves. Knows nothing
//! of Redis.

pub mod adapter;
pub mod begun;
pub mod child;
pub mod report;
