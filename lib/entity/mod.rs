//! The nouns of the protocol in Redis: one module per noun, one function per atomic transition
//! (`lib/lua/*.lua`).

pub(crate) mod daemon;
pub mod emitting;
pub(crate) mod estimates;
pub(crate) mod event_stream;
pub(crate) mod foreign;
pub mod heartbeat;
pub(crate) mod queue;
pub mod reservation;
pub(crate) mod roster;
pub(crate) mod settled;
pub mod slave;
pub mod speculation;
pub mod suite_end;
pub mod taskset;
pub mod trial;
pub mod wake;
pub mod worker;
pub mod worker_log;
