//! The nouns of the protocol in Redis: one module per noun, one function per atomic transition
//! (`lib/lua/*.lua`).

pub mod daemon;
pub mod estimates;
pub mod event_stream;
pub mod heartbeat;
pub mod queue;
pub mod reservation;
pub mod roster;
pub mod slave;
pub mod speculation;
pub mod suite_end;
pub mod taskset;
pub mod trial;
pub mod wake;
pub mod worker;
pub mod worker_log;
