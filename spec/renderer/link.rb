# frozen_string_literal: true

require_relative 'properties'

module Renderer
  # A link as its consumer sees it: the provider's instances and the properties it exports.
  class Link
    include Lookup

    # One instance of the provider; `p` and `if_p` look into the properties the Director gives it.
    LinkInstance = Struct.new(:name, :id, :index, :az, :address, :bootstrap, :properties, keyword_init: true) do
      include Lookup

      def initialize(**members)
        super
        @raw_properties = properties || {}
      end
    end

    # Nothing to make an address from.
    class NoAddress < StandardError
      def initialize = super('The link has neither address nor instances')
    end

    attr_reader :instances, :properties

    def initialize(given)
      @raw_properties = given['properties'] || {}
      @properties = @raw_properties # a hash: only a job's own `properties` have methods
      @address = given['address']
      @instances = (given['instances'] || []).map do |instance|
        LinkInstance.new(**instance.transform_keys(&:to_sym).slice(*LinkInstance.members))
      end
    end

    # The group's address. The lab has no DNS of its own, so it is the bootstrap instance's where none is given.
    def address(_criteria = {})
      @address || (instances.find(&:bootstrap) || instances.first)&.address || raise(NoAddress)
    end
  end
end
