complete -c rrr-cancel -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-cancel -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-cancel -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-cancel -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-cancel -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-cancel -l rsync-name -d 'Cancel the active tasksets of this rsync name' -r
complete -c rrr-cancel -l all -d 'Cancel every active taskset'
complete -c rrr-cancel -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-cancel -s V -l version -d 'Print version'
