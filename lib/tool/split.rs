//! Splits slow files: the example groups of a file become separate tasks, where its tool can list
//! them. RSpec takes a list of ids (`a_spec.rb[1:1,1:2]`), pytest a node id (`test_a.py::TestA`).

use crate::protocol::name;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

/// A task to submit: its spec file, and its estimate in seconds if one is known.
pub(crate) type Task = (String, Option<u64>);

/// The estimate above which a file is split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Above {
    Seconds(f64),
    /// A share of the sum of all estimates.
    Share(f64),
}

impl FromStr for Above {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%');
        let number: f64 = percent
            .unwrap_or(text)
            .parse()
            .map_err(|_| "neither seconds nor a percentage".to_owned())?;
        if !number.is_finite() || number <= 0.0 {
            return Err("it must be more than 0".into());
        }
        Ok(match percent {
            Some(_) => Self::Share(number / 100.0),
            None => Self::Seconds(number),
        })
    }
}

impl Above {
    /// The estimate in seconds above which a file is split.
    fn limit(self, tasks: &[Task]) -> f64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Share(share) => {
                share * tasks.iter().filter_map(|(_, sec)| *sec).sum::<u64>() as f64
            }
        }
    }
}

/// Splits those of `tasks` (with their estimates) that take longer than `above`; `known` are the
/// estimates of groups that ran as tasks before. Also returns the reason for each slow file that is
/// not split.
///
/// A group without an estimate gets that of its file: it does not take longer, so its timeout is
/// not too short, and it starts among the first.
pub(crate) fn split(
    tasks: Vec<Task>,
    above: Above,
    known: &HashMap<String, u64>,
    list: impl Fn(&str) -> Result<Outline, String>,
) -> (Vec<Task>, Vec<String>) {
    let limit = above.limit(&tasks);
    let (mut all, mut notes) = (Vec::new(), Vec::new());
    if tasks.iter().all(|(_, estimate)| estimate.is_none()) {
        notes.push("no file is split because none has an estimate: estimates come from earlier runs that rrr-persist has saved, or from --files-from".to_owned());
    }
    for (file, estimate) in tasks {
        let seconds = estimate.unwrap_or(0);
        if seconds as f64 <= limit {
            all.push((file, estimate));
            continue;
        }
        let parts = (seconds as f64 / limit).ceil() as usize;
        let pieces = list(&file).and_then(|outline| outline.pieces(&file, parts));
        match pieces {
            Ok(pieces) => {
                let of = |piece: &String| known.get(piece.as_str()).copied();
                let sum: Option<u64> = pieces.iter().map(of).sum();
                if sum.is_some_and(|sum| sum as f64 <= limit) {
                    // The file has become faster: when it runs as a whole, its estimate is updated.
                    all.push((file, sum));
                } else {
                    all.extend(pieces.into_iter().map(|piece| {
                        let own = of(&piece);
                        (piece, own.or(estimate))
                    }));
                }
            }
            Err(why) => {
                notes.push(format!("'{file}' is submitted whole: {why}"));
                all.push((file, estimate));
            }
        }
    }
    // A part may have been named beside its file.
    let mut seen = HashSet::new();
    all.retain(|(task, _)| seen.insert(task.clone()));
    (all, notes)
}

/// The examples of a file, in order, each by the groups that contain it.
#[derive(Debug, PartialEq)]
pub(crate) enum Outline {
    /// By numbers, as in `[1:2:1]`; and the groups of which a filter excludes some examples:
    /// selected by their ids, these would run too.
    Rspec(Vec<Vec<String>>, HashSet<Vec<String>>),
    /// By names, as in `::TestA::test_b`.
    Pytest(Vec<Vec<String>>),
}

/// A group, and the number of its examples.
type Group = (Vec<String>, usize);

