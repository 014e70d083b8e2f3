//! What went wrong in the original, one fault a test: each is named by the fault's id and the
//! promise that it must not break.

mod double_counts;
mod drain;
mod false_green;
mod leaks;
mod lost_messages;
mod planted;
mod sick_workers;
mod stuck;
mod submissions;
mod suite_ends;
mod survivors;
