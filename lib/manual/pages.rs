//! The pages, one after the other.

use super::Page;
use crate::cli::flags;
use crate::process::exit;
use crate::role;

/// The page of every tool, by name.
pub fn all() -> Vec<Page> {
    vec![
        Page {
            command: role::plugin::command(),
            more: &[
                "`rrr TOOL` runs rrr-TOOL, found on PATH or beside this program; so does `cargo rrr TOOL`. \
                     Any program called rrr-NAME is found like that.",
            ],
            exit_codes: &[],
            examples: &[
                ("The tools that are installed:", "rrr --list"),
                (
                    "The same as rrr-submit:",
                    "rrr submit --follow spec/a_spec.rb -- rspec {}",
                ),
            ],
        },
        Page {
            command: flags::command::<role::arbiter::Options>(),
            more: &[
                "Judges the trials that slaves report, puts back what was lost, and ends tasksets. \
                     Any number of them may run: each message is applied once.",
            ],
            exit_codes: &[],
            examples: &[
                ("A daemon:", "rrr-arbiter --redis redis://db:6379"),
                (
                    "Give a second slave to a task as soon as one is idle:",
                    "rrr-arbiter --speculate-after 0",
                ),
            ],
        },
        Page {
            command: flags::command::<role::cancel::Options>(),
            more: &[
                "A cancelled taskset ends with the status 'cancelled'; its running tests are stopped.",
            ],
            exit_codes: &[exit::NOTHING],
            examples: &[
                ("One:", "rrr-cancel \"$KEY\""),
                (
                    "Whatever runs under my name:",
                    "rrr-cancel --rsync-name alice",
                ),
                ("Everything:", "rrr-cancel --all"),
            ],
        },
        Page {
            command: flags::command::<role::dispatch::Options>(),
            more: &[
                "Gives each active taskset to idle workers of its type, up to --max-workers of its \
                     submitter, first come first served. Any number of them may run.",
            ],
            exit_codes: &[],
            examples: &[("A daemon:", "rrr-dispatch --redis redis://db:6379")],
        },
        Page {
            command: flags::command::<role::fsck::Options>(),
            more: &[
                "Reads Redis and changes nothing. What looks wrong in a run in progress is looked at again \
                     after --pause, and told only when it is still wrong.",
                "A finding names its invariant: I1 and I7 one final status that stays; I2 counts; I3 a pass has \
                     a passing trial; I4 tasks_left; I5 no task is lost; I6 not too many trials; I8 the active \
                     list; I9 no key for ever; I12 nothing waits for nobody; I14 what has ended is persisted or \
                     will be; I15 bounded bytes.",
            ],
            exit_codes: &[exit::FAILED],
            examples: &[
                ("Everything:", "rrr-fsck"),
                ("One taskset:", "rrr-fsck \"$KEY\""),
                (
                    "Another Redis:",
                    "rrr-fsck --redis unix:///run/redis/redis.sock",
                ),
            ],
        },
        Page {
            command: flags::command::<role::history::Options>(),
            more: &[
                "Tells what the database that rrr-persist fills knows of finished tasksets. JSON lines with \
                     every field; `--format text` is a small table with sparklines. It needs no Redis.",
                "A file is flaky when it passed, but not at once. `prune` removes tasksets with their outputs; \
                     what was learned of run times stays.",
            ],
            exit_codes: &[],
            examples: &[
                (
                    "The slowest files of two weeks:",
                    "rrr-history slowest --since 14d --limit 10 --format text",
                ),
                (
                    "Flaky files and the hosts where they failed:",
                    "rrr-history flaky | jq -r '[.spec_file, .rate, .hosts[]] | @tsv'",
                ),
                ("The past of one file:", "rrr-history file spec/a_spec.rb"),
                (
                    "What would go, and then let it go:",
                    "rrr-history prune --keep 30d --dry-run && rrr-history prune --keep 30d",
                ),
            ],
        },
        Page {
            command: flags::command::<role::keygen::Options>(),
            more: &[
                "Whoever has the secret key can have workers run anything: keep it where tasksets are \
                     submitted (rrr-submit --sign-key FILE). A worker that is started with --trust and a file \
                     of public keys, one per line, runs nothing else. Only root or the worker's own user may be able to \
                     write that file. See rrr-deploy(7).",
            ],
            exit_codes: &[],
            examples: &[("A key for the build server:", "rrr-keygen ci.key")],
        },
        Page {
            command: flags::command::<role::list::Options>(),
            more: &[
                "On a terminal it is a table of the main columns, elsewhere JSON lines with every field. \
                     'tasksets' are those that are open or not persisted yet; 'queues' tells what was refused \
                     in each and why.",
            ],
            exit_codes: &[],
            examples: &[
                ("A table:", "rrr-list tasksets"),
                (
                    "Tests that run now:",
                    "rrr-list workers | jq -r '.running[].spec_file'",
                ),
                (
                    "Messages that were refused:",
                    "rrr-list queues | jq -c '.dead_messages[]'",
                ),
            ],
        },
        Page {
            command: flags::command::<role::local::Options>(),
            more: &[
                "Starts a redis-server (or valkey-server) of its own on a Unix socket in a temporary folder, \
                 the roles and a worker; all of it goes away with the run. A role that dies is started again.",
                "The first Ctrl-C cancels the run and waits for its end; the second leaves at once.",
                OUTPUT,
                FROM,
            ],
            exit_codes: VERDICTS,
            examples: &[
                (
                    "Shell tests, four at a time:",
                    "rrr-local -j4 tests/*.sh -- sh {}",
                ),
                ("RSpec:", "rrr-local spec/*_spec.rb -- bundle exec rspec {}"),
                (
                    "Files that failed, as they fail:",
                    "rrr-local tests/*.sh -- sh {} | jq -r 'select(.status==\"failed\" and .event==\"task_finished\").spec_file'",
                ),
            ],
        },
        Page {
            command: flags::command::<role::persist::Options>(),
            more: &[
                "Makes the record of each finished taskset durable, learns how long its files take, and then \
                     lets its keys in Redis expire. The rows are in the database, SQLite or PostgreSQL; outputs \
                     and logs are in one JSON document a taskset in the log folder, named by a UUID, whose size \
                     and SHA-256 the row has. Any number of persisters may share the queue; a kill at any point \
                     leaves one record.",
                "For each it prints a JSON object {time, persisted, status, file}: the key of the taskset, its status and the \
                     path of its document. `\"again\": true` is added when it was durable already, and an earlier persister \
                     was killed before it noted so. `--rebuild-estimates` prints {estimates}, how many files have one. \
                     Without --db and --log-dir both are below $XDG_STATE_HOME/rrr, or ~/.local/state/rrr.",
                "A database that does not answer is waited for, at the start too (by `--drain` for ten seconds), and \
                     so is room on a disk that is full, or would have less than `--keep-free`. A taskset that fails \
                     otherwise is tried again with growing pauses, and after `--attempts` it goes to the dead \
                     list with its keys left alone; `--retry-dead` takes it up again. The attempts are counted in \
                     Redis: neither a restart nor the next `--drain` begins anew.",
                "PostgreSQL is reached by TLS when its URL says `sslmode=verify-full` (`require` means the same): \
                     the server and its name are always verified, by the authorities of the system or by those in \
                     `sslrootcert=FILE`; `sslcert=FILE` and `sslkey=FILE` show a certificate of ours.",
                "A spec file that has not passed for 90 days, while others of its class have, was renamed or has \
                     vanished: its estimate is dropped. `--rebuild-estimates` gives a Redis that was wiped its run \
                     times back.",
            ],
            exit_codes: &[],
            examples: &[
                ("A daemon:", "rrr-persist --log-dir /var/log/rrr"),
                ("From cron:", "rrr-persist --drain --log-dir /var/log/rrr"),
                ("For a fleet:", "rrr-persist --db postgres://rrr@db/rrr"),
                (
                    "By TLS, with an authority of its own:",
                    "rrr-persist --db 'postgres://rrr@db/rrr?sslmode=verify-full&sslrootcert=/etc/rrr/db-ca.crt'",
                ),
            ],
        },
        Page {
            command: flags::command::<role::show::Options>(),
            more: &[
                "text is for a person: failures with the end of their output, flaky and slow files, the receipt. \
                 json is the whole record; jsonl one object for each task (below). junit has a suite for each spec file and \
                 a case for each example, as GitLab, Jenkins and Buildkite read it; examples that the record lacks \
                 (examples_cut) are in its totals, and named as a property and a note. tap is version 14. markdown is \
                 for a pull request. github prints at most ten annotations of a kind, and appends the whole story \
                 to the file $GITHUB_STEP_SUMMARY, within its limit of 1 MiB.",
                "No form is green unless the taskset succeeded. One that failed with a reason of its own, or though none of its \
                 tasks did, that was cancelled or has not finished, is an error of its own: a case in junit, a test point \
                 and a bail-out in tap, an annotation in github, the reason in the others.",
                "jsonl: {taskset, spec_file, status, trial_status, flaky, trials, duration_ms, passed, pending, failed, exit_code, \
                 signal, slave, trial, failed_examples, examples_cut, taskset_status, fail_reason}. status is the task's: passed, pending, failed, or null while it has \
                 none. What follows is of the trial that decided it: trial_status may say error or timeout too; passed, \
                 pending and failed count its examples. What is not known is null.",
                "otlp-json has a span for the taskset, each task, each trial and what workers did before, a line of OTLP's \
                 JSON for up to 500, as the otlpjsonfile receiver of OpenTelemetry's collector reads them; exported \
                 again they keep their ids. trace opens in https://ui.perfetto.dev: a process for each worker, a \
                 row for each slave, arrows to the trials that followed. In both, trials have their length to the \
                 millisecond and their place to the second: those of one slave that began in the same second are \
                 laid end to end.",
                "--task and --trial print what the trial printed, each stream to the one of its name; terminal \
                 escapes are made visible unless --raw is given. With --format json they print its record.",
            ],
            exit_codes: &[],
            examples: &[
                ("What went wrong:", "rrr-show \"$KEY\""),
                (
                    "A report for the CI server:",
                    "rrr-show \"$KEY\" --format junit --file junit.xml",
                ),
                (
                    "The slowest files:",
                    "rrr-show \"$KEY\" --format jsonl | jq -s -r 'sort_by(-.duration_ms)[:5][] | \"\\(.duration_ms) \\(.spec_file)\"'",
                ),
                (
                    "Flaky files:",
                    "rrr-show \"$KEY\" --format jsonl | jq -r 'select(.flaky).spec_file'",
                ),
                (
                    "Where the time went:",
                    "rrr-show \"$KEY\" --format trace --file run.json",
                ),
                (
                    "All that a file printed, colours too:",
                    "rrr-show \"$KEY\" --task spec/a_spec.rb --raw",
                ),
            ],
        },
        Page {
            command: flags::command::<role::slave::Options>(),
            more: &[
                "Takes tasks one after the other and makes a trial of each. rrr-worker starts it by the \
                     taskset's slave command.",
                "With --adapter serve, rspec and pytest the end of the suite decides too: hooks after the suite, \
                     fixtures of the whole session and hooks at exit run when no task is left, and the taskset waits \
                     for them. A runner that does not end with exit code 0 within --end-timeout makes the taskset \
                     failed, with the reason, whatever its tasks were; so does a slave that dies or is stopped \
                     then. A slave that leaves or dies before takes its end with it, as does one whose machine is \
                     lost. Each runner sees only what it has run: a threshold for the coverage of the whole suite \
                     belongs where all results are put together.",
                "Versions that were tried: pytest 7.2, 8.3, 9.0 and 9.2; pytest-rerunfailures 14.0 and 16.7; RSpec \
                     3.12; cargo-nextest 0.9.143. scripts/test tries Debian's pytest and the newest one.",
                "A test under --adapter pytest finds the process of `python -m pytest OPTION... FILE`, but for: no \
                     controlling terminal; stdin from /dev/null; the command line that ps shows; with fork a parent \
                     that is the runner, a process group of its own, a raised oom_score_adj, and state that the \
                     runner has loaded before. Options for a whole run (-n, --junitxml, --html, --last-failed, \
                     --cache-clear, --session-timeout and the like; --cov unless one slave runs with --isolation \
                     none) are switched off, and the slave's log names each; --maxfail counts file by file.",
            ],
            exit_codes: &[exit::HARD_TIMEOUT],
            examples: &[
                (
                    "As a slave command:",
                    "rrr-submit --slave 'rrr-slave --pending-code 78 -- sh {}' a.sh",
                ),
                (
                    "Count examples by a JUnit report:",
                    "rrr-submit --slave 'rrr-slave --report junit -- pytest --junit-xml={report} {}' test_a.py",
                ),
            ],
        },
        Page {
            command: flags::command::<role::stat::Options>(),
            more: &[
                "For a monitor: queues, daemons, tasksets, tasks, workers, slaves and the memory of Redis as they \
                 are now, and what rrr-persist has counted of all tasksets that ended (it stands still without \
                 one). It asks Redis for lengths and a few fields of tasksets, workers and \
                 slaves: a taskset of many tasks costs no more than one of few. Looked at are the oldest 1000 active \
                 tasksets (more are 'unseen'), the last 1000 slaves of each, and the first 100 messages of a queue.",
                "`--format prometheus` is for the textfile collector of node_exporter; rrr-deploy(7) tells what to \
                 alert on. Ages go by the clocks of the machines that wrote the times. Messages to the arbiter that \
                 are about no trial have no age.",
                "`--check` prints a JSON line {check, reason} for each trouble: dead (messages were refused), queue \
                 (a message is not handled), waiting (a taskset finds no worker), roles (no arbiter, or no dispatcher, \
                 for a minute; those of another implementation do not show), memory (of Redis).",
            ],
            exit_codes: &[exit::FAILED],
            examples: &[
                ("How is it?", "rrr-stat | jq"),
                (
                    "Every minute, from cron:",
                    "rrr-stat --format prometheus --file /var/lib/prometheus/node-exporter/rrr.prom",
                ),
                (
                    "A probe; refused messages are looked at elsewhere:",
                    "rrr-stat --check --ignore dead --max-waiting 600",
                ),
            ],
        },
        Page {
            command: flags::command::<role::submit::Options>(),
            more: &[
                "Sends the packaging folder up with rsync, writes a taskset with one task for each spec file, \
                 and hands it over. Prints one JSON event (the taskset's submission), its key alone with \
                 --key-only, or everything until its end with --follow.",
                OUTPUT,
                "A small file, .rrr-stamp, is sent with the tree and not written into the packaging folder; its digest is part of \
                 the taskset. A worker that brings another tree by rsync, since one of the two was given another remote \
                 path, runs nothing and gives both digests as the reason. With --no-rsync only workers with --in-place run \
                 the taskset. The folder of --rsync-remote-path must exist, unless --mkpath says that it is to be made \
                 (on another machine by rsync 3.2.3 or newer).",
                "With --follow the first Ctrl-C cancels the taskset and waits for its end; the second leaves. When only \
                 the reader of stdout goes away the taskset goes on.",
                "--taskset KEY names the run beforehand. A key is free again a minute after its record is durable; the record of \
                 the earlier run is then kept as KEY~NUMBER (rrr-history shows it).",
                "-- CMD is short for --slave 'rrr-slave -- CMD'; where CMD has no {}, the spec file is appended to it.",
                "A line of --files-from that begins with { is a JSON task: {\"spec_file\": \"a.rb\", \
                 \"estimate_sec\": 3}.",
                FROM,
                "--split-above 120, or 10% (of the sum of all estimates), submits the example groups of a file that takes \
                 longer, as RSpec and pytest list them here: 'a_spec.rb[1:2]', 'test_a.py::TestA'. What cannot be \
                 listed stays whole, and that is said. A group that has not run by itself yet has the time-outs of \
                 its file.",
                "The file .rrr.toml in the packaging folder sets defaults of these flags under their own \
                 names, and 'command', a list of words; the command line and the environment overrule it. It \
                 is data, and nothing in it is executed here: 'from' and 'split-above', by which the tree itself lists its \
                 tests, are refused there (rrr-local takes them), and of the options of rsync only those that say what to \
                 copy are taken.",
            ],
            exit_codes: VERDICTS,
            examples: &[
                (
                    "Run a suite and watch it:",
                    "rrr-submit --follow spec/*_spec.rb -- bundle exec rspec {}",
                ),
                (
                    "Every file that git knows:",
                    "git ls-files -z '*_test.py' | rrr-submit -0 --files-from - --follow -- pytest {}",
                ),
                (
                    "Leave, and come back while it runs:",
                    "KEY=$(rrr-submit --key-only a_spec.rb -- rspec {}); rrr-watch \"$KEY\"",
                ),
                (
                    "Again, only what failed:",
                    "rrr-submit --follow --rerun-failed \"$KEY\"",
                ),
                (
                    "Rust's test binaries, which the slaves build by themselves:",
                    "rrr-submit --follow --from cargo-test -- --workspace",
                ),
                ("What settings hold, and why:", "rrr-submit --print-config"),
            ],
        },
        Page {
            command: flags::command::<role::wait::Options>(),
            more: &["Says nothing but what is waited for, when nothing happens for some seconds."],
            exit_codes: VERDICTS,
            examples: &[(
                "For ten minutes at most:",
                "rrr-wait --timeout 600 \"$KEY\" && echo passed",
            )],
        },
        Page {
            command: flags::command::<role::watch::Options>(),
            more: &[
                "Shows everything from the taskset's first event on, whenever it is started, also twice. Ctrl-C \
                 only ends the watching. A minute after its record is durable a taskset is gone from Redis; rrr-show has it then.",
                OUTPUT,
            ],
            exit_codes: VERDICTS,
            examples: &[
                ("On a terminal:", "rrr-watch \"$KEY\""),
                (
                    "Verdicts as they come:",
                    "rrr-watch \"$KEY\" | jq -c 'select(.event==\"task_finished\")'",
                ),
                (
                    "In the log of a CI job:",
                    "rrr-watch --output plain \"$KEY\"",
                ),
            ],
        },
        Page {
            command: flags::command::<role::worker::Options>(),
            more: &[
                "Takes tasksets of its type one at a time, brings their tree here, runs their setup script \
                     and keeps slaves alive in number. Nothing that a test starts survives it.",
                "rsync and the setup script have an hour each.",
                "Trees are kept below $XDG_STATE_HOME/rrr/work, or ~/.local/state/rrr/work, unless --working-dir says \
                     otherwise.",
                "With --trust the place of the trees must be given by --rsync-remote-path or --in-place, and rsync_info in \
                     Redis is not used. Signed runs that this worker has seen end are noted in $XDG_STATE_HOME/rrr, or \
                     ~/.local/state/rrr, and not run again.",
                "A password in the URL of Redis reaches slaves by their stdin, not by their environment, so a slave \
                     command must leave stdin to rrr-slave.",
            ],
            exit_codes: &[exit::FAILED],
            examples: &[
                (
                    "A machine of a cluster:",
                    "rrr-worker --slaves 4 --rsync-remote-path files:/srv/rrr",
                ),
                (
                    "One of several CI jobs, in its own checkout:",
                    "rrr-worker --once --in-place . --taskset \"$KEY\"",
                ),
            ],
        },
    ]
}