impl Outline {
    /// Names of about `parts` tasks that together cover the file.
    fn pieces(&self, file: &str, parts: usize) -> Result<Vec<String>, String> {
        let pieces = match self {
            Self::Rspec(examples, partial) => {
                let most = examples.len().div_ceil(parts.max(2));
                let groups = cut(&slices(examples), partial, 0, most);
                lists(file, &groups, most)
            }
            Self::Pytest(examples) => {
                let most = examples.len().div_ceil(parts.max(2));
                let groups = cut(&slices(examples), &HashSet::new(), 0, most).into_iter();
                groups
                    .map(|(group, _)| format!("{file}::{}", group.join("::")))
                    .collect()
            }
        };
        if pieces.len() < 2 {
            return Err("it has at most one example".into());
        }
        match pieces.iter().find_map(|piece| name::spec_file_error(piece)) {
            Some(wrong) => Err(format!("a part's name is not valid for a task: {wrong}")),
            None => Ok(pieces),
        }
    }
}

/// The largest groups of at most `most` examples that are not `partial`; a single example, where
/// nothing larger is possible. A group whose examples are not listed together still counts as one
/// group: pytest orders tests by their parametrized fixtures, and plugins reorder them freely.
fn cut(
    examples: &[&[String]],
    partial: &HashSet<Vec<String>>,
    depth: usize,
    most: usize,
) -> Vec<Group> {
    let mut groups = Vec::new();
    for same in gather(examples, depth) {
        let group = &same[0][..=depth];
        let deeper = same.iter().all(|path| path.len() > depth + 1);
        if deeper && (same.len() > most || partial.contains(group)) {
            groups.extend(cut(&same, partial, depth + 1, most));
        } else {
            groups.push((group.to_vec(), same.len()));
        }
    }
    groups
}

fn slices(examples: &[Vec<String>]) -> Vec<&[String]> {
    examples.iter().map(Vec::as_slice).collect()
}

/// The examples by their group at `depth`, groups in the order of their first example.
fn gather<'a>(examples: &[&'a [String]], depth: usize) -> Vec<Vec<&'a [String]>> {
    let mut groups: Vec<Vec<&[String]>> = Vec::new();
    let mut places: HashMap<&[String], usize> = HashMap::new();
    for path in examples {
        let place = *places.entry(&path[..=depth]).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(path),
            None => groups.push(vec![path]),
        }
    }
    groups
}

/// Maximum length of a list of ids, in bytes.
const LIST: usize = 900;

