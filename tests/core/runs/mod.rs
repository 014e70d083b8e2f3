//! Suites run by the real roles on a real Redis, and the messages of the tools.

mod bad_input;
mod hands;
mod local;
mod local_history;
mod mixed;
mod mixed_views;
mod named_worker;
mod no_redis;
mod placement;
mod policy;
mod protocol;
mod protocol_page;
mod protocol_trace;
mod retries;
mod scale;
mod verdicts;
