# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rrr_history_global_optspecs
    string join \n db= class= since= limit= format= h/help V/version
end

function __fish_rrr_history_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rrr_history_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rrr_history_using_subcommand
    set -l cmd (__fish_rrr_history_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rrr-history -n "__fish_rrr_history_needs_command" -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-history -n "__fish_rrr_history_needs_command" -l class -d 'Only tasksets of this class' -r
complete -c rrr-history -n "__fish_rrr_history_needs_command" -l since -d 'How far to look back: 90m, 12h, 30d, 8w' -r
complete -c rrr-history -n "__fish_rrr_history_needs_command" -l limit -d 'Maximum number of lines' -r
complete -c rrr-history -n "__fish_rrr_history_needs_command" -l format -d 'Output format [text on a terminal, else jsonl]' -r -f -a "jsonl\t''
text\t''"
complete -c rrr-history -n "__fish_rrr_history_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -s V -l version -d 'Print version'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -f -a "tasksets" -d 'Finished tasksets, newest first'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -f -a "slowest" -d 'Spec files by mean run time, slowest first'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -f -a "flaky" -d 'Spec files that passed only after a retry, most often first'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -f -a "failures" -d 'Failed tasks, newest first'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -f -a "file" -d 'The runs of one spec file, newest first'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -f -a "prune" -d 'Remove old tasksets and their outputs'
complete -c rrr-history -n "__fish_rrr_history_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand tasksets" -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand tasksets" -l class -d 'Only tasksets of this class' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand tasksets" -l since -d 'How far to look back: 90m, 12h, 30d, 8w' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand tasksets" -l limit -d 'Maximum number of lines' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand tasksets" -l format -d 'Output format [text on a terminal, else jsonl]' -r -f -a "jsonl\t''
text\t''"
complete -c rrr-history -n "__fish_rrr_history_using_subcommand tasksets" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand slowest" -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand slowest" -l class -d 'Only tasksets of this class' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand slowest" -l since -d 'How far to look back: 90m, 12h, 30d, 8w' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand slowest" -l limit -d 'Maximum number of lines' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand slowest" -l format -d 'Output format [text on a terminal, else jsonl]' -r -f -a "jsonl\t''
text\t''"
complete -c rrr-history -n "__fish_rrr_history_using_subcommand slowest" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand flaky" -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand flaky" -l class -d 'Only tasksets of this class' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand flaky" -l since -d 'How far to look back: 90m, 12h, 30d, 8w' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand flaky" -l limit -d 'Maximum number of lines' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand flaky" -l format -d 'Output format [text on a terminal, else jsonl]' -r -f -a "jsonl\t''
text\t''"
complete -c rrr-history -n "__fish_rrr_history_using_subcommand flaky" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand failures" -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand failures" -l class -d 'Only tasksets of this class' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand failures" -l since -d 'How far to look back: 90m, 12h, 30d, 8w' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand failures" -l limit -d 'Maximum number of lines' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand failures" -l format -d 'Output format [text on a terminal, else jsonl]' -r -f -a "jsonl\t''
text\t''"
complete -c rrr-history -n "__fish_rrr_history_using_subcommand failures" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand file" -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand file" -l class -d 'Only tasksets of this class' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand file" -l since -d 'How far to look back: 90m, 12h, 30d, 8w' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand file" -l limit -d 'Maximum number of lines' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand file" -l format -d 'Output format [text on a terminal, else jsonl]' -r -f -a "jsonl\t''
text\t''"
complete -c rrr-history -n "__fish_rrr_history_using_subcommand file" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand prune" -l db -d 'sqlite:PATH or postgres://… [the state folder]' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand prune" -l keep -d 'Remove tasksets that finished longer ago than this: 12h, 30d, 8w' -r
complete -c rrr-history -n "__fish_rrr_history_using_subcommand prune" -l log-dir -d 'Folder with outputs and logs [default: ~/.local/state/rrr/log]' -r -F
complete -c rrr-history -n "__fish_rrr_history_using_subcommand prune" -l dry-run -d 'Only list the tasksets that would be removed'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand help; and not __fish_seen_subcommand_from tasksets slowest flaky failures file prune help" -f -a "tasksets" -d 'Finished tasksets, newest first'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand help; and not __fish_seen_subcommand_from tasksets slowest flaky failures file prune help" -f -a "slowest" -d 'Spec files by mean run time, slowest first'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand help; and not __fish_seen_subcommand_from tasksets slowest flaky failures file prune help" -f -a "flaky" -d 'Spec files that passed only after a retry, most often first'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand help; and not __fish_seen_subcommand_from tasksets slowest flaky failures file prune help" -f -a "failures" -d 'Failed tasks, newest first'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand help; and not __fish_seen_subcommand_from tasksets slowest flaky failures file prune help" -f -a "file" -d 'The runs of one spec file, newest first'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand help; and not __fish_seen_subcommand_from tasksets slowest flaky failures file prune help" -f -a "prune" -d 'Remove old tasksets and their outputs'
complete -c rrr-history -n "__fish_rrr_history_using_subcommand help; and not __fish_seen_subcommand_from tasksets slowest flaky failures file prune help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
