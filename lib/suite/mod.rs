//! A submission before it is in Redis: which tasks, in which order, with which tree, signed by whom.

pub(crate) mod args;
pub mod order;
pub mod rsync;
pub mod signing;
pub(crate) mod tree_stamp;
