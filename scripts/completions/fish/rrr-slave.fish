complete -c rrr-slave -l redis -d 'redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]' -r
complete -c rrr-slave -l redis-password-file -d 'File with the Redis password' -r -F
complete -c rrr-slave -l redis-ca -d 'Certificate authorities for Redis, in PEM [default: the system\'s]' -r -F
complete -c rrr-slave -l redis-cert -d 'Client certificate for Redis, in PEM' -r -F
complete -c rrr-slave -l redis-key -d 'Key of the client certificate, in PEM' -r -F
complete -c rrr-slave -l taskset -d 'Taskset whose tasks to run' -r
complete -c rrr-slave -l worker-id -d 'Worker of this slave [default: the host name]' -r
complete -c rrr-slave -l heartbeat -d 'Heartbeat timeout in seconds' -r
complete -c rrr-slave -l trial-memory -d 'Maximum MiB of a trial as a whole, by its cgroup' -r
complete -c rrr-slave -l trial-pids -d 'Maximum processes and threads of a trial' -r
complete -c rrr-slave -l outputs -d 'Folder for files that tests leave on purpose' -r -F
complete -c rrr-slave -l adapter -d 'How tasks are run' -r -f -a "exec\t'Run CMD once for each task'
serve\t'Start CMD once; it speaks the runner protocol, see rrr-runner(7)'
rspec\t'Load RSpec and the suite\'s helpers once'
pytest\t'Load pytest and the suite\'s conftest files once'
cargo-test\t'Run Rust\'s test binaries, which cargo test builds once'
nextest\t'Run test binaries, or single tests, by cargo nextest, which builds or unpacks them once'"
complete -c rrr-slave -l pending-code -d 'Exit code of CMD that means pending' -r
complete -c rrr-slave -l report -d 'Fill in the counts from a report: junit, tap, rspec-json, libtest, libtest-json, go-json or auto, from PATH ({} is the spec file); CMD\'s {report} is its path' -r
complete -c rrr-slave -l preload -d 'Load FILE once, before all spec files [default: spec/rails_helper.rb or spec/spec_helper.rb, topmost conftest.py]' -r
complete -c rrr-slave -l isolation -d 'Each spec file in a fork, or all in the runner [default: fork]' -r -f -a "fork\t''
none\t''"
complete -c rrr-slave -l interpreter -d 'Ruby or Python to use, with its arguments [default: bundle exec ruby if there is a Gemfile; the Python of the virtual environment, or of the pytest on PATH]' -r
complete -c rrr-slave -l memory-max -d 'Maximum private MiB of a test process' -r
complete -c rrr-slave -l boot-timeout -d 'Seconds to start a runner, or to build' -r
complete -c rrr-slave -l end-timeout -d 'Seconds to end a runner' -r
complete -c rrr-slave -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rrr-slave -s V -l version -d 'Print version'
