complete -c rrr-dispatch -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-dispatch -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-dispatch -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-dispatch -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-dispatch -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-dispatch -l drain -d 'Handle everything pending, and its consequences, then exit'
complete -c rrr-dispatch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-dispatch -s V -l version -d 'Print version'
