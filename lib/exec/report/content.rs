//! The content of a report: exact counts, and as many of its examples as are worth keeping.
//!
//! Readers fill it within bounds: a report of any size needs only a few megabytes.

use crate::protocol::example::{self, Example, Status};
use crate::protocol::status::TrialStatus;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes of examples that are kept: of those that passed or are pending, and of the others. Both
/// are more than a record has room for.
const ROOM: [usize; 2] = [2 << 20, 4 << 20];
/// Errors outside of examples that are kept.
const OUTSIDE: usize = 50;

/// The content of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub examples: Vec<Example>,
    /// Errors outside of examples: a file that does not load, a hook that fails.
    pub outside: Vec<String>,
    /// Why the report cannot be trusted, if it cannot. The content read before that point is kept.
    pub broken: Option<String>,
    /// Examples that are counted but not kept.
    pub cut: u64,
    counts: [u64; 4],
    room: [usize; 2],
    /// Places in `examples` whose example was taken back.
    taken_back: Vec<u32>,
}

/// The place of an example and its outcome: enough to take it back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Location {
    index: u32,
    pub status: Status,
}

/// The place of an example that is counted but not kept.
const NOWHERE: u32 = u32::MAX;

impl Default for Report {
    fn default() -> Self {
        Self {
            examples: Vec::new(),
            outside: Vec::new(),
            broken: None,
            cut: 0,
            counts: [0; 4],
            room: ROOM,
            taken_back: Vec::new(),
        }
    }
}

impl Report {
    /// A report of which nothing is usable.
    pub(crate) fn broken(why: impl Into<String>) -> Self {
        Self {
            broken: Some(why.into()),
            ..Self::default()
        }
    }

    /// Adds an example.
    pub(crate) fn push(&mut self, mut example: Example) -> Location {
        let status = example.status;
        self.counts[status as usize] += 1;
        let size = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        example.shorten(example::MESSAGE);
        let size = size_of::<Example>()
            + example.id.len()
            + example.name.len()
            + size(&example.file)
            + size(&example.message);
        let room = &mut self.room[usize::from(status >= Status::Failed)];
        let index = match room.checked_sub(size) {
            Some(left) => {
                *room = left;
                self.examples.push(example);
                self.examples.len() as u32 - 1
            }
            None => {
                self.cut += 1;
                NOWHERE
            }
        };
        Location { index, status }
    }

    /// Counts examples of which nothing else is known.
    pub(crate) fn count_more(&mut self, status: Status, number: u64) {
        self.counts[status as usize] += number;
        self.cut += number;
    }

    /// Adds the example of a later attempt, which replaces that of the previous attempt.
    pub(crate) fn push_again(&mut self, earlier: Location, example: Example) -> Location {
        let later = self.push(example);
        self.replace(earlier, later);
        later
    }

    /// Replaces the example of an earlier attempt with that of a later one.
    pub(crate) fn replace(&mut self, earlier: Location, later: Location) {
        let why = self.take_back(earlier);
        if later.status == Status::Passed
            && let Some(example) = self.examples.get_mut(later.index as usize)
        {
            example.flaky = true;
            example.message = example.message.take().or(why);
        }
    }

    /// Uncounts an example and returns its message.
    pub(crate) fn take_back(&mut self, place: Location) -> Option<String> {
        let count = &mut self.counts[place.status as usize];
        *count = count.saturating_sub(1);
        match self.examples.get_mut(place.index as usize) {
            Some(example) => {
                self.taken_back.push(place.index);
                example.message.take()
            }
            None => {
                self.cut = self.cut.saturating_sub(1);
                None
            }
        }
    }

    /// The example at a place, if it is kept.
    pub(crate) fn get(&mut self, place: Location) -> Option<&mut Example> {
        self.examples.get_mut(place.index as usize)
    }

    /// Appends to the message of a kept example, up to the maximum length.
    pub(crate) fn say(&mut self, place: Location, text: &str) {
        let room = &mut self.room[1];
        let Some(example) = self.examples.get_mut(place.index as usize) else {
            return;
        };
        let message = example.message.get_or_insert_default();
        if message.len() <= example::MESSAGE && *room >= text.len() {
            *room -= text.len();
            message.push_str(clip(text, 2 * example::MESSAGE));
        }
    }

    /// Adds an error outside of examples.
    pub(crate) fn push_outside(&mut self, why: impl Into<String>) {
        let mut why = why.into();
        example::shorten(&mut why, example::MESSAGE);
        match self.outside.len() {
            0..OUTSIDE => self.outside.push(why),
            OUTSIDE => self.outside.push("there are more errors".into()),
            _ => {}
        }
    }

