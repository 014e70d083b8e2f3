//! RSpec: a runner that comes with this program, see scripts/runners/rspec.rb.

use std::path::Path;

/// The runner, made of its parts.
pub(crate) const RUNNER: &str = concat!(
    include_str!("../../scripts/runners/rspec_kept.rb"),
    include_str!("../../scripts/runners/rspec_methods.rb"),
    include_str!("../../scripts/runners/rspec_traces.rb"),
    include_str!("../../scripts/runners/rspec.rb"),
);

/// The Ruby of the project in `folder`.
pub(crate) fn interpreter(folder: &Path) -> Vec<String> {
    let gemfile = std::env::var_os("BUNDLE_GEMFILE").is_some_and(|path| !path.is_empty())
        || ["Gemfile", "gems.rb"]
            .iter()
            .any(|name| folder.join(name).is_file());
    let words: &[&str] = if gemfile {
        &["bundle", "exec", "ruby"]
    } else {
        &["ruby"]
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}
