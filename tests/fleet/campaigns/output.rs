//! Campaign 8: test output of any size and any bytes.

use crate::harness::*;

/// Bytes kept of each output of a trial, half of them from its end.
const KEPT: usize = 4 << 20;
/// Peak resident memory that a slave may reach, in KiB.
const MOST_KIB: u64 = 32 << 10;

/// Runs `script` as the only file and returns the raw bytes of its trial's fields.
struct Printed {
    server: Server,
    trial: String,
}

impl Printed {
    fn run(script: &str, code: i32) -> Self {
        let (server, suite) = (Server::new(), Suite::new());
        let fleet = Fleet::plan(&server).without_persister().start();
        let _worker = fleet.worker("w", 1, suite.path());
        suite.file("prints.sh", script);
        let done = submit(&server, &suite, &["--max-trials", "1"]).wait(PATIENCE * 2);
        let finished = done.expect_code(code).events_named("trial_finished");
        let trial = finished[0]["trial"].as_str().unwrap().to_owned();
        Self { server, trial }
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        let mut conn = self.server.conn();
        let mut command = ::redis::cmd("HGET");
        command.arg(&self.trial).arg(field);
        command.query(&mut conn).unwrap()
    }
}

/// The head, the line with the number of omitted bytes, and the tail of `length` bytes of
/// `byte_at`.
fn expected(length: usize, byte_at: impl Fn(usize) -> u8) -> Vec<u8> {
    let (half, dropped) = (KEPT / 2, length - KEPT);
    let mut bytes: Vec<u8> = (0..half).map(&byte_at).collect();
    bytes.extend(format!("\n[... {dropped} bytes dropped ...]\n").bytes());
    bytes.extend((length - half..length).map(&byte_at));
    bytes
}

#[test]
fn k6_a_gigabyte_of_output_is_cut_exactly_in_little_memory() {
    let length = 1 << 30;
    let printed = Printed::run(
        // The slave is the parent of the test; its peak memory is read after the flood.
        "yes 123456789abcdef | head -c 1073741824; grep VmHWM /proc/$PPID/status >&2; exit 77",
        0,
    );
    assert_eq!(
        printed.server.hget(&printed.trial, "status").unwrap(),
        "pending"
    );
    let line = b"123456789abcdef\n";
    let stdout = printed.bytes("stdout");
    assert!(
        stdout == expected(length, |at| line[at % line.len()]),
        "{} bytes",
        stdout.len()
    );
    let stderr = String::from_utf8(printed.bytes("stderr")).unwrap();
    let peak: u64 = stderr.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("peak of the slave: {peak} KiB");
    assert!(peak < MOST_KIB, "{peak} KiB");
}

#[test]
fn a_line_of_ten_megabytes_is_cut_in_its_middle() {
    let printed = Printed::run("head -c 10000000 /dev/zero | tr '\\0' x; exit 1", 1);
    assert_eq!(
        printed.server.hget(&printed.trial, "status").unwrap(),
        "failed"
    );
    assert!(printed.bytes("stdout") == expected(10_000_000, |_| b'x'));
}

#[test]
fn any_bytes_are_kept_unchanged() {
    let script = "printf 'a\\000b\\377\\376\\033[31mred\\033[0m\\r\\n'; printf '\\342\\202' >&2";
    let printed = Printed::run(script, 0);
    assert_eq!(
        printed.bytes("stdout"),
        b"a\0b\xff\xfe\x1b[31mred\x1b[0m\r\n"
    );
    assert_eq!(printed.bytes("stderr"), b"\xe2\x82");
}

#[test]
fn single_bytes_and_both_outputs_at_once_lose_nothing() {
    let script = "i=0; while [ $i -lt 3000 ]; do printf o; printf e >&2; i=$((i+1)); done";
    let printed = Printed::run(script, 0);
    assert_eq!(printed.bytes("stdout"), [b'o'; 3000]);
    assert_eq!(printed.bytes("stderr"), [b'e'; 3000]);
}

#[test]
fn output_printed_during_termination_is_kept() {
    let script = "trap 'echo cleaning up; exit 0' TERM; echo begun; while :; do sleep 0.1; done";
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("w", 1, suite.path());
    suite.file("slow.sh", script);
    // Enough for a shell to start on a busy machine.
    let args = [
        "--max-trials",
        "1",
        "--unknown-spec-timeout",
        "5",
        "--least-timeout",
        "5",
    ];
    let done = submit(&server, &suite, &args).wait(PATIENCE).expect_code(1);
    let finished = done.events_named("trial_finished").remove(0);
    assert_eq!(finished["status"], "timeout");
    let trial = finished["trial"].as_str().unwrap();
    assert_eq!(
        server.hget(trial, "stdout").unwrap(),
        "begun\ncleaning up\n"
    );
}
