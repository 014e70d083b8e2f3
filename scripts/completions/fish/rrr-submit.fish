complete -c rrr-submit -l files-from -d 'Names or JSON tasks, a line each; - is stdin' -r -F
complete -c rrr-submit -l from -d 'Let cargo list the tests' -r -f -a "cargo-test\t'The test binaries that cargo test builds'
nextest\t'The tests that cargo nextest lists'"
complete -c rrr-submit -l per -d 'One task for each' -r -f -a "binary\t'A test binary'
test\t'A single test'"
complete -c rrr-submit -l split-above -d 'Split spec files with a longer estimate' -r
complete -c rrr-submit -l setup -d 'Script that each worker runs before its slaves' -r
complete -c rrr-submit -l slave -d 'Shell command that starts a slave' -r
complete -c rrr-submit -l max-trials -d 'Most trials of a task' -r
complete -c rrr-submit -l worker-type -d 'Type of the workers to run on' -r
complete -c rrr-submit -l max-workers -d 'Most workers at once' -r
complete -c rrr-submit -l taskset-class -d 'Whose timings to use, and to add to' -r
complete -c rrr-submit -l unknown-spec-timeout -d 'Time for a spec file without an estimate' -r
complete -c rrr-submit -l least-timeout -d 'Least time for a spec file' -r
complete -c rrr-submit -l rerun-failed -d 'Submit again what did not pass in KEY' -r
complete -c rrr-submit -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-submit -l timeout -d 'Give up following after this time (exit 124)' -r
complete -c rrr-submit -l output -d 'What to show; auto is live on a terminal, else json' -r -f -a "auto\t''
json\t''
live\t''
plain\t''"
complete -c rrr-submit -l taskset -d 'Use this key, which must be free' -r
complete -c rrr-submit -l packaging-dir -d 'Folder to send, with its .rrr.toml' -r -F
complete -c rrr-submit -l rsync-name -d 'Name of the tree at its target [$USER]' -r
complete -c rrr-submit -l rsync-remote-path -d 'Where the tree goes [rsync_info in Redis]' -r
complete -c rrr-submit -l rsync-options -d 'Options of rsync [rsync_info in Redis]' -r
complete -c rrr-submit -l sign-key -d 'Sign the taskset with the secret key in FILE (rrr-keygen)' -r -F
complete -c rrr-submit -l sign-for -d 'How long the signature holds' -r
complete -c rrr-submit -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-submit -l redis-password-file -d 'File with the password of Redis' -r -F
complete -c rrr-submit -l redis-ca -d 'Authorities that may sign the certificate of Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-submit -l redis-cert -d 'Certificate to show to Redis, in PEM' -r -F
complete -c rrr-submit -l redis-key -d 'Key of that certificate, in PEM' -r -F
complete -c rrr-submit -s 0 -l null -d 'Names of --files-from end with NUL'
complete -c rrr-submit -l print-config -d 'Print each setting and its source, and exit'
complete -c rrr-submit -l follow -d 'Watch it to its end, and exit by its verdict'
complete -c rrr-submit -l key-only -d 'Print the taskset\'s key alone'
complete -c rrr-submit -l mkpath -d 'Make the folder of --rsync-remote-path'
complete -c rrr-submit -l no-rsync -d 'Do not send the tree: the workers have it'
complete -c rrr-submit -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-submit -s V -l version -d 'Print version'
