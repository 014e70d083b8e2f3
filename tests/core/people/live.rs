//! The live view, in a real pseudo-terminal.

use crate::harness::*;
use crate::people::terminal::Terminal;
use std::path::Path;

const GO: &str = "until [ -e go ]; do sleep 0.02; done";

/// Three files: one waits for `go` and passes, one fails with output, one is flaky. A worker needs
/// three slaves: one is busy with the first file, and a retry waits for a slave that has not tried
/// the file.
fn suite() -> Suite {
    let suite = Suite::new();
    suite
        .file("waits_for_the_file_go_to_go_on.sh", GO)
        .file(
            "fails.sh",
            "echo expected 3; printf 'got \\033[31m4\\033[0m\\n'; exit 1",
        )
        .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
    suite
}

fn submit_args(suite: &Suite) -> Vec<String> {
    let mut args: Vec<String> = ["--no-rsync", "--follow", "--max-trials", "2"]
        .map(String::from)
        .into();
    args.extend(suite.files());
    args.extend(["--", "sh", "{}"].map(String::from));
    args
}

fn submit_on(server: &Server, suite: &Suite, columns: u16, env: &[(&str, &str)]) -> Terminal {
    let args = submit_args(suite);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Terminal::start(server, columns, suite.path(), "rrr-submit", &args, env)
}

fn go(folder: &Path) {
    std::fs::write(folder.join("go"), "").unwrap();
}

/// Text on the screen when only one file is left.
const IN_THE_MIDDLE: [&str; 10] = [
    "2/3 66%",
    "1 passed, 1 failed, 1 flaky",
    "box/",
    "go_on.sh",
    "FAIL   fails.sh (exit 1",
    "    expected 3",
    "    got ␛[31m4␛[0m",
    "again  fails.sh (exit 1, ",
    "    (as in the first trial, above)",
    "flaky  flaky.sh (passed in trial 2; before: exit 1)",
];

fn is_drawn_once(screen: &str) -> bool {
    screen.matches("66%").count() == 1
}

/// Runs the suite to its end on a terminal. Returns the screen when only one file was left, the
/// exit code, the last screen, and all bytes.
fn run(columns: u16, env: &[(&str, &str)]) -> (String, u32, String, Vec<u8>) {
    let (server, suite) = (Server::new(), suite());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 3, suite.path());
    let mut terminal = submit_on(&server, &suite, columns, env);
    // The screen may be read while it is being redrawn.
    let middle = terminal.wait_for("one complete live view", |screen| {
        IN_THE_MIDDLE.iter().all(|wanted| screen.contains(wanted)) && is_drawn_once(screen)
    });
    go(suite.path());
    let (code, end) = terminal.end();
    (middle, code, end, terminal.bytes())
}

#[track_caller]
fn assert_good_live_view(middle: &str, code: u32, end: &str, columns: usize) {
    let picture = middle
        .lines()
        .filter(|line| line.contains("66%") || line.contains("box/"));
    for line in picture {
        assert!(line.chars().count() < columns, "too wide: {line}");
    }
    for wanted in [
        "Failed:\n  fails.sh: failed in 2 trials\n      sh fails.sh\n",
        "Flaky (failed, then passed):\n  flaky.sh in trial 2: exit 1\n",
        "Slowest:\n",
        "failed: 3 tasks = 2 passed + 1 failed + 0 pending; 1 flaky; in ",
    ] {
        assert!(end.contains(wanted), "no '{wanted}' in\n{end}");
    }
    assert!(
        !end.contains("66%") && !end.contains("box/"),
        "the live view is gone:\n{end}"
    );
    assert!(!end.contains("\"event\""), "a person sees no JSON:\n{end}");
    assert_eq!(code, 1);
}

#[test]
fn the_live_view_fits_sixty_columns() {
    let (middle, code, end, _) = run(60, &[]);
    assert_good_live_view(&middle, code, &end, 60);
}

#[test]
fn the_live_view_fits_a_hundred_and_twenty_columns() {
    let (middle, code, end, bytes) = run(120, &[]);
    assert_good_live_view(&middle, code, &end, 120);
    let coloured = bytes.windows(3).any(|three| three == b"\x1b[3");
    assert!(coloured, "it has colours");
}

/// Whether an escape sequence that ends with `last` was written.
fn has_escape(bytes: &[u8], last: u8) -> bool {
    bytes.split(|byte| *byte == 0x1b).skip(1).any(|rest| {
        let end = rest.iter().skip(1).find(|byte| byte.is_ascii_alphabetic());
        rest.first() == Some(&b'[') && end == Some(&last)
    })
}

#[test]
fn no_color_redraws_the_live_view_without_colours() {
    let (middle, code, end, bytes) = run(80, &[("NO_COLOR", "1")]);
    assert_good_live_view(&middle, code, &end, 80);
    assert!(!has_escape(&bytes, b'm'), "a colour");
    assert!(
        has_escape(&bytes, b'A') || has_escape(&bytes, b'K'),
        "a live view that is redrawn"
    );
}

