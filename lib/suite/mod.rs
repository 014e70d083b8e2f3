//! A submission before it is in Redis: its tasks, their order, its tree and its signature.

pub(crate) mod args;
mod detection;
pub(crate) mod names;
pub mod order;
pub(crate) mod policy_args;
pub mod rsync;
pub mod signing;
pub(crate) mod tasks;
pub(crate) mod tree_stamp;
