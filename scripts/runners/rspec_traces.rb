# What a spec file may leave behind in this process, with no isolation: restored where that can be, and
# else a reason to replace the process.
module RrrRunner
  # The settings of RSpec: hooks, filters, modules, shared examples. They are restored in place, since
  # parts of RSpec hold on to them.
  class Settings
    # Parts whose variables are settings too.
    PARTS = /\ARSpec::(Core::(Configuration|FilterManager|InclusionRules|ExclusionRules|FilterRules|BacktraceFormatter|
      Hooks::HookCollections|FilterableItemRepository::\w+|SharedExampleGroup::Registry|Ordering::\w+)|
      Mocks::Configuration|Expectations::Configuration)\z/x.freeze
    # Variables that belong to the run of a file, or to its end.
    RUN = %i[@world @reporter @formatter_loader @output_stream @output_wrapper @error_stream @deprecation_stream
             @files_to_run @files_or_directories_to_run @loaded_spec_files @start_time @spec_files_loaded
             @before_suite_hooks @after_suite_hooks @owner @configuration @reporter_buffer @mock_framework
             @expectation_frameworks @currently_loading_spec_file @last_run_statuses
             @spec_files_with_failures].freeze
    # Variables that change though nobody has set anything.
    CACHES = %i[@memoized_lookups @applicable_keys @proc_keys @used @filter_manager].freeze

    def initialize(*roots)
      @records = {}.compare_by_identity
      roots.compact.each { |root| walk(root, true) }
    end

    # Whether somebody has set something.
    def changed?
      @records.any? { |object, (saved, counts)| counts && differs?(object, saved) }
    end

    def restore
      @records.each do |object, (saved, _)|
        case object
        when Array, Hash then object.replace(saved)
        else set?(object) ? replace_set(object, saved) : restore_variables(object, saved)
        end
      end
    end

    private

    def walk(object, counts)
      return if @records.key?(object) || object.frozen?
      if object.instance_of?(Array) || object.instance_of?(Hash)
        # Shared examples of a group go with the group.
        @records[object] = [object.dup, counts && !(object.instance_of?(Hash) && object.default_proc)]
        (object.instance_of?(Hash) ? object.values : object).each { |item| walk(item, counts) }
      elsif set?(object)
        @records[object] = [object.to_a, counts]
      elsif PARTS.match?(object.class.name.to_s)
        saved = variables(object)
        @records[object] = [saved, counts]
        saved.each { |name, value| walk(value, counts && !CACHES.include?(name)) }
      end
    end

    def set?(object)
      RSpec::Core::Set === object || (defined?(::Set) && ::Set === object)
    end

    def variables(object)
      (object.instance_variables - RUN).to_h { |name| [name, object.instance_variable_get(name)] }
    end

    def differs?(object, saved)
      case object
      when Array then object.size != saved.size || object.each_with_index.any? { |item, at| !item.equal?(saved[at]) }
      when Hash then object.size != saved.size || object.any? { |key, item| !item.equal?(saved[key]) }
      else
        return object.to_a != saved if set?(object)
        now = variables(object)
        (now.keys | saved.keys).any? { |name| !CACHES.include?(name) && !now[name].equal?(saved[name]) }
      end
    end

    def replace_set(object, saved)
      object.clear
      object.merge(saved)
    end

    def restore_variables(object, saved)
      (variables(object).keys - saved.keys).each { |name| object.remove_instance_variable(name) }
      saved.each { |name, value| object.instance_variable_set(name, value) }
    end
  end

  # Methods on which the runner, or RSpec, relies.
  class Methods
    CORE = {
      Process.singleton_class => %i[pid ppid clock_gettime kill fork wait wait2 setpgid exit!],
      Kernel => %i[exit exit! abort fork at_exit trap srand rand raise catch throw puts print p require load caller],
      Kernel.singleton_class => %i[exit exit! abort fork at_exit trap srand rand raise],
      Signal.singleton_class => %i[trap list], Time.singleton_class => %i[now at],
      IO => %i[write syswrite puts print << flush close read read_nonblock sync=],
      IO.singleton_class => %i[select pipe], Dir.singleton_class => %i[chdir pwd],
      File.singleton_class => %i[expand_path exist? file? write read open join dirname basename],
      String => %i[to_s encode scrub byteslice bytesize gsub sub split == << + =~ start_with? inspect hash eql?],
      Array => %i[each map join push << select reject first any? all? == dup], Hash => %i[each [] []= fetch key? merge dup],
      Exception => %i[message backtrace full_message to_s cause], Exception.singleton_class => %i[new exception ===],
      Thread.singleton_class => %i[current new list], BasicObject => %i[== ! != instance_exec instance_eval],
      Object.singleton_class => %i[new], Proc => %i[call], Integer => %i[+ - == > <]
    }.freeze
    RSPEC = %w[RSpec::Core::Example RSpec::Core::Reporter RSpec::Core::World RSpec::Core::Configuration
               RSpec::Core::ExampleGroup RSpec::Core::Hooks::HookCollections RSpec::Core::FilterManager
               RSpec::Core::Example::ExecutionResult RSpec::Expectations::ExpectationTarget
               RSpec::Expectations::PositiveExpectationHandler RSpec::Expectations::NegativeExpectationHandler].freeze

    def initialize
      names = CORE.to_a
      RSPEC.each do |path|
        next unless Object.const_defined?(path)
        part = Object.const_get(path)
        [part, part.singleton_class].each do |one|
          names << [one, one.instance_methods(false) + one.private_instance_methods(false)]
        end
      end
      @methods = names.map { |owner, list| [owner, list.to_h { |name| [name, find(owner, name)] }.compact] }
    end

    # The name of one that is another by now, or nil.
    def replaced
      @methods.each do |owner, list|
        list.each { |name, method| return "#{owner.inspect}##{name}" if find(owner, name) != method }
      end
      nil
    end

    private

    def find(owner, name)
      owner.instance_method(name)
    rescue NameError
      nil
    end
  end

  # The state of the process, as it was when the suite's helpers had been loaded.
  class Traces
    # Seconds that a thread has to end by itself.
    LAST = 0.1
    LIMITS = %i[NOFILE FSIZE CPU CORE DATA AS STACK NPROC].freeze
    # Libraries of Ruby and of RSpec, which set nothing that a file would miss.
    OWN = /\A(#{Regexp.union(RbConfig::CONFIG.values_at('rubylibdir', 'rubyarchdir').map { |path| "#{path}/" })})|
      \/rspec-(core|support|expectations|mocks)-[^\/]*\/lib\/|\/diff-lcs-/x.freeze
    # Ruby's own, and those that cannot be trapped.
    UNTOUCHED = %w[KILL STOP SEGV BUS ILL FPE VTALRM].freeze

    def initialize(luck)
      @luck = luck
      @streams = [$stdin, $stdout, $stderr]
      @outputs = [STDOUT, STDERR].map { |io| [io, io.dup, io.sync] }
      @env = ENV.to_h
      @cwd = Dir.pwd
      @umask = File.umask
      @limits = LIMITS.to_h { |name| [name, Process.getrlimit(name)] }
      @ids = ids
      @threads = Thread.list
      @signals = (Signal.list.keys - UNTOUCHED).to_h { |name| [name, handler(name)] }.compact
      @globals = globals
      @paths = $LOAD_PATH.dup
      @methods = Methods.new
      @children = children
      @rspec = [RSpec.configuration, RSpec.world]
      @settings = settings
      @features = $LOADED_FEATURES.dup
    end

    # Prepares a file: it finds what the first one found, and these variables.
    def prepare(env)
      ENV.replace(@env.merge(env))
      @luck.restore
    end

    # Restores what can be; why the process should be replaced, if it should.
    def restore
      steps = %i[streams outputs ids_and_limits signals_and_globals folder settings leftovers methods]
      steps.map { |step| attempt(step) }.compact.first
    end

    private

    def attempt(step)
      send("restore_#{step}")
    rescue StandardError, NotImplementedError => e
      "a spec file left something that cannot be restored (#{step}: #{e.class})"
    end

    def settings
      registry = RSpec.world.shared_example_group_registry
      # Made on demand, and then a change.
      %i[hooks on_example_group_definition_callbacks format_docstrings_block].each { |name| RSpec.configuration.send(name) }
      registry.send(:shared_example_groups)[:main]
      parts = [RSpec.configuration, registry]
      parts << RSpec::Mocks.configuration if defined?(RSpec::Mocks)
      parts << RSpec::Expectations.configuration if defined?(RSpec::Expectations)
      Settings.new(*parts)
    end

    def restore_streams
      $stdin, $stdout, $stderr = @streams
      nil
    end

    def restore_outputs
      @outputs.each do |io, copy, sync|
        return "a spec file closed #{io.equal?(STDOUT) ? '$stdout' : '$stderr'}" if io.closed?
        Kept.flush(io)
        now, before = io.stat, copy.stat
        io.reopen(copy) unless [now.dev, now.ino] == [before.dev, before.ino]
        io.sync = sync
      end
      nil
    end

    def ids
      [Process.uid, Process.euid, Process.gid, Process.egid, Process.getpgrp, Process.getpriority(Process::PRIO_PROCESS, 0)]
    end

    def restore_ids_and_limits
      File.umask(@umask)
      @limits.each { |name, limit| Process.setrlimit(name, *limit) unless Process.getrlimit(name) == limit }
      'a spec file changed the user, the priority or the group of its process' if ids != @ids
    end

    # Reads a handler: that takes to set another one.
    def handler(name)
      before = Kept.trap(name, 'DEFAULT')
      Kept.trap(name, before) if before
      before
    rescue ArgumentError, SystemCallError
      nil
    end

    def globals
      [$/, $,, $;, $VERBOSE, $DEBUG, $0, Encoding.default_external, Encoding.default_internal,
       Thread.abort_on_exception, Thread.report_on_exception]
    end

    def restore_signals_and_globals
      @signals.each { |name, before| Kept.trap(name, before) }
      # New ones stay: they may belong to a gem that was loaded on demand.
      $LOAD_PATH.unshift(*(@paths - $LOAD_PATH))
      GC.stress = false
      GC.enable
      return if globals == @globals
      # Ruby warns of some of these.
      $VERBOSE = nil
      $/, $,, $;, _, $DEBUG, $0, external, internal = @globals
      Encoding.default_external, Encoding.default_internal = external, internal
      Thread.abort_on_exception, Thread.report_on_exception = @globals.last(2)
      $VERBOSE = @globals[3]
      nil
    end

    def restore_folder
      Kept.chdir(@cwd)
      nil
    end

    def restore_settings
      was_reset = @rspec != [RSpec.configuration, RSpec.world]
      RSpec.configuration, RSpec.world = @rspec
      features = ($LOADED_FEATURES - @features).grep_v(OWN)
      @features = $LOADED_FEATURES.dup
      if @settings.changed? && !features.empty?
        return "a spec file loaded '#{RrrRunner.text(features.last, 200)}', and settings of RSpec changed: name it with --preload"
      end
      @settings.restore
      'a spec file reset RSpec' if was_reset
    end

    def restore_leftovers
      threads = Thread.list - @threads
      threads.reject! { |thread| thread.name =~ /\ATimeout/ || thread.class.name == 'Process::Waiter' }
      until_then = Kept.now + LAST
      threads.each { |thread| thread.join([until_then - Kept.now, 0].max) rescue nil } # rubocop:disable Style/RescueModifier
      return 'a spec file left a thread running' if threads.any?(&:alive?)
      return if children == @children
      nil while Process.wait(-1, Process::WNOHANG)
      'a spec file left a process running' unless (children - @children).empty?
    rescue Errno::ECHILD
      nil
    end

    def children
      File.read("/proc/self/task/#{Kept.pid}/children").split
    rescue SystemCallError
      []
    end

    def restore_methods
      name = @methods.replaced
      name && "a spec file replaced the method #{name}"
    end
  end
end

