complete -c rrr-submit -l files-from -d 'Names or JSON tasks, one per line; - is stdin' -r -F
complete -c rrr-submit -l from -d 'Test tool that lists and runs the tests' -r -f -a "rspec\t'The files that RSpec would load'
pytest\t'The files in which pytest would collect tests'
cargo-test\t'The test binaries that cargo test builds'
nextest\t'The tests that cargo nextest lists'"
complete -c rrr-submit -l per -d 'Unit of a task of cargo-test or nextest' -r -f -a "binary\t'A test binary'
test\t'A single test'"
complete -c rrr-submit -l split-above -d 'Split spec files with longer estimates' -r
complete -c rrr-submit -l setup -d 'Script each worker runs before its slaves' -r
complete -c rrr-submit -l slave -d 'Shell command that starts a slave' -r
complete -c rrr-submit -l max-trials -d 'Maximum trials per task' -r
complete -c rrr-submit -l worker-type -d 'Type of workers to run on' -r
complete -c rrr-submit -l max-workers -d 'Maximum number of workers' -r
complete -c rrr-submit -l taskset-class -d 'Class of run times to use and update' -r
complete -c rrr-submit -l unknown-spec-timeout -d 'Timeout for files without an estimate' -r
complete -c rrr-submit -l least-timeout -d 'Minimum timeout per spec file' -r
complete -c rrr-submit -l max-fail -d 'End the run once N tasks, or N% of them, have failed' -r
complete -c rrr-submit -l retry-budget -d 'Retry at most N times in the whole run, or N% of its tasks' -r
complete -c rrr-submit -l retry-on -d 'Retry only trials with these statuses' -r -f -a "failed\t'The test failed'
error\t'The test could not be run, or its runner broke'
timeout\t'The test took too long'"
complete -c rrr-submit -l flaky -d 'Verdict on a task that passed after a failure' -r -f -a "pass\t'The task has passed'
fail\t'The taskset fails'"
complete -c rrr-submit -l profile -d 'Use the settings of [profile.NAME] in .rrr.toml' -r
complete -c rrr-submit -l rerun-failed -d 'Resubmit the tasks of KEY that did not pass' -r
complete -c rrr-submit -l timeout -d 'Stop following after SEC seconds (exit 124)' -r
complete -c rrr-submit -l output -d 'Output format; auto: live on a terminal, else json' -r -f -a "auto\t''
json\t''
live\t''
plain\t''"
complete -c rrr-submit -l taskset -d 'Key of the taskset; must be unused' -r
complete -c rrr-submit -l packaging-dir -d 'Folder to send, with its .rrr.toml' -r -F
complete -c rrr-submit -l rsync-name -d 'Name of the uploaded tree [$USER]' -r
complete -c rrr-submit -l rsync-remote-path -d 'Where to upload [rsync_info in Redis]' -r
complete -c rrr-submit -l rsync-options -d 'rsync options [rsync_info in Redis]' -r
complete -c rrr-submit -l sign-key -d 'Sign the taskset with the secret key in FILE (rrr-keygen)' -r -F
complete -c rrr-submit -l sign-for -d 'Seconds until the signature expires' -r
complete -c rrr-submit -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-submit -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-submit -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-submit -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-submit -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-submit -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-submit -s 0 -l null -d 'Names in --files-from end with NUL'
complete -c rrr-submit -l fail-fast -d 'End the run at the first failed task'
complete -c rrr-submit -l list -d 'Print the tasks as JSON lines, and run nothing'
complete -c rrr-submit -l print-config -d 'Print each setting and its source, then exit'
complete -c rrr-submit -l follow -d 'Watch until it finishes; exit with its verdict'
complete -c rrr-submit -s q -l quiet -d 'Show only failures and the summary'
complete -c rrr-submit -s v -l verbose -d 'Also show files that pass, with their output'
complete -c rrr-submit -l key-only -d 'Print only the taskset\'s key'
complete -c rrr-submit -l mkpath -d 'Create the folder of --rsync-remote-path'
complete -c rrr-submit -l no-rsync -d 'Do not upload: the workers have the tree'
complete -c rrr-submit -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-submit -s V -l version -d 'Print version'
