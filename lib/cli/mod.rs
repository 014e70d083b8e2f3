//! The command line and the project file of every tool.

mod effective;
pub mod flags;
pub mod help;
pub mod main;
pub(crate) mod nearest;
pub(crate) mod parse;
pub(crate) mod project_file;
mod project_profile;
mod project_search;
pub mod redis_args;
mod refusal;
