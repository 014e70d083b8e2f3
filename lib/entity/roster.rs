//! The roster: which workers are idle, and how many workers each taskset has. Pure: the dispatcher
//! builds it from one reading of Redis and assigns tasksets by it; the script `taskset_assign`
//! checks each assignment again.

use crate::entity::taskset::Want;
use crate::entity::worker::Post;
use crate::protocol::key::{TasksetKey, WorkerKey};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The live workers at one moment.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// Workers that run the taskset or have it in their queue.
    engaged: HashMap<String, usize>,
    /// Idle workers by type, in the order of their names.
    idle: HashMap<Option<String>, BTreeSet<WorkerKey>>,
}

impl Roster {
    /// The roster of these living workers.
    pub(crate) fn new(posts: Vec<Post>) -> Self {
        let mut roster = Self::default();
        for post in posts {
            let busy = post.taskset.is_some() || !post.queue.is_empty();
            let has: HashSet<String> = post.queue.into_iter().chain(post.taskset).collect();
            for taskset in has {
                *roster.engaged.entry(taskset).or_default() += 1;
            }
            if !busy && !post.benched {
                roster
                    .idle
                    .entry(post.worker_type)
                    .or_default()
                    .insert(post.key);
            }
        }
        roster
    }

    /// The number of further workers that the taskset may have, and those to offer it to: at most
    /// `most`, and none of `failed`.
    pub(crate) fn candidates(
        &self,
        taskset: &TasksetKey,
        want: &Want,
        failed: &HashSet<WorkerKey>,
        most: usize,
    ) -> (usize, Vec<WorkerKey>) {
        let engaged = self.engaged.get(taskset.as_str()).copied().unwrap_or(0);
        let room = want.max_workers.saturating_sub(engaged);
        let idle = self.idle.get(&want.worker_type).into_iter().flatten();
        let free = idle.filter(|worker| room > 0 && !failed.contains(*worker));
        (room, free.take(most).cloned().collect())
    }

    /// Records that the taskset was given to a worker.
    pub(crate) fn give(&mut self, taskset: &TasksetKey, want: &Want, worker: &WorkerKey) {
        *self.engaged.entry(taskset.to_string()).or_default() += 1;
        if let Some(idle) = self.idle.get_mut(&want.worker_type) {
            idle.remove(worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(id: &str, worker_type: &str, taskset: Option<&str>, queue: &[&str]) -> Post {
        Post {
            key: WorkerKey::new(id).unwrap(),
            worker_type: Some(worker_type.to_owned()),
            taskset: taskset.map(str::to_owned),
            queue: queue.iter().map(|text| (*text).to_owned()).collect(),
            benched: id.starts_with("benched"),
        }
    }

    #[test]
    fn only_idle_workers_of_the_type_are_candidates() {
        let t = "rrrspec:taskset:t";
        let mut roster = Roster::new(vec![
            post("c", "a", None, &[]),
            post("b", "a", None, &[]),
            post("benched", "a", None, &[]),
            post("other", "b", None, &[]),
            post("busy", "a", Some(t), &[t]),
            post("given", "a", None, &[t]),
            post("elsewhere", "a", Some("rrrspec:taskset:u"), &[]),
        ]);
        let taskset: TasksetKey = t.parse().unwrap();
        let want = |max_workers| Want {
            worker_type: Some("a".to_owned()),
            max_workers,
            given: String::new(),
        };
        let ids = |roster: &Roster, most_workers, failed: &HashSet<WorkerKey>, most| {
            let (room, found) = roster.candidates(&taskset, &want(most_workers), failed, most);
            let ids: Vec<String> = found.iter().map(|key| key.id().to_owned()).collect();
            (room, ids.join(" "))
        };
        let none = HashSet::new();
        assert_eq!(ids(&roster, 2, &none, 9), (0, String::new()));
        assert_eq!(ids(&roster, 3, &none, 9), (1, "b c".to_owned()));
        assert_eq!(ids(&roster, 9, &none, 1), (7, "b".to_owned()));
        let failed = HashSet::from([WorkerKey::new("b").unwrap()]);
        assert_eq!(ids(&roster, 9, &failed, 1), (7, "c".to_owned()));
        roster.give(&taskset, &want(9), &WorkerKey::new("b").unwrap());
        assert_eq!(ids(&roster, 4, &none, 9), (1, "c".to_owned()));
    }
}
