complete -c rrr-wait -l timeout -d 'Give up after SEC seconds (exit code 124); the taskset continues' -r
complete -c rrr-wait -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-wait -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-wait -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-wait -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-wait -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-wait -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-wait -s V -l version -d 'Print version'
