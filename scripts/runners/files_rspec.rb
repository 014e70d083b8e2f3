# Prints the files that RSpec would load, as JSON, without loading them or the files that they require:
# for rrr-local, and for --from rspec.
#
# usage: ruby files_rspec.rb [RSPEC-OPTION...] [FILE-OR-FOLDER...]

out = $stdout.dup
$stdout.reopen($stderr)
require 'json'
require 'rspec/core'
RSpec::Core::Runner.disable_autorun!
# RSpec has a default folder only under this name.
$0 = 'rspec'
options = RSpec::Core::ConfigurationOptions.new(ARGV).options
config = RSpec::Core::Configuration.new
%i[default_path pattern exclude_pattern].each do |name|
  config.public_send("#{name}=", options[name]) if options[name]
end
config.files_or_directories_to_run = options[:files_or_directories_to_run]
here = "#{Dir.pwd}/"
out.puts JSON.generate(config.files_to_run.map { |file| File.expand_path(file).delete_prefix(here) }.uniq)
