//! The reply of a transition, with the events that it emitted.

use crate::store::script::Answer;

/// The value that a transition returned, and its events, which the role prints whatever else it
/// does with the value: they have already happened.
#[must_use = "the events have to be printed"]
pub struct Emitting<T> {
    pub value: T,
    /// Of each event, the key of its taskset and the JSON of its entry in the event stream.
    pub(crate) events: Vec<(String, String)>,
}

impl<T> Emitting<T> {
    /// `value`, with the events that `answer` has from `place` on: taskset, JSON, taskset, JSON…
    pub(crate) fn new(value: T, answer: &Answer, place: usize) -> Self {
        let places = (place..answer.len().saturating_sub(1)).step_by(2);
        let events = places
            .map(|at| (answer.text(at), answer.text(at + 1)))
            .collect();
        Self { value, events }
    }
}
