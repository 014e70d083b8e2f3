complete -c rrr-watch -l timeout -d 'Give up after SEC seconds (exit code 124); the taskset continues' -r
complete -c rrr-watch -l output -d 'Output format; auto: live on a terminal, else json' -r -f -a "auto\t''
json\t''
live\t''
plain\t''"
complete -c rrr-watch -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-watch -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-watch -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-watch -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-watch -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-watch -s q -l quiet -d 'Show only failures and the summary'
complete -c rrr-watch -s v -l verbose -d 'Also show files that pass, with their output'
complete -c rrr-watch -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-watch -s V -l version -d 'Print version'
