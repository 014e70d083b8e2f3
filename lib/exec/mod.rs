//! Running one test: the child process, the adapter for its tool, and its report. Independent of
//! Redis.

pub(crate) mod adapter;
pub(crate) mod begun;
pub mod child;
pub(crate) mod report;
