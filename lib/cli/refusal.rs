//! The refusal of a command line that clap cannot parse, worded like every other failure.

use crate::cli::flags::{self, in_plain_words};
use crate::process::exit::{Failure, usage};
use clap::error::{ContextKind, ContextValue};

/// A parser error, in the format of all other failures.
pub(super) fn refusal(tool: &str, error: &clap::Error) -> Failure {
    let text = error.to_string();
    let said = text.lines().take_while(|line| !line.starts_with("Usage: "));
    let (tips, said): (Vec<&str>, Vec<&str>) = said
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .partition(|line| line.starts_with("tip: "));
    let mut said = in_plain_words(&said.join(" "));
    if let Some(variable) = variable_of(error) {
        said += &format!(" (set by the variable {variable})");
    }
    let tip = tips.first().map(|tip| tip.trim_start_matches("tip: "));
    let hint = match tip.filter(|tip| !tip.starts_with("to pass ")) {
        Some(tip) => tip.to_owned(),
        None if said.contains(" is not a taskset key") => {
            format!("rrr-list tasksets shows the keys; {tool} --help shows the flags")
        }
        None => format!("{tool} --help shows its flags"),
    };
    usage(said.trim_start_matches("error: ")).hint(hint)
}

/// The variable that set the invalid value, unless the command line did.
fn variable_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let long = flag.strip_prefix("--")?.split(['=', ' ']).next()?;
    let variable = flags::variable(long);
    std::env::var_os(&variable)?;
    let (flag, with_value) = (format!("--{long}"), format!("--{long}="));
    let mut words = std::env::args();
    let is_given = words.any(|word| word == flag || word.starts_with(&with_value));
    (!is_given).then_some(variable)
}
