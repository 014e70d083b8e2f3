# A runner of RSpec files for rrr-slave --adapter rspec; the protocol is in rrr-runner(7).
#
# usage: ruby rspec.rb fork|none [--preload FILE]... [-- RSPEC-OPTION...]
#
# It has four files, in this order: the objects that it keeps for itself (this one), the methods that it watches
# (rspec_methods.rb), the traces that a file may leave (rspec_traces.rb), and the runner (rspec.rb).
#
# It loads no library of Ruby's: a test that forgot a `require` would pass here and fail under rspec.

module RrrRunner
  # Methods as they were before any test ran: a test may replace them.
  module Kept
    SINGLETON = {
      pid: Process.method(:pid), clock: Process.method(:clock_gettime), kill: Process.method(:kill),
      fork: Process.method(:fork), wait2: Process.method(:wait2), setpgid: Process.method(:setpgid),
      exit!: Process.method(:exit!), select: IO.method(:select), trap: Signal.method(:trap),
      srand: Random.method(:srand), rand: Random.method(:rand), chdir: Dir.method(:chdir)
    }.freeze
    SINGLETON.each { |name, method| define_singleton_method(name) { |*args, &block| method.call(*args, &block) } }

    WRITE = IO.instance_method(:write)
    FLUSH = IO.instance_method(:flush)
    READ = IO.instance_method(:read_nonblock)

    def self.now
      clock(Process::CLOCK_MONOTONIC)
    end

    def self.write(io, text)
      WRITE.bind_call(io, text)
    end

    # Nil at the end, and :wait_readable if there is nothing yet.
    def self.read(io, bytes)
      READ.bind_call(io, bytes, exception: false)
    end

    # Flushes an output; one that a test has closed has nothing more to say.
    def self.flush(io)
      FLUSH.bind_call(io) if IO === io
    rescue IOError, SystemCallError
      nil
    end
  end

  # JSON, as far as the protocol needs it.
  module Json
    ESCAPES = { '"' => '\\"', '\\' => '\\\\', "\n" => '\\n', "\t" => '\\t', "\r" => '\\r' }.freeze
    SPECIAL = /["\\\u0000-\u001f]/.freeze
    UNESCAPES = { 'n' => "\n", 't' => "\t", 'r' => "\r", 'b' => "\b", 'f' => "\f" }.freeze
    TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+/m.freeze

    def self.write(value)
      case value
      when nil, true, false, Integer, Float then value.nil? ? 'null' : value.to_s
      when Hash then "{#{value.map { |key, item| "#{quote(key)}:#{write(item)}" }.join(',')}}"
      when Array then "[#{value.map { |item| write(item) }.join(',')}]"
      else quote(value)
      end
    end

    def self.quote(value)
      text = RrrRunner.utf8(value)
      return "\"#{text}\"" unless text.match?(SPECIAL)
      "\"#{text.gsub(SPECIAL) { |char| ESCAPES[char] || format('\\u%04x', char.ord) }}\""
    end

    def self.read(text)
      value(RrrRunner.utf8(text).scan(TOKEN))
    end

    def self.value(tokens)
      case token = tokens.shift
      when '{' then pairs(tokens)
      when '[' then items(tokens)
      when /\A"/ then unquote(token)
      when 'null', nil then nil
      when 'true', 'false' then token == 'true'
      else token =~ /[.eE]/ ? Float(token) : Integer(token, 10)
      end
    end

    def self.pairs(tokens)
      hash = {}
      until tokens.first == '}' || tokens.empty?
        key = value(tokens)
        tokens.shift
        hash[key] = value(tokens)
        tokens.shift if tokens.first == ','
      end
      tokens.shift
      hash
    end

    def self.items(tokens)
      array = []
      until tokens.first == ']' || tokens.empty?
        array << value(tokens)
        tokens.shift if tokens.first == ','
      end
      tokens.shift
      array
    end

    def self.unquote(token)
      return token[1..-2] unless token.include?('\\')
      token[1..-2].gsub(/\\u(d[89ab]\h\h)\\u(d[c-f]\h\h)|\\u(\h{4})|\\(.)/mi) do
        high, low, code, char = $1, $2, $3, $4
        next UNESCAPES[char] || char if char
        next [code.hex].pack('U').scrub('?') if code
        [0x10000 + ((high.hex - 0xd800) << 10) + (low.hex - 0xdc00)].pack('U')
      end
    end
  end

  # The random numbers that the suite has chosen by its own seed. Ruby gives a fork others.
  class Luck
    # How far the position after the seed is looked for, in numbers of 32 bits.
    FAR = 1_000_000
    WORD = 1 << 32

    def initialize
      @before = Random.seed
      @pid = Kept.pid
    end

    # Records the suite's own choice, if there is one.
    def learn
      return if Random.seed == @before
      @seed = Random.seed
      seen = Array.new(4) { Kept.rand(WORD) }
      copy = Random.new(@seed)
      window = Array.new(4) { copy.rand(WORD) }
      @drawn = 0
      until window == seen || @drawn == FAR
        window.shift
        window << copy.rand(WORD)
        @drawn += 1
      end
      @drawn = 0 if window != seen
      restore
    end

    # Restores the suite's state. If there is none, a process without a seed is fine.
    def restore
      unless @seed
        return if Random.seed == @before && Kept.pid == @pid
        Kept.srand
        @before = Random.seed
        return
      end
      Kept.srand(@seed)
      @drawn.times { Kept.rand(WORD) }
    end
  end

  UNKNOWN = [Encoding::BINARY, Encoding::US_ASCII].freeze

  def self.utf8(value)
    text = value.to_s
    # Bytes without a known encoding, such as names of files in the locale C.
    text = text.dup.force_encoding(Encoding::UTF_8) if UNKNOWN.include?(text.encoding)
    text = text.encode('UTF-8', invalid: :replace, undef: :replace) unless text.encoding == Encoding::UTF_8
    text.valid_encoding? ? text : text.scrub('?')
  rescue StandardError
    value.to_s.b.gsub(/[^ -~\n]/n, '?').force_encoding('UTF-8')
  end

  # Most bytes of one text of an example.
  TEXT = 16 * 1024

  def self.text(value, limit = TEXT)
    text = utf8(value)
    return text if text.bytesize <= limit
    "#{text.byteslice(0, limit).scrub('')} [... #{text.bytesize - limit} bytes dropped]"
  end
end

