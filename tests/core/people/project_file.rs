//! The project file: patterns, profiles, and a project around the current folder.

use crate::harness::*;
use serde_json::Value;
use std::path::Path;

fn local(folder: &Path, args: &[&str]) -> Finished {
    Tool::new("unused", "rrr-local")
        .args(args)
        .dir(folder)
        .run()
}

/// The tasks that rrr-local would run in `folder`.
fn listed(folder: &Path, args: &[&str]) -> Vec<String> {
    let done = local(folder, &[&["--list"], args].concat()).expect_code(0);
    let name = |line: &Value| line["spec_file"].as_str().unwrap().to_owned();
    done.events().iter().map(name).collect()
}

fn project() -> Suite {
    let suite = Suite::new();
    suite
        .file("spec/a_spec.sh", "")
        .file("spec/deep/b_spec.sh", "")
        .file("spec/helper.sh", "")
        .file("spec/.hidden_spec.sh", "")
        .file(
            ".rrr.toml",
            "files = ['spec/**/*_spec.sh']\ncommand = ['sh', '{}']\njobs = 2
             [profile.quick]\nfiles = ['spec/*_spec.sh']\nmax-trials = 1\n",
        );
    suite
}

#[test]
fn patterns_in_the_project_file_name_the_tasks() {
    let suite = project();
    let folder = suite.path();
    assert_eq!(
        listed(folder, &[]),
        ["spec/a_spec.sh", "spec/deep/b_spec.sh"]
    );
    assert_eq!(listed(folder, &["spec/helper.sh"]), ["spec/helper.sh"]);
    assert_eq!(listed(folder, &["spec/h*.sh"]), ["spec/helper.sh"]);
    let list = Tool::new("unused", "rrr-local").args(["--list", "--files-from", "-"]);
    let list = list.stdin("spec/helper.sh\n").dir(folder).run();
    assert_eq!(list.expect_code(0).events().len(), 1);
    let nothing = local(folder, &["x*.sh"]).expect_code(2);
    assert!(
        nothing.stderr.contains("no file matches 'x*.sh'"),
        "{nothing:#?}"
    );
    local(folder, &[]).expect_code(0);
}

#[test]
fn a_profile_is_selected_by_a_flag_or_a_variable() {
    let suite = project();
    let folder = suite.path();
    assert_eq!(listed(folder, &["--profile", "quick"]), ["spec/a_spec.sh"]);
    let by_variable = Tool::new("unused", "rrr-local").arg("--list");
    let by_variable = by_variable.env("RRR_PROFILE", "quick").dir(folder).run();
    assert_eq!(by_variable.expect_code(0).events().len(), 1);
    let config = local(folder, &["--profile", "quick", "--print-config"]);
    let lines = config.expect_code(0).events();
    let trials = lines.iter().find(|line| line["flag"] == "max-trials");
    assert_eq!(trials.unwrap()["value"], "1");
    let wrong = local(folder, &["--profile", "slow"]).expect_code(2);
    assert!(wrong.stderr.contains("has no profile 'slow'"), "{wrong:#?}");
    assert!(wrong.stderr.contains("it has: quick"), "{wrong:#?}");
}

#[test]
fn the_project_around_the_current_folder_is_used() {
    let suite = project();
    let inside = suite.path().join("spec/deep");
    // Without a work tree around it, the file could belong to any user.
    local(&inside, &[]).expect_code(4);
    std::fs::create_dir(suite.path().join(".git")).unwrap();
    assert_eq!(
        listed(&inside, &[]),
        ["spec/a_spec.sh", "spec/deep/b_spec.sh"]
    );
    assert_eq!(listed(&inside, &["b_spec.sh"]), ["spec/deep/b_spec.sh"]);
    assert_eq!(listed(&inside, &["../h*.sh"]), ["spec/helper.sh"]);
    let other = local(
        &inside,
        &["--packaging-dir", ".", "b_spec.sh", "--", "false"],
    );
    assert_eq!(other.expect_code(1).events()[0]["tasks"], 1);
    local(&inside, &[]).expect_code(0);
}
