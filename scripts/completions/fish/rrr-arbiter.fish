complete -c rrr-arbiter -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-arbiter -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-arbiter -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-arbiter -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-arbiter -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-arbiter -l speculate-after -d 'Start a second trial on an idle slave when a task runs longer than X times its estimate' -r
complete -c rrr-arbiter -l drain -d 'Handle everything pending, and its consequences, then exit'
complete -c rrr-arbiter -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-arbiter -s V -l version -d 'Print version'
