complete -c rrr-show -l format -d 'Output format [text]' -r -f -a "text\t''
json\t''
jsonl\t''
junit\t''
tap\t''
markdown\t''
github\t''
otlp-json\t''
trace\t''"
complete -c rrr-show -l file -d 'Write to this file atomically' -r -F
complete -c rrr-show -l task -d 'Print the output of this spec file\'s last trial' -r
complete -c rrr-show -l attempt -d 'The trial of --task to print, 1 for the first [the last]' -r
complete -c rrr-show -l trial -d 'Print the output of this trial' -r
complete -c rrr-show -l document -d 'Read the document that rrr-persist wrote to FILE' -r -F
complete -c rrr-show -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-show -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-show -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-show -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-show -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-show -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-show -l log-dir -d 'Folder with the outputs that rrr-persist wrote' -r -F
complete -c rrr-show -l log -d 'Print the logs of the taskset, its workers and slaves'
complete -c rrr-show -l raw -d 'Keep terminal escapes as they are'
complete -c rrr-show -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-show -s V -l version -d 'Print version'
