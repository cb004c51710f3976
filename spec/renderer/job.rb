# frozen_string_literal: true

require 'erb'
require 'yaml'
require_relative 'context'
require_relative 'schema'

module Renderer
  # A job's folder: its spec, its monit file, its templates.
  class Job
    # The folder is not a job; the message says why.
    class Unreadable < StandardError; end

    attr_reader :dir, :spec

    def self.load(dir)
      spec = YAML.safe_load_file(File.join(dir, 'spec'))
      raise Unreadable, "#{dir}/spec is not a mapping" unless spec.is_a?(Hash)

      new(dir, spec)
    rescue SystemCallError => e
      raise Unreadable, "#{dir}/spec cannot be read: #{e.message}"
    rescue Psych::Exception => e
      raise Unreadable, "#{dir}/spec is not YAML: #{e.message}"
    end

    def initialize(dir, spec)
      @dir = dir
      @spec = spec
    end

    def name = spec.fetch('name', '')

    # Template (file below templates/) => destination below the job's folder on the VM.
    def templates = spec.fetch('templates', nil) || {}

    # Property name => {description, default, example}.
    def properties = spec.fetch('properties', nil) || {}

    # Link name => optional?
    def consumed_links
      (spec['consumes'] || []).to_h { |link| [link.fetch('name'), link.fetch('optional', false)] }
    end

    # Checks the properties against properties_schema.json, then renders all templates and monit. Yields one sentence per problem; the files without a problem are
    # returned: destination => {content, executable}.
    def render(properties:, consumes:, spec:)
      missing = missing_links(consumes)
      missing.each { |link| yield "job #{name}: the link `#{link}` has no provider" }
      visible = declared(properties)
      unfit = Schema.load(dir)&.problems(visible) || []
      return unfit.each { |problem| yield "job #{name}: #{problem}" } unless unfit.empty?

      sources.each_with_object({}) do |(source, destination), files|
        # Each template has its own copy: what one changes in a property is not seen by the next.
        context = Context.new(*Marshal.load(Marshal.dump([visible, consumes.slice(*consumed_links.keys), spec])))
        content = fill_in(source, context) { |problem| yield "job #{name}: #{destination}: #{problem}" }
        files[destination] = { 'content' => content, 'executable' => destination.start_with?('bin/') } if content
      end
    end

    private

    def sources
      all = templates.to_h { |file, destination| [File.join(dir, 'templates', file), destination] }
      all.merge(File.join(dir, 'monit') => 'monit')
    end

    def missing_links(consumes)
      consumed_links.reject { |link, optional| optional || consumes.key?(link) }.keys
    end

    # A template may fail in any way its Ruby can, a syntax error included; each is a problem to report.
    def fill_in(source, context)
      erb = ERB.new(File.read(source), trim_mode: '-')
      erb.filename = source
      erb.result(context.template_binding)
    rescue StandardError, ScriptError, SystemExit => e
      yield "#{line_of(e, source)}#{e.message.lines.first&.chomp}"
      nil
    end

    def line_of(error, source)
      at = (error.backtrace || []).find { |frame| frame.start_with?("#{source}:") }
      at ? "line #{at.delete_prefix("#{source}:").to_i}: " : ''
    end

    # Only what the spec declares is visible to templates, with the spec's default where nothing is given.
    def declared(given)
      properties.each_with_object({}) do |(path, definition), visible|
        value = Properties.given(given, path)
        value = (definition || {})['default'] if value.nil?
        Properties.store(visible, path, value)
      end
    end
  end
end
