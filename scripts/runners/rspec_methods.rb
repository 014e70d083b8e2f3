# The methods on which the runner relies: a spec file that replaces one must not reach the next file, with
# no isolation.
module RrrRunner
  # Notes that a method of certain modules may be another by now: to compare them all after each file took
  # as long as to run it. Ruby reports changes by private methods, which tests rarely touch.
  module Watch
    DEFINED = %i[method_added method_removed method_undefined].freeze
    SINGLETON = DEFINED.map { |name| :"singleton_#{name}" }.freeze

    # For modules, whose methods come and go.
    module Definitions
      (DEFINED + SINGLETON).each do |hook|
        define_method(hook) do |name|
          Watch.note(self, name)
          super(name)
        end
        private hook
      end
    end

    # For all modules, which may be mixed into one of those.
    module Mixtures
      %i[append_features prepend_features extend_object].each do |hook|
        define_method(hook) do |target|
          Watch.note(target)
          super(target)
        end
        private hook
      end
    end

    class << self
      def over(modules)
        @watched = {}.compare_by_identity
        modules.each { |one| @watched[one] = @watched[one.singleton_class] = true }
        Module.prepend(Mixtures)
        # Classes inherit it.
        [BasicObject, *modules.grep_v(Class)].each { |one| one.singleton_class.prepend(Definitions) }
        @blind = modules.any? { |one| (DEFINED + SINGLETON).any? { |hook| one.method(hook).owner != Definitions } }
        @stale = false
      end

      # A test that replaces the methods that report changes could hide all later ones.
      def note(target, name = nil)
        return unless @watched.key?(target)
        @stale = true
        @blind ||= DEFINED.include?(name) || SINGLETON.include?(name)
      end

      def stale?
        @stale || @blind
      end

      def fresh
        @stale = false
      end
    end
  end

  # Methods on which the runner, or RSpec, relies.
  class Methods
    SINGLETON = {
      Process => %i[pid ppid clock_gettime kill fork wait wait2 setpgid exit!],
      Kernel => %i[exit exit! abort fork at_exit trap srand rand raise], Signal => %i[trap list], Time => %i[now at],
      IO => %i[select pipe], Dir => %i[chdir pwd], Exception => %i[new exception ===], Thread => %i[current new list],
      File => %i[expand_path exist? file? write read open join dirname basename], Object => %i[new]
    }.freeze
    INSTANCE = {
      Kernel => %i[exit exit! abort fork at_exit trap srand rand raise catch throw puts print p require load caller],
      IO => %i[write syswrite puts print << flush close read read_nonblock sync=],
      String => %i[to_s encode scrub byteslice bytesize gsub sub split == << + =~ start_with? inspect hash eql?],
      Array => %i[each map join push << select reject first any? all? == dup], Hash => %i[each [] []= fetch key? merge dup],
      Exception => %i[message backtrace full_message to_s cause], BasicObject => %i[== ! != instance_exec instance_eval],
      Proc => %i[call], Integer => %i[+ - == > <]
    }.freeze
    RSPEC = %w[RSpec::Core::Example RSpec::Core::Reporter RSpec::Core::World RSpec::Core::Configuration
               RSpec::Core::ExampleGroup RSpec::Core::Hooks::HookCollections RSpec::Core::FilterManager
               RSpec::Core::Example::ExecutionResult RSpec::Expectations::ExpectationTarget
               RSpec::Expectations::PositiveExpectationHandler RSpec::Expectations::NegativeExpectationHandler].freeze

    def initialize
      parts = RSPEC.select { |path| Object.const_defined?(path) }.map { |path| Object.const_get(path) }
      names = SINGLETON.map { |one, list| [one.singleton_class, list] } + INSTANCE.to_a
      names += parts.flat_map { |part| [part, part.singleton_class] }.map do |one|
        [one, one.instance_methods(false) + one.private_instance_methods(false)]
      end
      @methods = names.map { |owner, list| [owner, list.to_h { |name| [name, find(owner, name)] }.compact] }
      # Some are another's, as Class has `new`.
      owners = @methods.flat_map { |_, list| list.values.map(&:owner) }.reject(&:singleton_class?)
      Watch.over((SINGLETON.keys + INSTANCE.keys + parts + owners).uniq)
    end

    # The name of one that is another by now, or nil.
    def replaced
      return unless Watch.stale?
      @methods.each do |owner, list|
        list.each { |name, method| return "#{owner.inspect}##{name}" if find(owner, name) != method }
      end
      Watch.fresh
      nil
    end

    private

    def find(owner, name)
      owner.instance_method(name)
    rescue NameError
      nil
    end
  end
end

