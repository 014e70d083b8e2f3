complete -c rrr-stat -l format -d 'In this form' -r -f -a "json\t''
prometheus\t''"
complete -c rrr-stat -l file -d 'Write to this file, whole or not at all' -r -F
complete -c rrr-stat -l ignore -d 'Do not worry about this' -r -f -a "dead\t'Messages were refused'
queue\t'A message is not handled'
waiting\t'A taskset finds no worker'
roles\t'No arbiter, or no dispatcher, is at work'
memory\t'Redis has hardly memory left'"
complete -c rrr-stat -l max-dead -d 'Refused messages of a queue that are no reason to worry' -r
complete -c rrr-stat -l max-queue-age -d 'Seconds that a message may wait to be handled' -r
complete -c rrr-stat -l max-waiting -d 'Seconds that a taskset may wait for its first worker' -r
complete -c rrr-stat -l max-memory -d 'Percent of its maxmemory that Redis may use' -r
complete -c rrr-stat -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-stat -l redis-password-file -d 'File with the password of Redis' -r -F
complete -c rrr-stat -l redis-ca -d 'Authorities that may sign the certificate of Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-stat -l redis-cert -d 'Certificate to show to Redis, in PEM' -r -F
complete -c rrr-stat -l redis-key -d 'Key of that certificate, in PEM' -r -F
complete -c rrr-stat -l check -d 'Print only what should worry; exit with 1 if anything does'
complete -c rrr-stat -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-stat -s V -l version -d 'Print version'
