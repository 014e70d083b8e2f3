# The runner: the files' common code is loaded once. Then each file gets a fork of this process (fork), so
# that nothing it does can reach the next one, or runs in it (none), as the first RRRSpec did. Suite hooks
# that were there before any file run once in this process; those that a fork brings along, in it.
module RrrRunner
  # Most bytes of all examples of a file, and of those that are not failures.
  TOTAL = 6 * 1024 * 1024
  GOOD = 1536 * 1024
  # Most bytes of a failure's message, by how many failures came before it: all of them are kept.
  MESSAGES = { 200 => 16 * 1024, 1000 => 2048, 20_000 => 100 }.freeze
  # Seconds from asking a file to end to killing it.
  GRACE = 1.0
  # Seconds between checks of a fork whose pipe another process holds open.
  LOOK = 0.05

  # Lines of a pipe that may come in pieces.
  class Lines
    attr_reader :io

    def initialize(io)
      @io = io
      @buffer = String.new
      @ended = false
    end

    def ended?
      @ended && !@buffer.include?("\n")
    end

    # The next line, or nil when there is none yet.
    def poll
      until (line = @buffer.slice!(/\A[^\n]*\n/n))
        piece = read
        @ended ||= piece.nil?
        return nil if @ended || piece == :wait_readable
        @buffer << piece
      end
      line.force_encoding(Encoding::UTF_8)
    end

    def read
      Kept.read(@io, 65_536)
    rescue Errno::ECONNRESET
      nil
    end
    private :read

    # The next line, however long it takes; nil at the end.
    def wait
      until (line = poll)
        return nil if @ended
        Kept.select([@io])
      end
      line
    end
  end

  # An output that formatters cannot have written through at once: a system call for each dot, and a
  # wake-up of the slave, took longer than most files. What it holds goes out before each example, and
  # before the answer.
  class Unhurried < BasicObject
    def initialize(io)
      @io = io
    end

    def ==(other)
      equal?(other) || @io == other
    end

    def respond_to?(name, include_all = false)
      name != :sync= && @io.respond_to?(name, include_all)
    end

    def method_missing(name, *args, &block)
      @io.__send__(name, *args, &block)
    end
  end

  # Listens to RSpec and passes its notifications on as hashes.
  class Recorder
    EVENTS = %i[example_started example_passed example_failed example_pending message].freeze

    def initialize(&tell)
      @tell = tell
      @pid = Kept.pid
      @outside = []
      @in_example = false
    end

    attr_reader :outside

    def example_started(notification)
      @in_example = true
      tell('started' => about(notification.example))
    end

    def example_passed(notification)
      finished(notification, 'passed')
    end

    def example_pending(notification)
      finished(notification, 'pending', notification.example.execution_result.pending_message)
    end

    def example_failed(notification)
      finished(notification, 'failed', explain(notification))
    end

    def message(notification)
      @outside << notification.message unless notification.message =~ /\A\s*(Run options|All examples|No examples)/
    end

    private

    # All that RSpec's own formatters show of it, but its name: each exception, and its causes.
    def explain(notification)
      lines = notification.fully_formatted_lines(nil, RSpec::Core::Notifications::NullColorizer)
      lines = lines.drop(2).join("\n").split("\n")
      lines.shift while lines.first && lines.first.strip.empty?
      indent = lines.reject { |line| line.strip.empty? }.map { |line| line[/\A */].size }.min || 0
      text = lines.map { |line| line.sub(/\A {0,#{indent}}/, '') }.join("\n")
      causes(notification.example.execution_result.exception).reduce(text) do |all, cause|
        shown = all.include?("#{cause.class}:\n") && all.include?(RrrRunner.utf8(cause.message))
        shown ? all : "#{all}\n# Caused by #{cause.class}: #{RrrRunner.utf8(cause.message)}"
      end
    rescue StandardError => e
      error = notification.example.execution_result.exception
      "#{error.class}, which cannot be shown (#{e.class})"
    end

    # Everything that led to an exception: RSpec shows the first cause of all only.
    def causes(exception, seen = {}.compare_by_identity)
      return [] if exception.nil? || seen.key?(exception) || seen.size > 50
      seen[exception] = true
      parts = exception.respond_to?(:all_exceptions) ? exception.all_exceptions : []
      [exception.cause, *parts].compact.flat_map do |one|
        (one.equal?(exception.cause) && !seen.key?(one) ? [one] : []) + causes(one, seen)
      end
    end

    # A test that forks and goes on must not speak for its parent.
    def tell(hash)
      @tell.call(hash) if Kept.pid == @pid
    end

    def about(example)
      meta = example.metadata
      {
        'id' => RrrRunner.text(example.id.delete_prefix('./')),
        'name' => RrrRunner.text(example.full_description),
        'file' => RrrRunner.text(meta[:file_path].to_s.delete_prefix('./')),
        'line' => meta[:line_number]
      }
    end

    def finished(notification, status, message = nil)
      example = notification.example
      seconds = example.execution_result.run_time
      fields = about(example)
      fields['status'] = status
      fields['duration_ms'] = (seconds * 1000).round if seconds
      fields['message'] = RrrRunner.text(message) if message
      tell('example' => fields)
    end
  end

  # What is known of a trial so far, and its result.
  class Progress
    def initialize(spec_file)
      @spec_file = spec_file
      @counts = Hash.new(0)
      @examples = []
      @size = 0
      @good = 0
      @bad = 0
      @cut = 0
      @running = nil
      @done = nil
    end

    attr_reader :done

    def take(event)
      if event['started']
        @running = event['started']
      elsif event['example']
        @running = nil
        @counts[event['example']['status']] += 1
        keep(event['example'])
      elsif event['done']
        @running = nil
        @done = event['done']
      end
    end

    # Fields of the answer. `died`: how the process of the file ended before it was done.
    def result(died: nil, status: nil, fields: {})
      if died && @running
        keep(@running.merge('status' => 'error', 'message' => "the process of the test #{died} in this example"))
      end
      message = @done && @done['message']
      if died
        where = @running ? ", in example '#{@running['name']}'" : ''
        message = "the process of the test #{died}#{where}"
      end
      outside = @done ? @done['outside'] : []
      wrong = died ? nil : disagreement
      outside.each do |text|
        keep('id' => @spec_file, 'name' => '(outside of examples)', 'status' => 'error', 'message' => text)
      end
      answer = fields.merge(
        'status' => status || ((died || wrong) && 'error') || @done['status'] || verdict,
        'passed' => @counts['passed'], 'pending' => @counts['pending'], 'failed' => @counts['failed'],
        'examples' => @examples, 'examples_cut' => @cut
      )
      message = [message, wrong].compact.join("\n")
      answer['message'] = message unless message.empty?
      answer
    end

    private

    def verdict
      return 'failed' if @counts['failed'] > 0
      return 'passed' if @counts['passed'] > 0
      'pending'
    end

    # The difference between RSpec's own sums and the reported examples, or nil.
    def disagreement
      sums = @done['sums'] or return
      told = [@counts.values.sum, @counts['failed'], @counts['pending']]
      return if sums == told
      "RSpec ran #{sums[0]} examples (#{sums[1]} failed, #{sums[2]} pending), but reported " \
        "#{told[0]} (#{told[1]} failed, #{told[2]} pending)"
    end

    # Keeps an example while there is room. Passed and pending ones have a part of it; a failure is kept
    # with less of its message when there are many.
    def keep(example)
      good = %w[passed pending].include?(example['status'])
      unless good
        _, limit = MESSAGES.find { |number, _| @bad < number }
        example['message'] = RrrRunner.text(example['message'], limit || 0) if example['message']
        @bad += 1
      end
      size = Json.write(example).bytesize + 1
      if @size + size > TOTAL || (good && @good + size > GOOD)
        @cut += 1
      else
        @size += size
        @good += size if good
        @examples << example
      end
    end
  end

  # RSpec in this process.
  class Suite
    # Modules of RSpec that autoload some of their parts, and which to load if not all.
    PUT_OFF = {
      'RSpec::Core' => nil,
      'RSpec::Core::Formatters' => %i[ProgressFormatter DocumentationFormatter ExceptionPresenter FallbackMessageFormatter],
      'RSpec::Expectations' => nil,
      'RSpec::Matchers::BuiltIn' => nil,
      'RSpec::Mocks' => nil,
      'RSpec::Mocks::Matchers' => nil,
      # Without the code that loads Ruby's own libraries: a test that forgot to do so would pass.
      'RSpec::Support' => %i[ObjectFormatter FuzzyMatcher MethodSignature MethodSignatureVerifier WithKeywordsWhenNeeded Source]
    }.freeze

    def initialize(options)
      require 'rspec/core'
      RSpec::Core::Runner.disable_autorun!
      RSpec::Core::Runner.trap_interrupt
      @arguments = options
      @options = RSpec::Core::ConfigurationOptions.new(options)
      @ran = {}.compare_by_identity
      @used = false
    end

    # The words that rspec itself would have been called with.
    def pose(*files)
      ARGV.replace(@arguments + files)
      config.instance_variable_set(:@files_or_directories_to_run, files)
    end

    # Loads the files' common code and runs its suite hooks.
    def preload(files)
      pose
      config.error_stream = $stderr
      config.output_stream = Unhurried.new($stdout)
      @options.configure(config)
      # As RSpec hides its own frames.
      config.backtrace_exclusion_patterns << Regexp.new(Regexp.escape(__FILE__))
      files = default_files if files.empty?
      files.each { |file| require File.expand_path(file) }
      @formatters = config.formatter_loader.formatters.map do |formatter|
        [formatter.class, formatter.respond_to?(:output) ? formatter.output : $stdout]
      end
      before_suite
      return unless RSpec.world.wants_to_quit || RSpec.world.non_example_failure
      $stdout.flush
      abort 'the suite cannot be loaded: see above'
    end

    # Loads the parts that RSpec defers until the first group, example or failure: each fork would do so
    # again, which took five times as long as everything else that it does. This configures and runs
    # nothing, and parts that the suite has replaced are left alone.
    def load_what_is_put_off
      require 'rspec/expectations' if config.instance_variable_get(:@expectation_frameworks)&.empty?
      require 'rspec/core/mocking_adapters/rspec' if config.instance_variable_get(:@mock_framework).nil?
      PUT_OFF.each do |path, names|
        next unless Object.const_defined?(path)
        part = Object.const_get(path)
        (names || part.constants).each { |name| part.const_get(name) if part.autoload?(name) }
      end
    rescue LoadError
      nil # a suite may do without; whoever misses it will say so
    end

    # Runs one spec file, an `a_spec.rb[1:2]` or an `a_spec.rb:12`. Returns its outcome as a hash.
    # `alone`: nothing comes after it in this process.
    def run(spec_file, recorder, alone)
      again if @used
      @used = true
      pose(spec_file)
      config.start_time = RSpec::Core::Time.now
      path = config.send(:extract_location, spec_file)
      # Not by way of the pattern: it may add other files.
      config.instance_variable_set(:@files_to_run, Array(path))
      reporter = config.reporter
      reporter.register_listener(recorder, *Recorder::EVENTS)
      config.load_spec_files
      RSpec.world.announce_filters
      before_suite
      if RSpec.world.wants_to_quit
        reporter.exit_early(1)
      else
        groups = RSpec.world.ordered_example_groups
        count = RSpec.world.example_count(groups)
        passed = reporter.report(count) do |r|
          # All of them: a failure does not keep the next group from running.
          groups.map { |group| group.run(r) }.all?.tap { after_suite if alone }
        end
      end
      ended(recorder, reporter, count, passed)
    end

    # Runs the last hooks of all files; whether they went well. Why not goes to stderr, in one line.
    def end_all
      RSpec.world.non_example_failure = false
      recorder = Recorder.new {}
      config.reporter.register_listener(recorder, :message)
      after_suite
      recorder.outside.each do |text|
        lines = text.lines.map(&:strip).reject { |line| line.empty? || line.start_with?('# ') }
        warn lines.join(' ')
      end
      !RSpec.world.non_example_failure
    end

    # Runs the hooks after the suite of those that have been begun and not ended.
    def after_suite
      run_hooks(:after_suite_hook, 'an `after(:suite)` hook', fresh(:@after_suite_hooks))
    end

    # From here on hooks after the suite are only those that come new.
    def keep_after_suite_for_parent
      fresh(:@after_suite_hooks)
    end

    private

    def config
      RSpec.configuration
    end

    def default_files
      folder = config.default_path || 'spec'
      %w[rails_helper spec_helper].map { |name| File.join(folder, "#{name}.rb") }.select { |file| File.file?(file) }.first(1)
    end

    # Clears the leftovers of the previous file.
    def again
      world = RSpec.world
      world.reset
      world.prepare_example_filtering
      world.wants_to_quit = false
      world.non_example_failure = false
      RSpec.current_scope = :suite
      world.rspec_is_quitting = false
      config.reset_reporter
      @formatters.each { |formatter, output| config.add_formatter(formatter, output) }
    end

    def before_suite
      run_hooks(:before_suite_hook, 'a `before(:suite)` hook', fresh(:@before_suite_hooks))
    end

    # Not for the sake of none: RSpec keeps each such call, and by its reporter all examples of the file.
    def run_hooks(scope, name, hooks)
      return if hooks.empty?
      # As the first example group does, of which there is none yet: hooks use matchers and doubles too.
      RSpec::Core::ExampleGroup.ensure_example_groups_are_configured
      RSpec.current_scope = scope
      config.send(:run_suite_hooks, name, hooks)
      RSpec.current_scope = :suite
    end

    def fresh(name)
      hooks = config.instance_variable_get(name) || []
      hooks.reject { |hook| @ran.key?(hook) }.each { |hook| @ran[hook] = true }
    end

    def ended(recorder, reporter, count, passed)
      if RSpec.world.non_example_failure || count.nil?
        outside = recorder.outside.map { |text| RrrRunner.text(text) }
        return { 'status' => 'error', 'outside' => outside }
      end
      ran, failed, pending = [reporter.examples, reporter.failed_examples, reporter.pending_examples].map(&:size)
      done = { 'outside' => [], 'sums' => [ran, failed, pending] }
      if failed.zero? && (ran < count || !passed)
        done['status'] = 'error'
        done['message'] = passed ? "only #{ran} of #{count} examples ran" : 'RSpec failed, though no example did'
      elsif count.zero?
        done['message'] = RSpec.world.example_group_counts_by_spec_file.empty? ? 'no examples in it' : 'no example of it is selected'
        done['status'] = 'error' if config.fail_if_no_examples
      end
      done
    end
  end

  # The conversation with the slave.
  class Main
    def initialize(argv)
      @isolation = argv.shift
      @preload = []
      until argv.empty?
        word = argv.shift
        break if word == '--'
        abort "unknown argument '#{word}'" unless word == '--preload'
        @preload << argv.shift
      end
      @options = argv.dup
      argv.clear
      # Descriptors of our own: a program that a test starts must not get them.
      @orders = Lines.new(IO.for_fd(3).tap { |io| io.close_on_exec = true })
      @answers = IO.for_fd(4, 'w').tap { |io| io.close_on_exec = true }
      @answers.sync = true
    end

    def run
      hello = Json.read(@orders.wait || exit)
      abort 'rspec.rb speaks version 1 of the runner protocol' unless hello['versions'].include?(1)
      disguise
      load_suite
      flush
      answer('type' => 'hello', 'version' => 1, 'capabilities' => @isolation == 'fork' ? ['stop'] : [])
      while (line = @orders.wait)
        order = Json.read(line)
        next unless order['type'] == 'run'
        result = @isolation == 'fork' ? run_apart(order) : run_here(order)
        flush
        answer(result.merge('type' => 'result', 'trial' => order['trial']))
      end
      well = @suite.end_all
      flush
      exit(1) unless well
    end

    private

    # A test finds the name of the program that it knows; others find this one.
    def disguise
      title = "ruby #{$PROGRAM_NAME} #{@isolation}"
      places = ENV.fetch('PATH', '').split(File::PATH_SEPARATOR).map { |folder| File.join(folder, 'rspec') }
      $PROGRAM_NAME = places.find { |path| File.file?(path) && File.executable?(path) } || 'rspec'
      Process.setproctitle(title)
    end

    def load_suite
      @luck = Luck.new
      @suite = Suite.new(@options)
      @suite.preload(@preload)
      @luck.learn
      @suite.load_what_is_put_off
      if @isolation == 'fork'
        settle
      else
        @traces = Traces.new(@luck)
      end
    end

    # Everything loaded so far lives as long as this process: a fork that collects its garbage need not
    # look at it, and so need not copy it.
    def settle
      return Process.warmup if Process.respond_to?(:warmup)
      # An object is old once it has outlived three collections.
      4.times { GC.start }
    end

    def answer(line)
      Kept.write(@answers, "#{Json.write(line)}\n")
    end

    def flush
      Kept.flush(STDOUT)
      Kept.flush(STDERR)
    end

    def run_here(order)
      me = Kept.pid
      progress = Progress.new(order['spec_file'])
      @traces.prepare(order['env'])
      try(order['spec_file'], false) do |event|
        # What was printed is not lost if the example takes the process with it.
        flush if event['started']
        progress.take(event)
      end
      # A test has forked and gone on: only its parent answers.
      exit(progress.result['status'] == 'failed' ? 1 : 0) if Kept.pid != me
      why = @traces.restore
      result = progress.result
      result['replace'] = why if why
      result
    end

    # Runs a file in this process, whatever it raises.
    def try(spec_file, alone, &tell)
      done = @suite.run(spec_file, Recorder.new(&tell), alone)
      yield('done' => done)
    rescue SystemExit => e
      yield('done' => { 'status' => 'error', 'outside' => [], 'message' => "the test called exit (#{e.status})" })
    rescue Exception => e # rubocop:disable Lint/RescueException
      raise if e.is_a?(SignalException)
      text = RrrRunner.text("#{e.class}: #{e.message}\n#{Array(e.backtrace).first(10).join("\n")}")
      yield('done' => { 'status' => 'error', 'outside' => [text], 'message' => text })
    end

    def run_apart(order)
      progress = Progress.new(order['spec_file'])
      from, to = IO.pipe
      to.sync = true
      pid = Kept.fork { child(order, from, to) }
      to.close
      begin
        Kept.setpgid(pid, pid)
      rescue SystemCallError
        nil # it did so itself, and may even have ended
      end
      lines = Lines.new(from)
      stopped, status = watch(pid, lines, progress)
      # What it started and left in its group; the slave finds the rest.
      kill(:KILL, pid)
      from.close
      fields = { 'exit_code' => status.exitstatus, 'signal' => status.termsig }.compact
      died = progress.done ? nil : describe(status)
      progress.result(died: stopped ? 'was stopped' : died, status: stopped ? 'timeout' : nil,
                      fields: progress.done ? {} : fields)
    end

    # Waits for a fork to end and reads its reports. Returns whether it was stopped, and how it ended.
    def watch(pid, lines, progress)
      stopped = false
      kill_at = nil
      loop do
        while (line = lines.poll)
          progress.take(Json.read(line))
        end
        _, status = Kept.wait2(pid, Process::WNOHANG)
        if status
          while (line = lines.poll)
            progress.take(Json.read(line))
          end
          return [stopped && !progress.done, status]
        end
        kill_at ||= Kept.now + GRACE if progress.done
        if kill_at && Kept.now >= kill_at
          kill(:KILL, pid)
          kill_at = Kept.now + 1
        end
        pipe = lines.ended? ? [] : [lines.io]
        Kept.select(pipe + (@orders.ended? ? [] : [@orders.io]), nil, nil, pipe.empty? ? 0.0005 : LOOK)
        order = @orders.poll
        next unless order ? Json.read(order)['type'] == 'stop' : @orders.ended? && !stopped
        stopped = true
        kill_at = Kept.now + GRACE
        kill(:TERM, pid)
      end
    end

    def child(order, from, to)
      me = Kept.pid
      from.close
      @orders.io.close
      @answers.close
      Kept.setpgid(0, 0)
      Process.setproctitle("rrr: #{order['spec_file']}")
      # If memory runs out this process should go, and not the one that forks the next.
      File.write('/proc/self/oom_score_adj', '500') rescue nil # rubocop:disable Style/RescueModifier
      @luck.restore
      ENV.update(order['env'])
      @suite.keep_after_suite_for_parent
      done = nil
      tell = lambda do |event|
        flush
        Kept.write(to, "#{Json.write(event)}\n")
      end
      # The first of this process's own hooks at exit, so the last to run: those that it has inherited
      # belong to the process that loaded them, and do not come.
      at_exit do
        if Kept.pid == me
          tell.call('done' => after_exit(done, $!)) if done # rubocop:disable Style/SpecialGlobalVars
          Kept.exit!(0)
        end
      end
      try(order['spec_file'], true) do |event|
        next unless Kept.pid == me
        event['done'] ? done = event['done'] : tell.call(event)
      end
    rescue SignalException => e
      Kept.exit!(128 + e.signo)
    ensure
      # What a test forked leaves as it likes.
      exit(0) if Kept.pid == me
    end

    # How a file ended whose hooks at exit have run, of which one may have changed the exit status.
    def after_exit(done, error)
      return done if error.nil? || (error.is_a?(SystemExit) && error.success?)
      what = error.is_a?(SystemExit) ? "exit #{error.status}" : "#{error.class}: #{error.message}"
      text = RrrRunner.text("a hook at exit failed: #{what}")
      { 'status' => 'error', 'message' => text }.merge(done, 'outside' => [*done['outside'], text]) { |_, new, old| old || new }
    end

    def kill(signal, group)
      Kept.kill(signal, -group)
    rescue SystemCallError
      nil
    end

    def describe(status)
      status.signaled? ? "died (signal #{status.termsig})" : "ended early (exit code #{status.exitstatus})"
    end
  end
end

RrrRunner::Main.new(ARGV).run if $PROGRAM_NAME == __FILE__
