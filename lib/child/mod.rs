//! Runs one command under supervision: starts it in its own process group, watches it against a
//! soft and a hard deadline and a wish to stop, keeps head and tail of its output, and leaves
//! nothing of it alive.

pub mod capture;
pub mod reap;
pub mod supervise;

pub use capture::Captured;
pub use supervise::{End, Exit, Leftovers, Limits, Outcome, Supervisor, Watch};
