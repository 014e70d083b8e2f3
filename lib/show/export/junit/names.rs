//! The names of the cases of a suite.

use crate::show::export::xml::clean;
use std::collections::{HashMap, HashSet};

/// The names of a suite's cases, made unique: GitLab keeps only the first of two with the same
/// name.
#[derive(Default)]
pub(super) struct Names {
    used: HashSet<String>,
    /// The last number appended to a name.
    last: HashMap<String, u32>,
}

impl Names {
    pub(super) fn unique(&mut self, name: &str) -> String {
        let name = clean(name);
        let mut unique = name.clone();
        while !self.used.insert(unique.clone()) {
            let number = self.last.entry(name.clone()).or_insert(1);
            *number += 1;
            unique = format!("{name} ({number})");
        }
        unique
    }
}
