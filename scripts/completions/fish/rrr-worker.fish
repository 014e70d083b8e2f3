complete -c rrr-worker -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-worker -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-worker -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-worker -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-worker -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-worker -l worker-id -d 'Name of this worker [default: the host name]' -r
complete -c rrr-worker -l worker-type -d 'Type of the tasksets to take' -r
complete -c rrr-worker -l slaves -d 'Number of slaves [default: the number of processors]' -r
complete -c rrr-worker -l working-dir -d 'Folder for the trees [default: ~/.local/state/rrr/work]' -r -F
complete -c rrr-worker -l in-place -d 'Use the tree in this folder, without rsync' -r -F
complete -c rrr-worker -l rsync-remote-path -d 'Where to fetch trees from [default: rsync_info in Redis]' -r
complete -c rrr-worker -l rsync-options -d 'rsync options [default: rsync_info in Redis, or --archive --delete]' -r
complete -c rrr-worker -l heartbeat -d 'Heartbeat timeout in seconds' -r
complete -c rrr-worker -l env-allow -d 'Variables passed to tests, with PATH and the protocol\'s [default: all except rrr\'s own]' -r
complete -c rrr-worker -l trial-memory -d 'Maximum MiB of a trial as a whole, by its cgroup' -r
complete -c rrr-worker -l trial-pids -d 'Maximum processes and threads of a trial' -r
complete -c rrr-worker -l outputs -d 'Folder for files that tests leave on purpose' -r -F
complete -c rrr-worker -l trust -d 'Run only tasksets signed with a public key in FILE' -r -F
complete -c rrr-worker -l taskset -d 'Run this taskset without the dispatcher, then exit' -r
complete -c rrr-worker -l wait -d 'Wait SEC seconds for the taskset (exit 124) [1800]' -r
complete -c rrr-worker -l timeout -d 'Stop after SEC seconds, and return the tasks (exit 124)' -r
complete -c rrr-worker -l once -d 'Run one taskset, then exit'
complete -c rrr-worker -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-worker -s V -l version -d 'Print version'
