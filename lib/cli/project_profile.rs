//! Profiles: named settings of the project file, used instead of the general ones.

use crate::process::exit::{Failure, usage};
use clap::Id;
use std::ffi::OsString;
use std::path::Path;
use toml::{Table, Value};

/// The table of the profiles, and the flag that selects one.
pub(crate) const PROFILE: &str = "profile";

/// A setting: the flag, and the words of its value.
pub(crate) type Setting = (Id, Vec<OsString>);

/// Takes the profiles out of the table of the file at `path`.
pub(crate) fn take(table: &mut Table, path: &Path) -> Result<Vec<(String, Table)>, Failure> {
    let wrong = |what: String| {
        usage(format!("'{}': {what}", path.display()))
            .hint("a profile is a table: [profile.ci], then its settings; --profile ci selects it")
    };
    let profiles = match table.remove(PROFILE) {
        None => Table::new(),
        Some(Value::Table(profiles)) => profiles,
        Some(_) => return Err(wrong(format!("'{PROFILE}' is not a setting"))),
    };
    let named = profiles.into_iter().map(|(name, value)| match value {
        Value::Table(table) => Ok((name, table)),
        _ => Err(wrong(format!(
            "profile '{}' is not a table",
            name.escape_debug()
        ))),
    });
    named.collect()
}

/// The general settings, with those of the chosen profile instead of them where it has any.
///
/// Errors: the profile does not exist.
pub(crate) fn applied(
    mut general: Vec<Setting>,
    profiles: Vec<(String, Vec<Setting>)>,
    chosen: Option<&str>,
    path: &Path,
) -> Result<Vec<Setting>, Failure> {
    let Some(chosen) = chosen else {
        return Ok(general);
    };
    let names: Vec<&str> = profiles.iter().map(|(name, _)| name.as_str()).collect();
    if !names.contains(&chosen) {
        let (place, chosen) = (path.display(), chosen.escape_debug());
        return Err(usage(format!("'{place}' has no profile '{chosen}'")).hint(
            match names.is_empty() {
                true => "it has none".to_owned(),
                false => format!("it has: {}", names.join(", ")),
            },
        ));
    }
    let mut own = profiles.into_iter().filter(|(name, _)| name == chosen);
    let own = own.next().map(|(_, own)| own).unwrap_or_default();
    general.retain(|(id, _)| !own.iter().any(|(other, _)| other == id));
    general.extend(own);
    Ok(general)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags;
    use crate::cli::project_file::{NAME, read};
    use crate::role;

    fn with_profile(text: &str, profile: Option<&str>) -> anyhow::Result<Vec<Setting>> {
        let known = [
            flags::command::<role::submit::Options>(),
            flags::command::<role::local::Options>(),
        ];
        read(text, Path::new(NAME), &known[0], &known, profile)
    }

    fn refusal(text: &str) -> String {
        with_profile(text, None).unwrap_err().to_string()
    }

    #[test]
    fn a_profile_replaces_general_settings() {
        let text =
            "max-trials = 3\nfiles = ['a', 'b*']\n[profile.ci]\nmax-trials = 1\nmax-fail = 9\n";
        let value = |profile, name: &str| {
            let settings = with_profile(text, profile).unwrap();
            let found = settings.into_iter().find(|(id, _)| id == name);
            found.map(|(_, words)| {
                words
                    .into_iter()
                    .map(|word| word.into_string().unwrap())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(value(None, "max_trials").unwrap(), ["3"]);
        assert_eq!(value(None, "max_fail"), None);
        assert_eq!(value(Some("ci"), "max_trials").unwrap(), ["1"]);
        assert_eq!(value(Some("ci"), "max_fail").unwrap(), ["9"]);
        assert_eq!(value(Some("ci"), "files").unwrap(), ["a", "b*"]);
        let error = with_profile(text, Some("other")).unwrap_err().to_string();
        assert!(error.contains("has no profile 'other'"), "{error}");
        assert!(
            refusal("[profile.x]\nbogus = 1").contains("'bogus'"),
            "an unused one is checked too"
        );
        assert!(refusal("profile = 'ci'").contains("'profile' is not a setting"));
        assert!(refusal("files = 'a'").contains("list of names"));
        assert!(refusal("files = ['-x']").contains("cannot contain"));
    }
}
