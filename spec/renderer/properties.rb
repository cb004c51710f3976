# frozen_string_literal: true

require 'ostruct'

module Renderer
  # Nested hashes, addressed by dotted paths.
  module Properties
    # A property is declared below something that is given, but is no mapping.
    class NotAHash < StandardError
      def initialize(path, found) = super("Property '#{path}' expects a hash, but received '#{found.class}'")
    end

    # What the manifest gives at `path`, nil where it gives nothing; hashes sorted by key, as the Director does.
    def self.given(hash, path)
      value = path.split('.').reduce(hash) do |at, key|
        raise NotAHash.new(path, at) unless at.is_a?(Hash)

        at.fetch(key, nil).then { |inner| inner.nil? ? (return nil) : inner }
      end
      sorted(value)
    end

    def self.sorted(value)
      value.is_a?(Hash) ? value.sort.to_h.transform_values { |inner| sorted(inner) } : value
    end
    private_class_method :sorted

    # The value at `path`, nil where there is none.
    def self.lookup(hash, path)
      path.split('.').reduce(hash) { |at, key| at.is_a?(Hash) ? at[key] : (return nil) }
    end

    # Sets the value at `path`, making the hashes on the way.
    def self.store(hash, path, value)
      *parents, last = path.split('.')
      parents.reduce(hash) { |at, key| at[key] ||= {} }[last] = value
    end

    # A hash as an object with a method per key, at every depth.
    def self.open(value)
      case value
      when Hash then OpenStruct.new(value.transform_values { |inner| self.open(inner) })
      when Array then value.map { |inner| self.open(inner) }
      else value
      end
    end
  end

  # `p` and `if_p`, over `@raw_properties`; of a job and of a link alike.
  module Lookup
    # A property without a value was asked for; the words are the Director's.
    class UnknownProperty < StandardError
      def initialize(names) = super("Can't find property '#{names}'")
    end

    # `p('a')`, `p('a', default)`, `p(['a', 'b'])`, `p(['a', 'b'], default)`: the first that has a value.
    # `false` is a value, nil is none.
    def p(*arguments)
      names = Array(arguments.first)
      names.each do |name|
        value = Properties.lookup(@raw_properties, name)
        return value unless value.nil?
      end
      return arguments[1] if arguments.length == 2

      raise UnknownProperty, names
    end

    # Yields the values of all names if each has one; `.else` and `.else_if_p` take the other case.
    def if_p(*names)
      values = names.map { |name| Properties.lookup(@raw_properties, name) }
      return Absent.new(self) if values.any?(&:nil?)

      yield(*values)
      Present.new
    end
  end

  # What `if_p` and `if_link` return after their block ran: the other branches are passed over.
  class Present
    def else; end

    def else_if_p(*_names) = self
    def else_if_link(_name) = self
  end

  # What they return where it did not run.
  class Absent
    def initialize(context) = @context = context
    def else = yield
    def else_if_p(*names, &block) = @context.if_p(*names, &block)
    def else_if_link(name, &block) = @context.if_link(name, &block)
  end
end
