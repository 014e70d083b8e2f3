//! The command line and the project file of every tool.

pub mod flags;
pub mod help;
pub mod main;
pub mod nearest;
pub mod parse;
pub mod project_file;
pub mod redis_args;
