//! Suites run through the real roles on a real Redis, and what the tools say to their users.

mod bad_input;
mod hands;
mod local;
mod mixed;
mod placement;
mod protocol;
mod protocol_page;
mod protocol_trace;
mod retries;
mod scale;
mod verdicts;
