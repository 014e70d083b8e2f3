complete -c rrr-local -s j -l jobs -d 'Number of slaves [number of processors]' -r
complete -c rrr-local -l files-from -d 'Names or JSON tasks, one per line; - is stdin' -r -F
complete -c rrr-local -l from -d 'Test tool that lists and runs the tests' -r -f -a "rspec\t'The files that RSpec would load'
pytest\t'The files in which pytest would collect tests'
cargo-test\t'The test binaries that cargo test builds'
nextest\t'The tests that cargo nextest lists'"
complete -c rrr-local -l per -d 'Unit of a task of cargo-test or nextest' -r -f -a "binary\t'A test binary'
test\t'A single test'"
complete -c rrr-local -l split-above -d 'Split spec files with longer estimates' -r
complete -c rrr-local -l setup -d 'Script each worker runs before its slaves' -r
complete -c rrr-local -l slave -d 'Shell command that starts a slave' -r
complete -c rrr-local -l max-trials -d 'Maximum trials per task' -r
complete -c rrr-local -l worker-type -d 'Type of workers to run on' -r
complete -c rrr-local -l max-workers -d 'Maximum number of workers' -r
complete -c rrr-local -l taskset-class -d 'Class of run times to use and update' -r
complete -c rrr-local -l unknown-spec-timeout -d 'Timeout for files without an estimate' -r
complete -c rrr-local -l least-timeout -d 'Minimum timeout per spec file' -r
complete -c rrr-local -l max-fail -d 'End the run once N tasks, or N% of them, have failed' -r
complete -c rrr-local -l retry-budget -d 'Retry at most N times in the whole run, or N% of its tasks' -r
complete -c rrr-local -l retry-on -d 'Retry only trials with these statuses' -r -f -a "failed\t'The test failed'
error\t'The test could not be run, or its runner broke'
timeout\t'The test took too long'"
complete -c rrr-local -l flaky -d 'Verdict on a task that passed after a failure' -r -f -a "pass\t'The task has passed'
fail\t'The taskset fails'"
complete -c rrr-local -l profile -d 'Use the settings of [profile.NAME] in .rrr.toml' -r
complete -c rrr-local -l rerun-failed -d 'Run again what did not pass in KEY, or in last' -r
complete -c rrr-local -l export -d 'Write a report at the end; may be repeated' -r
complete -c rrr-local -l log-dir -d 'Folder with the outputs of recorded runs' -r -F
complete -c rrr-local -l timeout -d 'Stop after SEC seconds (exit 124)' -r
complete -c rrr-local -l output -d 'Output format; auto: live on a terminal, else json' -r -f -a "auto\t''
json\t''
live\t''
plain\t''"
complete -c rrr-local -l trial-memory -d 'Maximum MiB of a trial as a whole, by its cgroup' -r
complete -c rrr-local -l trial-pids -d 'Maximum processes and threads of a trial' -r
complete -c rrr-local -l outputs -d 'Folder for files that tests leave on purpose' -r -F
complete -c rrr-local -l packaging-dir -d 'Folder of the suite, with its .rrr.toml' -r -F
complete -c rrr-local -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-local -s 0 -l null -d 'Names in --files-from end with NUL'
complete -c rrr-local -l fail-fast -d 'End the run at the first failed task'
complete -c rrr-local -l list -d 'Print the tasks as JSON lines, and run nothing'
complete -c rrr-local -l print-config -d 'Print each setting and its source, then exit'
complete -c rrr-local -l init -d 'Write a commented .rrr.toml, and run nothing'
complete -c rrr-local -l no-history -d 'Neither use nor record the history of this folder'
complete -c rrr-local -s q -l quiet -d 'Show only failures and the summary'
complete -c rrr-local -s v -l verbose -d 'Also show files that pass, with their output'
complete -c rrr-local -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-local -s V -l version -d 'Print version'
