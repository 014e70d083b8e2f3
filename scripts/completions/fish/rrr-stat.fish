complete -c rrr-stat -l format -d 'Output format' -r -f -a "json\t''
prometheus\t''"
complete -c rrr-stat -l file -d 'Write to this file atomically' -r -F
complete -c rrr-stat -l ignore -d 'Skip these checks' -r -f -a "dead\t'Messages were refused'
queue\t'A message is not being handled'
waiting\t'A taskset has no worker'
roles\t'No arbiter or no dispatcher is running'
memory\t'Redis is almost out of memory'"
complete -c rrr-stat -l max-dead -d 'Maximum refused messages per queue' -r
complete -c rrr-stat -l max-queue-age -d 'Maximum seconds that a message may wait to be handled' -r
complete -c rrr-stat -l max-waiting -d 'Maximum seconds that a taskset may wait for its first worker' -r
complete -c rrr-stat -l max-memory -d 'Maximum percentage of its maxmemory that Redis may use' -r
complete -c rrr-stat -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-stat -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-stat -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-stat -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-stat -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-stat -l check -d 'Print only problems; exit with 1 if there are any'
complete -c rrr-stat -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-stat -s V -l version -d 'Print version'
