# The traces that a spec file may leave in this process, without isolation: restored where possible, and
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
    # Variables that change without being set.
    CACHES = %i[@memoized_lookups @applicable_keys @proc_keys @used @filter_manager].freeze

    # An array, a hash or a set. Ruby compares identities first, so that this takes a microsecond.
    class Collection
      def initialize(object, counts)
        @object, @counts, @saved = object, counts, object.dup
      end

      def same?
        # Most are empty.
        @saved.empty? ? @object.empty? : @object == @saved
      end

      def changed?
        @counts && !same?
      end

      def restore
        @object.replace(@saved)
      end
    end

    # An object of RSpec.
    class Part
      def initialize(object, counts)
        @object, @counts = object, counts
        @found = object.instance_variables
        @names = @found - RUN
        @values = @names.map { |name| object.instance_variable_get(name) }
        # Written out, since it is asked after each file: by instance_variable_get it took twice as long.
        terms = @names.each_index.map { |at| "#{@names[at]}.equal?(saved[#{at}])" }
        @compare = eval("proc { |saved| #{['true', *terms].join(' && ')} }") # rubocop:disable all
      end

      attr_reader :names, :values

      def same?
        now = @object.instance_variables
        return false unless now == @found || (now - RUN - @names).empty?
        @found = now
        @object.instance_exec(@values, &@compare)
      end

      def changed?
        return false if !@counts || same?
        saved = @names.zip(@values).to_h
        names = (@object.instance_variables | @names) - RUN - CACHES
        names.any? { |name| !@object.instance_variable_get(name).equal?(saved[name]) }
      end

      def restore
        (@object.instance_variables - RUN - @names).each { |name| @object.remove_instance_variable(name) }
        @names.zip(@values) { |name, value| @object.instance_variable_set(name, value) }
      end
    end

    def initialize(*roots)
      records = {}.compare_by_identity
      roots.compact.each { |root| walk(root, true, records) }
      @records = records.values
    end

    # Whether the test has set something.
    def changed?
      @records.any?(&:changed?)
    end

    def restore
      @records.each { |record| record.restore unless record.same? }
    end

    private

    def walk(object, counts, records)
      # RSpec's own sets are a hash that is never another.
      object = object.instance_variable_get(:@values) if object.instance_of?(RSpec::Core::Set)
      return if records.key?(object) || object.frozen?
      if collection?(object)
        # Shared examples of a group go with the group.
        records[object] = Collection.new(object, counts && !(Hash === object && object.default_proc))
        (Hash === object ? object.values : object).each { |item| walk(item, counts, records) }
      elsif PARTS.match?(object.class.name.to_s)
        fill(object)
        part = records[object] = Part.new(object, counts)
        part.names.zip(part.values) { |name, value| walk(value, counts && !CACHES.include?(name), records) }
      end
    end

    def collection?(object)
      object.instance_of?(Array) || object.instance_of?(Hash) || (defined?(::Set) && object.instance_of?(::Set))
    end

    # Makes the calls of an ordinary group: RSpec keeps the answers, which would differ after each file.
    def fill(object)
      object.items_for({}) if object.respond_to?(:items_for)
    rescue StandardError
      nil # by a filter of the suite, which will say so to the group too
    end
  end

  # The state of the process, as it was when the suite's helpers had been loaded.
  class Traces
    # Seconds that a thread has to end by itself.
    LAST = 0.1
    STEPS = %i[restore_streams restore_outputs restore_ids_and_limits restore_signals restore_globals restore_folder
               restore_settings restore_leftovers restore_methods].freeze
    LIMITS = %i[NOFILE FSIZE CPU CORE DATA AS STACK NPROC].freeze
    # Libraries of Ruby and of RSpec, which set nothing that a file would miss.
    OWN = /\A(#{Regexp.union(RbConfig::CONFIG.values_at('rubylibdir', 'rubyarchdir').map { |path| "#{path}/" })})|
      \/rspec-(core|support|expectations|mocks)-[^\/]*\/lib\/|\/diff-lcs-/x.freeze
    # Ruby's own, and those that cannot be trapped.
    UNTOUCHED = %w[KILL STOP SEGV BUS ILL FPE VTALRM].freeze

    def initialize(luck)
      @luck = luck
      @streams = [$stdin, $stdout, $stderr]
      @outputs = [STDOUT, STDERR].map { |io| [io, io.dup, io.sync, file(io)] }
      @env = ENV.to_h
      @cwd = Dir.pwd
      @umask = File.umask
      @limits = LIMITS.map { |name| Process.const_get("RLIMIT_#{name}") }.to_h { |name| [name, Process.getrlimit(name)] }
      @ids = ids
      @threads = Thread.list
      @signals = (Signal.list.values.uniq - Signal.list.values_at(*UNTOUCHED)).to_h { |number| [number, handler(number)] }.compact
      @globals = globals
      @paths = @last_paths = $LOAD_PATH.dup
      @methods = Methods.new
      @children = children
      @childless = @children.empty? && Process::Status.respond_to?(:wait) && no_child?
      @rspec = [RSpec.configuration, RSpec.world]
      @settings = settings
      @features = $LOADED_FEATURES.dup
    end

    # Prepares a file: it finds the same state as the first one, and these variables.
    def prepare(env)
      names = env.keys
      @wanted, @names = @env.dup, names unless names == @names
      ENV.replace(@wanted.update(env))
      @luck.restore
    end

    # Restores what it can. Returns why the process should be replaced, if it should.
    def restore
      why = nil
      STEPS.each { |step| why = attempt(step) || why }
      why
    end

    private

    def attempt(step)
      send(step)
    rescue StandardError, NotImplementedError => e
      "a spec file left something that cannot be restored (#{step.to_s.delete_prefix('restore_')}: #{e.class})"
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
      @outputs.each do |io, copy, sync, file|
        return "a spec file closed #{io.equal?(STDOUT) ? '$stdout' : '$stderr'}" if io.closed?
        Kept.flush(io)
        io.reopen(copy) unless file(io) == file
        io.sync = sync
      end
      nil
    end

    def file(io)
      stat = io.stat
      [stat.dev, stat.ino]
    end

    def ids
      [Process.uid, Process.euid, Process.gid, Process.egid, Process.getpgrp, Process.getpriority(Process::PRIO_PROCESS, 0)]
    end

    def restore_ids_and_limits
      File.umask(@umask)
      @limits.each { |name, limit| Process.setrlimit(name, *limit) unless Process.getrlimit(name) == limit }
      'a spec file changed the user, the priority or the group of its process' if ids != @ids
    end

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

    # Not by comparison: Ruby shows a handler only when another one is set.
    def restore_signals
      trap = Kept::SINGLETON[:trap]
      @signals.each { |number, before| trap.call(number, before) }
      nil
    end

    def restore_globals
      unless $LOAD_PATH == @last_paths
        # New ones stay: they may belong to a gem that was loaded on demand.
        $LOAD_PATH.unshift(*(@paths - $LOAD_PATH))
        @last_paths = $LOAD_PATH.dup
      end
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
      features = new_features
      if !features.empty? && @settings.changed?
        return "a spec file loaded '#{RrrRunner.text(features.last, 200)}', and settings of RSpec changed: name it with --preload"
      end
      @settings.restore
      'a spec file reset RSpec' if was_reset
    end

    # The files that a file loaded, except for those that are loaded on demand.
    def new_features
      return [] if $LOADED_FEATURES.size == @features.size && $LOADED_FEATURES.last.equal?(@features.last)
      features = ($LOADED_FEATURES - @features).grep_v(OWN)
      @features = $LOADED_FEATURES.dup
      features
    end

    def restore_leftovers
      threads = Thread.list
      threads == @threads ? threads.clear : threads -= @threads
      return restore_children if threads.empty?
      threads.reject! { |thread| thread.name =~ /\ATimeout/ || thread.class.name == 'Process::Waiter' }
      until_then = Kept.now + LAST
      threads.each { |thread| thread.join([until_then - Kept.now, 0].max) rescue nil } # rubocop:disable Style/RescueModifier
      threads.any?(&:alive?) ? 'a spec file left a thread running' : restore_children
    end

    def restore_children
      # To ask the kernel for a list takes longer.
      return if @childless ? no_child? : children == @children
      nil while Process.wait(-1, Process::WNOHANG)
      'a spec file left a process running' unless (children - @children).empty?
    rescue Errno::ECHILD
      nil
    end

    def no_child?
      Process::Status.wait(-1, Process::WNOHANG)&.pid == -1
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

