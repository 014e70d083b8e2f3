//! The protocol in types: keys, statuses, messages, events, requests and results. Pure: no module
//! here reads or writes anything.

pub(crate) mod event;
pub(crate) mod example;
pub mod job;
pub mod key;
pub(crate) mod limits;
pub(crate) mod message;
pub mod name;
pub mod policy;
pub mod request;
pub mod result;
pub mod status;
pub(crate) mod task;
pub mod taskset_field;
pub(crate) mod taskset_ref;
pub mod time;
