complete -c rrr -l list -d 'List the tools that are installed'
complete -c rrr -s h -l help -d 'Print help'
complete -c rrr -s V -l version -d 'Print version'
