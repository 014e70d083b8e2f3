complete -c rrr-list -l redis -d 'redis://, rediss:// or unix:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-list -l redis-password-file -d 'File with the password of Redis' -r -F
complete -c rrr-list -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-list -s V -l version -d 'Print version'
