//! The command line and the project file of every tool.

pub mod flags;
pub mod help;
pub mod main;
pub(crate) mod nearest;
pub(crate) mod parse;
pub(crate) mod project_file;
pub mod redis_args;
