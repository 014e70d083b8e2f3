//! The nearest known name, for hints about typing errors.

/// The one of `names` that is most similar to `word`, if any is similar: for a hint.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rated = names.map(|name| (strsim::jaro_winkler(word, name), name));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8)
        .map(|(_, name)| name)
}