    /// Removes the examples that were taken back, once no more are added.
    pub(crate) fn settle(&mut self) {
        self.taken_back.sort_unstable();
        let (mut index, mut taken) = (0, self.taken_back.iter().peekable());
        self.examples.retain(|_| {
            let kept = taken.next_if_eq(&&index).is_none();
            while taken.next_if_eq(&&index).is_some() {}
            index += 1;
            kept
        });
        self.taken_back = Vec::new();
    }

    /// Counts flaky examples as failed when their command failed and nothing else in the report
    /// did. Returns whether there are any.
    pub(crate) fn fail_flaky(&mut self) -> bool {
        let mut any = false;
        for example in self.examples.iter_mut().filter(|example| example.flaky) {
            self.counts[example.status as usize] -= 1;
            self.counts[Status::Failed as usize] += 1;
            (example.status, example.flaky) = (Status::Failed, false);
            any = true;
        }
        any
    }

    /// The number of examples with this status.
    pub(crate) fn count(&self, status: Status) -> u64 {
        self.counts[status as usize]
    }

    /// The number of examples.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of examples that failed or had an error.
    pub(crate) fn bad(&self) -> u64 {
        self.count(Status::Failed) + self.count(Status::Error)
    }

    /// The verdict of the report; none when it has no example.
    pub(crate) fn verdict(&self) -> Option<TrialStatus> {
        if self.broken.is_some() || !self.outside.is_empty() {
            Some(TrialStatus::Error)
        } else if self.bad() > 0 {
            Some(TrialStatus::Failed)
        } else if self.count(Status::Passed) > 0 {
            Some(TrialStatus::Passed)
        } else if self.count(Status::Pending) > 0 {
            Some(TrialStatus::Pending)
        } else {
            None
        }
    }
}

/// The start of a text, at most `most` bytes long.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// More names than any report of 32 MiB contains, and few enough to fit into memory.
const NAMES: usize = 400_000;

/// The examples by name, to recognise later attempts of the same test.
#[derive(Default)]
pub(crate) struct Names(HashMap<u64, Location>);

impl Names {
    /// The place of the example with this name.
    pub(crate) fn get(&self, name: impl Hash) -> Option<Location> {
        self.0.get(&hash(name)).copied()
    }

    /// Records the place of a name; fails when there are too many names.
    pub(crate) fn set(&mut self, name: impl Hash, place: Location) -> Result<(), String> {
        if self.0.len() >= NAMES {
            return Err(format!("more than {NAMES} tests"));
        }
        self.0.insert(hash(name), place);
        Ok(())
    }
}

/// A hash replaces the name: the names themselves take too much memory.
fn hash(name: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_and_examples_bounded() {
        let mut report = Report::default();
        for n in 0..200_000 {
            report.push(Example::new(format!("passes {n}"), Status::Passed));
        }
        let mut bad = Example::new("fails", Status::Failed);
        bad.message = Some("x".repeat(1 << 20));
        report.push(bad);
        report.settle();
        assert_eq!(report.count(Status::Passed), 200_000);
        assert_eq!(report.examples.len() as u64 + report.cut, 200_001);
        assert!(report.examples.len() < 20_000);
        let bad = report.examples.last().unwrap();
        assert_eq!(bad.name, "fails");
        assert!(bad.message.as_ref().unwrap().len() < 5000);
        for n in 0..1000 {
            report.push_outside(format!("error {n}"));
        }
        assert!(report.outside.len() <= OUTSIDE + 1);
    }

    #[test]
    fn a_later_attempt_replaces_an_earlier_one() {
        let mut report = Report::default();
        let mut first = Example::new("a", Status::Failed);
        first.message = Some("no".into());
        let first = report.push(first);
        report.push(Example::new("b", Status::Passed));
        let second = report.push_again(first, Example::new("a", Status::Failed));
        report.push_again(second, Example::new("a", Status::Passed));
        report.settle();
        let left: Vec<_> = report
            .examples
            .iter()
            .map(|e| (&*e.name, e.flaky))
            .collect();
        assert_eq!(left, [("b", false), ("a", true)]);
        assert_eq!((report.count(Status::Passed), report.bad()), (2, 0));
        assert!(report.fail_flaky());
        assert_eq!((report.count(Status::Passed), report.bad()), (1, 1));
    }
}
