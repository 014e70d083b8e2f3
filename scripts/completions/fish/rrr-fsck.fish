complete -c rrr-fsck -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-fsck -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-fsck -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-fsck -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-fsck -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-fsck -l pause -d 'Seconds before each suspected violation is checked again' -r
complete -c rrr-fsck -l all -d 'Check all tasksets and keys'
complete -c rrr-fsck -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-fsck -s V -l version -d 'Print version'
