# frozen_string_literal: true

require 'json'
require 'ostruct'
require 'yaml'
require_relative 'link'
require_relative 'properties'

module Renderer
  # What a template sees: `p`, `if_p`, `link`, `if_link`, `spec`, `properties`, as with the Director.
  class Context
    include Lookup

    # A template asked for a link that nobody provides.
    class UnknownLink < StandardError
      def initialize(name) = super("Can't find link '#{name}'")
    end

    attr_reader :properties, :raw_properties, :spec

    def initialize(properties, links, spec)
      @raw_properties = properties
      @links = links
      @properties = Properties.open(properties)
      @spec = Properties.open(spec)
    end

    def name = spec.name
    def index = spec.index

    # The link `name`, or an error if it has no provider.
    def link(name)
      raise UnknownLink, name unless provided?(name)

      Link.new(@links.fetch(name))
    end

    # Yields the link if it has a provider; `.else` and `.else_if_link` take the other case.
    def if_link(name)
      return Absent.new(self) unless provided?(name)

      yield link(name)
      Present.new
    end

    def template_binding = binding

    private

    def provided?(name) = @links[name]&.key?('instances') || false
  end
end
