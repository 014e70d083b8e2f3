complete -c rrr-persist -l redis -d 'redis://, rediss:// or unix:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-persist -l redis-password-file -d 'File with the password of Redis' -r -F
complete -c rrr-persist -l log-dir -d 'Folder for one JSON document a taskset [default: ~/.local/state/rrr/log]' -r -F
complete -c rrr-persist -l drain -d 'Handle what is queued, then exit'
complete -c rrr-persist -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-persist -s V -l version -d 'Print version'
