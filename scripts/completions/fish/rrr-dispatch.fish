complete -c rrr-dispatch -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-dispatch -l redis-password-file -d 'File with the password of Redis' -r -F
complete -c rrr-dispatch -l redis-ca -d 'Authorities that may sign the certificate of Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-dispatch -l redis-cert -d 'Certificate to show to Redis, in PEM' -r -F
complete -c rrr-dispatch -l redis-key -d 'Key of that certificate, in PEM' -r -F
complete -c rrr-dispatch -l drain -d 'Handle everything pending, and its consequences, then exit'
complete -c rrr-dispatch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-dispatch -s V -l version -d 'Print version'
