//! This process and its host: exit codes, signals, standard streams, temporary folders. Knows
//! nothing of tests or Redis.

pub(crate) mod crash_point;
pub(crate) mod disk_space;
pub mod exit;
pub(crate) mod host;
pub(crate) mod regular_file;
pub(crate) mod remove_tree;
pub(crate) mod secret;
pub(crate) mod signals;
pub(crate) mod state_dir;
pub(crate) mod stderr;
pub(crate) mod stdout;
pub(crate) mod systemd;
pub(crate) mod table;
pub(crate) mod temp_dir;
pub(crate) mod text;
pub(crate) mod url;
pub(crate) mod which;
