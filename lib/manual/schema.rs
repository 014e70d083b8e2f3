//! The JSON schema of the project file, for editors, from the flags of the tools that read it.

use crate::cli::project_file;
use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};

/// The schema, for a file that may set the flags of any of the `readers`.
pub fn project_file(readers: &[Command]) -> Value {
    let settings = settings(readers);
    let mut properties = settings.clone();
    properties.insert(
        "profile".into(),
        json!({
            "type": "object",
            "description": "Settings by name; --profile NAME uses them instead of the general ones",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": false,
                "properties": settings,
            },
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": project_file::NAME,
        "description": "Settings of rrr-local and rrr-submit for the suite in this folder",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn settings(readers: &[Command]) -> Map<String, Value> {
    let mut settings = Map::new();
    for arg in readers.iter().flat_map(Command::get_arguments) {
        if let Some(name) = project_file::name_of(arg) {
            settings.entry(name).or_insert_with(|| setting(arg));
        }
    }
    settings.sort_keys();
    settings
}

fn setting(arg: &Arg) -> Value {
    let help = arg.get_help().map(ToString::to_string);
    let mut schema = json!({ "description": help.unwrap_or_default() });
    let values: Vec<String> = (arg.get_possible_values().iter())
        .map(|value| value.get_name().to_owned())
        .collect();
    if project_file::is_list(arg) {
        schema["type"] = "array".into();
        schema["items"] = json!({ "type": "string" });
    } else if matches!(arg.get_action(), ArgAction::SetTrue) {
        schema["type"] = "boolean".into();
    } else if !values.is_empty() {
        schema["enum"] = values.into();
    } else {
        schema["type"] = json!(["string", "number"]);
    }
    schema
}
