# Prints the numbers of the examples of a file that would run, and of the groups that have others too,
# as JSON: for rrr-submit --split-above.
#
# usage: ruby list_rspec.rb [RSPEC-OPTION...] FILE

out = $stdout.dup
$stdout.reopen($stderr)
require 'json'
require 'rspec/core'
RSpec::Core::Runner.disable_autorun!
runner = RSpec::Core::Runner.new(RSpec::Core::ConfigurationOptions.new(ARGV))
runner.configure($stderr, $stderr)
RSpec.configuration.load_spec_files
exit 1 if RSpec.world.wants_to_quit
# By numbers below this file, those of a file that it loads would not be run.
file = File.expand_path(ARGV.last)
others = RSpec.world.example_groups.map { |group| group.id[/\A(.*)\[/m, 1] }.uniq
                   .reject { |other| File.expand_path(other) == file }
abort "it loads examples of '#{others.first}' too" unless others.empty?
numbers = ->(id) { id[/\[([\d:]+)\]\z/, 1].split(':') }
groups = RSpec.world.example_groups.flat_map(&:descendants)
examples = groups.flat_map(&:filtered_examples).map { |example| numbers[example.id] }
partial = groups.select { |group| group.descendants.any? { |g| g.filtered_examples.size < g.examples.size } }
out.puts JSON.generate(examples: examples, partial: partial.map { |group| numbers[group.id] })
