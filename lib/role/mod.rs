//! The roles: one module per tool. A role never names a Redis command: it calls the entities'
//! modules.

pub mod arbiter;
pub mod cancel;
pub mod dispatch;
pub mod fsck;
pub mod history;
pub mod keygen;
pub mod list;
pub mod local;
pub mod persist;
pub mod plugin;
mod printed;
pub mod show;
pub mod slave;
pub mod stat;
pub mod submit;
pub mod wait;
pub mod watch;
pub mod worker;

use crate::cli::flags;

/// The commands of the tools that read the project file.
pub fn project_file_readers() -> Vec<clap::Command> {
    vec![
        flags::command::<submit::Options>(),
        flags::command::<local::Options>(),
    ]
}
