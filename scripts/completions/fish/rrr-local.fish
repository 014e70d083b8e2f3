complete -c rrr-local -s j -l jobs -d 'Slaves to run at once [number of processors]' -r
complete -c rrr-local -l files-from -d 'Names or JSON tasks, a line each; - is stdin' -r -F
complete -c rrr-local -l from -d 'Let cargo list the tests' -r -f -a "cargo-test\t'The test binaries that cargo test builds'
nextest\t'The tests that cargo nextest lists'"
complete -c rrr-local -l per -d 'One task for each' -r -f -a "binary\t'A test binary'
test\t'A single test'"
complete -c rrr-local -l split-above -d 'Split spec files with a longer estimate' -r
complete -c rrr-local -l setup -d 'Script that each worker runs before its slaves' -r
complete -c rrr-local -l slave -d 'Shell command that starts a slave' -r
complete -c rrr-local -l max-trials -d 'Most trials of a task' -r
complete -c rrr-local -l worker-type -d 'Type of the workers to run on' -r
complete -c rrr-local -l max-workers -d 'Most workers at once' -r
complete -c rrr-local -l taskset-class -d 'Whose timings to use, and to add to' -r
complete -c rrr-local -l unknown-spec-timeout -d 'Time for a spec file without an estimate' -r
complete -c rrr-local -l least-timeout -d 'Least time for a spec file' -r
complete -c rrr-local -l timeout -d 'Give up after this time (exit 124)' -r
complete -c rrr-local -l output -d 'What to show; auto is live on a terminal, else json' -r -f -a "auto\t''
json\t''
live\t''
plain\t''"
complete -c rrr-local -l trial-memory -d 'Most MiB of a trial as a whole, by its cgroup' -r
complete -c rrr-local -l trial-pids -d 'Most processes and threads of a trial' -r
complete -c rrr-local -l outputs -d 'Where to keep what tests leave on purpose' -r -F
complete -c rrr-local -l packaging-dir -d 'Folder of the suite, with its .rrr.toml' -r -F
complete -c rrr-local -s 0 -l null -d 'Names of --files-from end with NUL'
complete -c rrr-local -l print-config -d 'Print each setting and its source, and exit'
complete -c rrr-local -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-local -s V -l version -d 'Print version'
