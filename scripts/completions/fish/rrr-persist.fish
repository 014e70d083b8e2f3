complete -c rrr-persist -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-persist -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-persist -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-persist -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-persist -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-persist -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-persist -l log-dir -d 'Folder for outputs and logs, one JSON document per taskset [default: ~/.local/state/rrr/log]' -r -F
complete -c rrr-persist -l keep-free -d 'Space to keep free there and on the disk of SQLite' -r
complete -c rrr-persist -l attempts -d 'Maximum attempts per taskset before it goes to the dead list' -r
complete -c rrr-persist -l drain -d 'Handle the queued tasksets, then exit'
complete -c rrr-persist -l retry-dead -d 'Requeue the messages of the dead list first'
complete -c rrr-persist -l rebuild-estimates -d 'Recompute all estimates from the database, publish them to Redis, and exit'
complete -c rrr-persist -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-persist -s V -l version -d 'Print version'
