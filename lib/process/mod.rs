//! This process and its host: exit codes, signals, standard streams, temporary folders. Knows
//! nothing of tests or Redis.

pub mod crash_point;
pub mod disk_space;
pub mod exit;
pub mod host;
pub mod regular_file;
pub mod remove_tree;
pub mod secret;
pub mod signals;
pub mod state_dir;
pub mod stderr;
pub mod stdout;
pub mod systemd;
pub mod table;
pub mod temp_dir;
pub mod text;
pub mod url;
pub mod which;
