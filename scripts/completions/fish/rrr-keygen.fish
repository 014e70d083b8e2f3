complete -c rrr-keygen -s h -l help -d 'Print help'
complete -c rrr-keygen -s V -l version -d 'Print version'