#[test]
fn a_dumb_terminal_gets_lines_without_any_escape() {
    let (server, suite) = (Server::new(), suite());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 3, suite.path());
    let mut terminal = submit_on(&server, &suite, 80, &[("TERM", "dumb")]);
    terminal.wait_for("the progress", |screen| {
        screen.contains("2/3 done, 1 failed, 1 flaky, 1 running")
    });
    go(suite.path());
    let (code, end) = terminal.end();
    assert_eq!(code, 1);
    assert!(end.contains("3/3 done, 1 failed, 1 flaky"), "{end}");
    assert!(end.contains("failed: 3 tasks = 2 passed"), "{end}");
    assert!(!terminal.bytes().contains(&0x1b), "an escape:\n{end}");
}

#[test]
fn the_live_view_follows_resizes_and_keeps_scrollback_clean() {
    let (server, suite) = (Server::new(), suite());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 3, suite.path());
    let mut terminal = submit_on(&server, &suite, 120, &[]);
    let bar = |screen: &str| {
        let line = screen.lines().find(|line| line.contains("2/3"))?;
        Some(line.find(']')? - line.find('[')?)
    };
    let wide = bar(&terminal.wait_for("a bar", |screen| bar(screen).is_some())).unwrap();
    terminal.resize(60);
    terminal.wait_for("a shorter bar", |screen| {
        bar(screen).is_some_and(|bar| bar < wide)
    });
    go(suite.path());
    let (code, end) = terminal.end();
    assert_eq!(code, 1);
    assert_eq!(end.matches("2/3").count(), 0, "a live view is left:\n{end}");
    assert!(end.contains("failed: 3 tasks = 2 passed"), "{end}");
}

#[test]
fn late_and_second_followers_see_the_same() {
    let (server, suite) = (Server::new(), suite());
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 3, suite.path());
    let submit = submit(&server, &suite, &["--max-trials", "2"]);
    submit.wait_for_event_where("task_finished", PATIENCE, |event| {
        event["spec_file"] == "fails.sh"
    });
    let key = submit.events()[0]["taskset"].as_str().unwrap().to_owned();
    let watch = || Terminal::start(&server, 90, suite.path(), "rrr-watch", &[&key], &[]);
    let (mut one, mut two) = (watch(), watch());
    for late in [&one, &two] {
        late.wait_for("the live view", |screen| {
            screen.contains("2/3 66%") && screen.contains("go_on.sh")
        });
    }
    go(suite.path());
    let ((code, first), (_, second)) = (one.end(), two.end());
    let (_, third) = watch().end();
    assert_eq!(code, 1);
    let mut last = first.trim_end().lines().rev();
    assert!(
        last.next().unwrap().starts_with("record: rrr-show "),
        "{first}"
    );
    let receipt = "failed: 3 tasks = 2 passed + 1 failed";
    assert!(last.next().unwrap().starts_with(receipt), "{first}");
    assert_eq!(first, second);
    assert_eq!(first, third, "after its end");
    let events = submit.wait(PATIENCE).events();
    let again = Tool::new(&server, "rrr-watch")
        .arg(&key)
        .run()
        .expect_code(1)
        .events();
    assert_eq!(events, again, "and a pipe gets the events again");
}

#[test]
fn the_live_view_names_the_reason_for_waiting() {
    let (server, suite) = (Server::new(), suite());
    let _fleet = Fleet::start(&server);
    let mut terminal = submit_on(&server, &suite, 60, &[]);
    terminal.wait_for("the reason", |screen| {
        screen.contains("waiting for a worker of type 'default' (0 alive)")
    });
    terminal.interrupt();
    let (code, end) = terminal.end();
    assert_eq!(code, 3, "cancelled:\n{end}");
    assert!(
        end.contains("cancelled: 3 tasks = 0 passed + 0 failed + 0 pending + 3 not finished"),
        "{end}"
    );
}

#[test]
fn messages_are_printed_above_the_live_view_without_damage() {
    let (server, suite) = (Server::options().append_only().start(), suite());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 3, suite.path());
    let mut terminal = submit_on(&server, &suite, 100, &[]);
    terminal.wait_for("the live view", |screen| {
        screen.contains("2/3 66%") && screen.contains("go_on.sh")
    });
    server.kill();
    terminal.wait_for("the loss is reported", |screen| {
        screen.contains("lost Redis at")
    });
    server.restart();
    let middle = terminal.wait_for("it is back", |screen| {
        screen.contains("is back") && is_drawn_once(screen)
    });
    let at = |what: &str| {
        middle
            .find(what)
            .unwrap_or_else(|| panic!("no {what} in\n{middle}"))
    };
    assert!(
        at("lost Redis at") < at("is back") && at("is back") < at("66%"),
        "{middle}"
    );
    go(suite.path());
    let (code, end) = terminal.end();
    assert_eq!(code, 1, "{end}");
    assert!(
        !end.contains("66%") && !end.contains("box/"),
        "a live view is left:\n{end}"
    );
}
