# frozen_string_literal: true

require 'json'

module Renderer
  # A job's properties_schema.json. `bosh create-release` packs it and the Director checks a job's properties
  # against it before it renders. Here are the keywords that our schemas use; another one is an error, so
  # that no rule is believed to hold that nobody checks.
  class Schema
    # The file cannot be used; the message says why.
    class Unreadable < StandardError; end

    FILE = 'properties_schema.json'
    # The Director accepts this one alone.
    DRAFT = 'https://json-schema.org/draft/2020-12/schema'
    KEYWORDS = %w[type enum minimum maximum pattern items properties required additionalProperties].freeze
    TYPES = {
      'string' => [String], 'integer' => [Integer, ->(value) { value.is_a?(Float) && (value % 1).zero? }],
      'number' => [Numeric], 'boolean' => [TrueClass, FalseClass],
      'array' => [Array], 'object' => [Hash], 'null' => [NilClass]
    }.freeze

    # The schema of the job in `dir`, or nil: it needs none.
    def self.load(dir)
      file = File.join(dir, FILE)
      return nil unless File.exist?(file)

      new(JSON.parse(File.read(file)), file)
    rescue JSON::ParserError => e
      raise Unreadable, "#{file} is not JSON: #{e.message.lines.first&.chomp}"
    end

    attr_reader :root

    def initialize(root, file)
      raise Unreadable, "#{file} has to declare `$schema` as #{DRAFT}" unless root.is_a?(Hash) && root['$schema'] == DRAFT

      @root = root.except('$schema')
      each_part(@root) do |part|
        unknown = part.keys - KEYWORDS
        raise Unreadable, "#{file} uses `#{unknown.join('`, `')}`, which is not checked here" unless unknown.empty?
      end
    end

    # One sentence per value that does not fit.
    def problems(properties) = check(@root, properties, '')

    # Dotted names of the properties that it names, as in the spec: what has members of its own is a level, not a property.
    def names(part = @root, path = [])
      return [path.join('.')] unless part.key?('properties') || part['additionalProperties'].is_a?(Hash)

      part.fetch('properties', {}).flat_map { |name, inner| names(inner, path + [name]) }
    end

    # What a property has to be, by its dotted name; nil where nothing is said of it.
    def rule(name)
      name.split('.').reduce(@root) do |part, key|
        other = part['additionalProperties']
        part.dig('properties', key) || (other if other.is_a?(Hash)) || (return nil)
      end
    end

    private

    def each_part(part, &block)
      yield part
      part.fetch('properties', {}).each_value { |inner| each_part(inner, &block) }
      each_part(part['items'], &block) if part.key?('items')
      each_part(part['additionalProperties'], &block) if part['additionalProperties'].is_a?(Hash)
    end

    def check(part, value, at)
      problem = mismatch(part, value)
      return ["value at `#{at}` #{problem}"] if problem

      case value
      when Hash then check_members(part, value, at)
      when Array then value.each_with_index.flat_map { |item, n| check(part.fetch('items', {}), item, "#{at}/#{n}") }
      else []
      end
    end

    def check_members(part, hash, at)
      known = part.fetch('properties', {})
      problems = (part.fetch('required', []) - hash.keys).map { |name| "value at `#{at}` has no `#{name}`" }
      others = hash.except(*known.keys)
      problems += case part['additionalProperties']
                  when false then others.keys.map { |name| "value at `#{at}/#{name}` is unknown" }
                  when Hash then others.flat_map { |name, inner| check(part['additionalProperties'], inner, "#{at}/#{name}") }
                  else []
                  end
      problems + known.slice(*hash.keys).flat_map { |name, inner| check(inner, hash[name], "#{at}/#{name}") }
    end

    # Why the value itself does not fit, or nil.
    def mismatch(part, value)
      types = Array(part['type'])
      return "is not #{types.join(' or ')}" unless types.empty? || types.any? { |type| TYPES.fetch(type).any? { |known| known === value } }
      return "is not one of: #{part['enum'].compact.join(', ')}" if part.key?('enum') && !part['enum'].include?(value)
      return "is less than #{part['minimum']}" if part.key?('minimum') && value.is_a?(Numeric) && value < part['minimum']
      return "is more than #{part['maximum']}" if part.key?('maximum') && value.is_a?(Numeric) && value > part['maximum']

      "does not match #{part['pattern']}" if part.key?('pattern') && value.is_a?(String) && !value.match?(Regexp.new(part['pattern']))
    end
  end
end
