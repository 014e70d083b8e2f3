# A runner of RSpec files for rrr-slave --adapter rspec; the protocol is in rrr-runner(7).
#
# usage: ruby rspec.rb fork|none [--preload FILE]... [-- RSPEC-OPTION...]
#
# What all files share is loaded once. Then each file gets a fork of this process (fork), so that
# nothing it does can reach the next one, or runs in it (none), as the first RRRSpec did. Suite hooks
# that were there before any file run once in this process; those that a fork brings along, in it.

require 'delegate'
require 'json'
require 'set'

module RrrRunner
  # Most bytes of one text of an example.
  TEXT = 16 * 1024
  # Most bytes of all examples of a file.
  TOTAL = 4 * 1024 * 1024
  # Seconds from asking a file to end to killing it.
  GRACE = 1.0
  # Seconds between looks at a fork whose pipe is held open by somebody else.
  LOOK = 0.05

  def self.text(value, limit = TEXT)
    text = value.to_s.dup
    text = text.encode('UTF-8', invalid: :replace, undef: :replace) unless text.encoding == Encoding::UTF_8
    text = text.scrub('?')
    return text if text.bytesize <= limit
    "#{text.byteslice(0, limit).scrub('')} [... #{text.bytesize - limit} bytes dropped]"
  end

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
        begin
          @buffer << @io.read_nonblock(65_536)
        rescue IO::WaitReadable
          return nil
        rescue EOFError, Errno::ECONNRESET
          @ended = true
          return nil
        end
      end
      line
    end

    # The next line, however long it takes; nil at the end.
    def wait
      until (line = poll)
        return nil if @ended
        IO.select([@io])
      end
      line
    end
  end

  # An output that formatters cannot have written through at once: a system call for each dot, and a
  # wake-up of the slave, took longer than most files. What it holds goes out before each example, and
  # before the answer.
  class Unhurried < SimpleDelegator
    def respond_to?(name, include_all = false)
      name != :sync= && super
    end
  end

  # Listens to RSpec, and tells what happens as hashes.
  class Recorder
    EVENTS = %i[example_started example_passed example_failed example_pending message].freeze

    def initialize(&tell)
      @tell = tell
      @pid = Process.pid
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
      lines = notification.message_lines + notification.formatted_backtrace.first(10).map { |line| "# #{line}" }
      finished(notification, 'failed', lines.join("\n"))
    end

    def message(notification)
      @outside << notification.message unless notification.message =~ /\A\s*(Run options|All examples|No examples)/
    end

    private

    # A test that forks and goes on must not speak for its parent.
    def tell(hash)
      @tell.call(hash) if Process.pid == @pid
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
      outside.each do |text|
        keep('id' => @spec_file, 'name' => '(outside of examples)', 'status' => 'error', 'message' => text)
      end
      answer = fields.merge(
        'status' => status || (died && 'error') || @done['status'] || verdict,
        'passed' => @counts['passed'], 'pending' => @counts['pending'], 'failed' => @counts['failed'],
        'examples' => @examples
      )
      answer['examples_cut'] = @cut if @cut > 0
      answer['message'] = message if message
      answer
    end

    private

    def verdict
      return 'failed' if @counts['failed'] > 0
      return 'passed' if @counts['passed'] > 0
      'pending'
    end

    # Keeps an example while there is room; what is not passed gets the last quarter of it.
    def keep(example)
      size = example.sum { |_, value| value.to_s.bytesize } + 100
      room = example['status'] == 'passed' ? TOTAL * 3 / 4 : TOTAL
      if @size + size > room
        @cut += 1
      else
        @size += size
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
      'RSpec::Support' => nil
    }.freeze

    def initialize(options)
      require 'rspec/core'
      RSpec::Core::Runner.disable_autorun!
      @options = RSpec::Core::ConfigurationOptions.new(options)
      @ran = Set.new.compare_by_identity
      @used = false
    end

    # Loads what all files share, and runs the suite hooks that it brings.
    def preload(files)
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

    # Loads what RSpec puts off until the first group, example or failure: each fork would do it again,
    # and that took five times as long as all else that it does. Nothing is configured or run by it, and
    # what the suite has chosen instead of RSpec's own parts stays alone.
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

    # Runs one spec file, an `a_spec.rb[1:2]` or an `a_spec.rb:12`; a hash that tells how it ended.
    # `alone`: nothing comes after it in this process.
    def run(spec_file, recorder, alone)
      again if @used
      @used = true
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
        reporter.report(count) do |r|
          groups.each { |group| group.run(r) }
          after_suite if alone
        end
      end
      ended(recorder, count)
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

    # Clears what the file before left behind.
    def again
      world = RSpec.world
      world.reset
      world.prepare_example_filtering
      world.wants_to_quit = false
      world.non_example_failure = false
      RSpec.current_scope = :suite
      config.reset_reporter
      config.reset_filters
      @options.configure_filter_manager(config.filter_manager)
      @formatters.each { |formatter, output| config.add_formatter(formatter, output) }
    end

    def before_suite
      run_hooks(:before_suite_hook, 'a `before(:suite)` hook', fresh(:@before_suite_hooks))
    end

    # Not for the sake of none: RSpec keeps each such call, and by its reporter all examples of the file.
    def run_hooks(scope, name, hooks)
      return if hooks.empty?
      RSpec.current_scope = scope
      config.send(:run_suite_hooks, name, hooks)
      RSpec.current_scope = :suite
    end

    def fresh(name)
      hooks = config.instance_variable_get(name) || []
      hooks.select { |hook| @ran.add?(hook) }
    end

    def ended(recorder, count)
      if RSpec.world.non_example_failure || count.nil?
        outside = recorder.outside.map { |text| RrrRunner.text(text) }
        return { 'status' => 'error', 'outside' => outside }
      end
      done = { 'outside' => [] }
      if count.zero?
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
      hello = JSON.parse(@orders.wait || exit)
      abort 'rspec.rb speaks version 1 of the runner protocol' unless hello['versions'].include?(1)
      @suite = Suite.new(@options)
      @suite.preload(@preload)
      if @isolation == 'fork'
        @suite.load_what_is_put_off
        settle
      end
      flush
      answer('type' => 'hello', 'version' => 1, 'capabilities' => @isolation == 'fork' ? ['stop'] : [])
      while (line = @orders.wait)
        order = JSON.parse(line)
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

    # What is here from now on lives as long as this process: a fork that collects its garbage need not
    # look at it, and so need not copy it.
    def settle
      return Process.warmup if Process.respond_to?(:warmup)
      # An object is old once it has outlived three collections.
      4.times { GC.start }
    end

    def answer(line)
      @answers.write("#{JSON.generate(line)}\n")
    end

    def flush
      $stdout.flush
      $stderr.flush
    end

    def run_here(order)
      progress = Progress.new(order['spec_file'])
      ENV.update(order['env'])
      try(order['spec_file'], false) do |event|
        # What was printed is not lost if the example takes the process with it.
        flush if event['started']
        progress.take(event)
      end
      progress.result
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
      pid = fork { child(order, from, to) }
      to.close
      begin
        Process.setpgid(pid, pid)
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

    # Waits for the end of a fork and takes what it tells; whether it was stopped, and how it ended.
    def watch(pid, lines, progress)
      stopped = false
      kill_at = nil
      loop do
        while (line = lines.poll)
          progress.take(JSON.parse(line))
        end
        _, status = Process.wait2(pid, Process::WNOHANG)
        if status
          while (line = lines.poll)
            progress.take(JSON.parse(line))
          end
          return [stopped && !progress.done, status]
        end
        kill_at ||= now + GRACE if progress.done
        if kill_at && now >= kill_at
          kill(:KILL, pid)
          kill_at = now + 1
        end
        pipe = lines.ended? ? [] : [lines.io]
        IO.select(pipe + (@orders.ended? ? [] : [@orders.io]), nil, nil, pipe.empty? ? 0.0005 : LOOK)
        order = @orders.poll
        next unless order ? JSON.parse(order)['type'] == 'stop' : @orders.ended? && !stopped
        stopped = true
        kill_at = now + GRACE
        kill(:TERM, pid)
      end
    end

    def child(order, from, to)
      me = Process.pid
      from.close
      @orders.io.close
      @answers.close
      to.sync = true
      Process.setpgid(0, 0)
      Process.setproctitle("rrr: #{order['spec_file']}")
      # If memory runs out this process should go, and not the one that forks the next.
      File.write('/proc/self/oom_score_adj', '500') rescue nil # rubocop:disable Style/RescueModifier
      ENV.update(order['env'])
      @suite.keep_after_suite_for_parent
      done = nil
      tell = lambda do |event|
        flush
        to.write("#{JSON.generate(event)}\n")
      end
      # The first of this process's own hooks at exit, so the last to run: those that it has inherited
      # belong to the process that loaded them, and do not come.
      at_exit do
        if Process.pid == me
          tell.call('done' => after_exit(done, $!)) if done # rubocop:disable Style/SpecialGlobalVars
          exit!(0)
        end
      end
      try(order['spec_file'], true) do |event|
        next unless Process.pid == me
        event['done'] ? done = event['done'] : tell.call(event)
      end
    rescue SignalException => e
      exit!(128 + e.signo)
    ensure
      # What a test forked leaves as it likes.
      exit(0) if me == Process.pid
    end

    # How a file ended whose hooks at exit have run, of which one may have changed the exit status.
    def after_exit(done, error)
      return done if error.nil? || (error.is_a?(SystemExit) && error.success?)
      what = error.is_a?(SystemExit) ? "exit #{error.status}" : "#{error.class}: #{error.message}"
      text = RrrRunner.text("a hook at exit failed: #{what}")
      { 'status' => 'error', 'message' => text }.merge(done, 'outside' => [*done['outside'], text]) { |_, new, old| old || new }
    end

    def kill(signal, group)
      Process.kill(signal, -group)
    rescue SystemCallError
      nil
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def describe(status)
      status.signaled? ? "died (signal #{status.termsig})" : "ended early (exit code #{status.exitstatus})"
    end
  end
end

RrrRunner::Main.new(ARGV).run if $PROGRAM_NAME == __FILE__
