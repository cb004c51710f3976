#!/usr/bin/env ruby
# frozen_string_literal: true

# Renders the templates of jobs as the Director does: JSON on standard input, JSON on standard output
# (docs/formats.md, section 6). The lab's Director calls it as a program; spec/ uses it as a library.
#
# All problems of all templates are reported, one sentence each, on standard error; then it ends with 1
# and prints nothing on standard output, so a half-rendered VM cannot come to be.

require 'json'
require_relative 'job'

module Renderer
  # Problems found while rendering; `sentences` holds one per problem.
  class Failed < StandardError
    attr_reader :sentences

    def initialize(sentences)
      super(sentences.join("\n"))
      @sentences = sentences
    end
  end

  # Renders every job of `request` (the hash of the contract) and returns the answer's hash.
  def self.render(request)
    problems = []
    jobs = request.fetch('jobs').map { |asked| render_job(asked, request.fetch('spec'), problems) }
    raise Failed, problems unless problems.empty?

    { 'jobs' => jobs }
  rescue KeyError => e
    raise Failed, ["the request has no `#{e.key}`"]
  end

  def self.render_job(asked, instance, problems)
    name = asked.fetch('name')
    job = Job.load(asked.fetch('dir'))
    job.name == name or problems << "job #{name}: its spec calls it `#{job.name}`"
    files = job.render(properties: asked['properties'] || {}, consumes: asked['consumes'] || {}, spec: instance) do |problem|
      problems << problem
    end
    { 'name' => name, 'files' => files }
  rescue Job::Unreadable, Schema::Unreadable, Properties::NotAHash => e
    problems << "job #{asked['name']}: #{e.message}"
    nil
  end
  private_class_method :render_job

  # The program: returns its exit code.
  def self.main(input, output, errors)
    output.puts JSON.pretty_generate(render(JSON.parse(input.read)))
    0
  rescue JSON::ParserError => e
    errors.puts "the request on standard input is not JSON: #{e.message.lines.first&.chomp}"
    1
  rescue Failed => e
    errors.puts e.sentences
    1
  end
end

exit Renderer.main($stdin, $stdout, $stderr) if $PROGRAM_NAME == __FILE__