const VERDICTS: &[u8] = &[
    exit::FAILED,
    exit::CANCELLED,
    exit::NOTHING,
    exit::TIMED_OUT,
];

/// What --from does, for the tools that have it.
const FROM: &str = "--from cargo-test asks cargo for the test binaries, and each for its tests; --from nextest asks \
     'cargo nextest list --message-format json'. The words behind -- are options of cargo, and behind another -- \
     of the test binaries, or of cargo nextest run. A task is called PACKAGE::BINARY, as nextest calls it, or \
     'PACKAGE::BINARY TEST' with --per test. What cargo test would run is a task: a binary with a main of its own (harness = false) is one task \
     unless it lists its tests as libtest does, and then its exit code is the verdict; all doctests together are \
     the task doc/tests. Only a libtest binary without tests is left out. Binaries get the environment, the \
     folder, the filters and the runner that cargo would give them. Unless --slave says otherwise \
     'rrr-slave --adapter SOURCE' runs them, see rrr-runner(7). With --files-from F nothing is asked: F holds what \
     was said elsewhere.";

const OUTPUT: &str = "On a terminal stderr shows a live picture of the run (a plain line a second where TERM is dumb), \
     and stdout nothing. On a pipe stdout gets the events, one JSON object a line, written as they happen, and \
     stderr nothing but problems. Into a file goes the same, while a terminal on stderr shows the picture. \
     --output json, live or plain chooses for itself. plain is for the log of a CI job: a \
     line for what is worth keeping, and one for where the run stands, at most one a second while that changes, else \
     one every ten seconds.";