/// Joins neighbours up to `most` examples: a file is loaded once per task.
fn lists(file: &str, groups: &[Group], most: usize) -> Vec<String> {
    let mut lists: Vec<(String, usize)> = Vec::new();
    for (group, count) in groups {
        let id = group.join(":");
        match lists.last_mut() {
            Some((list, sum)) if *sum + count <= most && list.len() + id.len() < LIST => {
                list.push(',');
                list.push_str(&id);
                *sum += count;
            }
            _ => lists.push((id, *count)),
        }
    }
    let named = lists.into_iter().map(|(list, _)| format!("{file}[{list}]"));
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rspec(ids: &[&str]) -> Outline {
        let path = |id: &&str| id.split(':').map(str::to_owned).collect();
        Outline::Rspec(ids.iter().map(path).collect(), HashSet::new())
    }

    #[test]
    fn small_groups_stay_whole() {
        let outline = rspec(&["1:1:1", "1:1:2", "1:2:1", "1:2:2"]);
        let pieces = outline.pieces("a.rb", 2).unwrap();
        assert_eq!(pieces, ["a.rb[1:1]", "a.rb[1:2]"]);
        let pieces = outline.pieces("a.rb", 9).unwrap();
        assert_eq!(
            pieces,
            ["a.rb[1:1:1]", "a.rb[1:1:2]", "a.rb[1:2:1]", "a.rb[1:2:2]"]
        );
    }

    #[test]
    fn a_partly_filtered_group_is_named_by_its_examples() {
        let Outline::Rspec(examples, _) = rspec(&["1:1:1", "1:1:3", "1:2:1", "1:2:2"]) else {
            unreachable!("it was made as one");
        };
        let partial = ["1", "1:1"].map(|id| id.split(':').map(str::to_owned).collect());
        let outline = Outline::Rspec(examples, partial.into());
        let pieces = outline.pieces("a.rb", 2).unwrap();
        assert_eq!(pieces, ["a.rb[1:1:1,1:1:3]", "a.rb[1:2]"]);
    }

    #[test]
    fn neighbours_are_merged_and_each_example_is_in_one_part() {
        let ids: Vec<String> = (1..=1000).map(|n| format!("1:{n}")).collect();
        let outline = rspec(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        let pieces = outline.pieces("a.rb", 3).unwrap();
        assert!((3..30).contains(&pieces.len()), "{}", pieces.len());
        assert!(
            pieces
                .iter()
                .all(|piece| name::spec_file_error(piece).is_none())
        );
        let inside = |piece: &String| piece["a.rb[".len()..piece.len() - 1].to_owned();
        let all: Vec<String> = pieces.iter().map(inside).collect();
        assert_eq!(all.join(",").split(',').collect::<Vec<_>>(), ids);
    }

    #[test]
    fn tests_and_classes_are_parts_and_parameters_are_not() {
        let path = |names: &str| names.split(' ').map(str::to_owned).collect();
        let paths = ["A x", "A y", "many", "many", "many", "B z"].map(path);
        let pieces = Outline::Pytest(paths.into()).pieces("t.py", 3).unwrap();
        assert_eq!(pieces, ["t.py::A", "t.py::many", "t.py::B"]);
    }

    #[test]
    fn interleaved_groups_become_one_part_each() {
        let path = |names: &str| names.split(' ').map(str::to_owned).collect();
        let paths = ["b", "A x", "a", "A y", "b", "A x", "a", "A x"].map(path);
        let outline = Outline::Pytest(paths.into());
        let pieces = outline.pieces("t.py", 2).unwrap();
        assert_eq!(pieces, ["t.py::b", "t.py::A", "t.py::a"]);
        let pieces = outline.pieces("t.py", 9).unwrap();
        let wanted = ["t.py::b", "t.py::A::x", "t.py::A::y", "t.py::a"];
        assert_eq!(pieces, wanted);
        let named = vec![("t.py".to_owned(), Some(9)), ("t.py::A".into(), None)];
        let list = |_: &str| Ok(Outline::Pytest(["A x", "a"].map(path).into()));
        let (tasks, _) = split(named, Above::Seconds(1.0), &HashMap::new(), list);
        let names: Vec<_> = tasks.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["t.py::A", "t.py::a"]);
    }

    #[test]
    fn only_slow_files_are_split_unknown_parts_use_the_files_time() {
        let tasks = || {
            vec![
                ("slow.rb".to_owned(), Some(90)),
                ("b.rb".into(), Some(10)),
                ("c.rb".into(), None),
            ]
        };
        let list = |_: &str| Ok(rspec(&["1:1", "1:2"]));
        let known = HashMap::from([("slow.rb[1:1]".to_owned(), 50)]);
        let (split_up, notes) = split(tasks(), Above::Share(0.5), &known, list);
        let expected = [
            ("slow.rb[1:1]", Some(50)),
            ("slow.rb[1:2]", Some(90)),
            ("b.rb", Some(10)),
            ("c.rb", None),
        ];
        assert_eq!(split_up, expected.map(|(file, sec)| (file.to_owned(), sec)));
        assert!(notes.is_empty());
        let known = HashMap::from(
            [("slow.rb[1:1]", 5), ("slow.rb[1:2]", 6)].map(|(k, v)| (k.to_owned(), v)),
        );
        let (whole, _) = split(tasks(), Above::Seconds(20.0), &known, list);
        assert_eq!(whole[0], ("slow.rb".to_owned(), Some(11)));
        let fails = |_: &str| Err("it has no list".to_owned());
        let (whole, notes) = split(tasks(), Above::Seconds(20.0), &HashMap::new(), fails);
        assert_eq!(whole, tasks());
        assert_eq!(notes, ["'slow.rb' is submitted whole: it has no list"]);
    }

    #[test]
    fn a_limit_is_seconds_or_a_percentage() {
        assert_eq!("30".parse(), Ok(Above::Seconds(30.0)));
        assert_eq!("12.5%".parse(), Ok(Above::Share(0.125)));
        for bad in ["", "0", "-1", "%", "nan", "1s"] {
            assert!(bad.parse::<Above>().is_err(), "{bad}");
        }
    }
}
