//! The protocol in types: keys, statuses, messages, events, requests and results. Pure: no module
//! here reads or writes anything.

pub mod event;
pub mod example;
pub mod job;
pub mod key;
pub mod limits;
pub mod message;
pub mod name;
pub mod request;
pub mod result;
pub mod status;
pub mod task;
pub mod time;
