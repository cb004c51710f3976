# frozen_string_literal: true

require_relative 'pipeline_step'
require_relative 'pipeline_artifacts'

# A Concourse pipeline, checked by the rules that Concourse itself applies (atc/configvalidate and
# atc/step_validator.go, read in August 2026), and by those that show only when a build runs: what a task is
# given, and whether its files are there.
class Pipeline
  KEYS = %w[groups var_sources resources resource_types prototypes jobs display user_data].freeze
  JOB_KEYS = %w[name old_name public disable_manual_trigger disable_reruns serial interruptible serial_groups
                max_in_flight tags build_log_retention on_success on_failure on_abort on_error ensure plan].freeze
  RESOURCE_KEYS = %w[name old_name public webhook_token type source check_every check_timeout tags version icon
                     expose_build_created_by].freeze
  # What a worker brings along.
  BASE_TYPES = %w[git hg registry-image docker-image s3 semver time github-release bosh-io-release bosh-io-stemcell
                  pool mock].freeze
  IDENTIFIER = /\A[\p{Ll}\p{Lt}\p{Lm}\p{Lo}\d][\p{Ll}\p{Lt}\p{Lm}\p{Lo}\d\-_.]*\z/

  attr_reader :config, :root, :problems

  # `repository` is the resource that is this checkout, which lies at `root`.
  def initialize(config, root:, repository:)
    @config = config
    @root = root
    @repository = repository
    @problems = []
    check
  end

  def problem(where, what) = @problems << "#{where}: #{what}"

  def resources = list('resources')

  def jobs = list('jobs')

  def resource(name) = resources.find { |resource| resource['name'] == name }

  # The steps of a job, its hooks included.
  def steps(job)
    hooks = PipelineStep::HOOKS.filter_map { |hook| job[hook] && ["#{job['name']}.#{hook}", job[hook]] }
    plan = (job['plan'] || []).each_with_index.map { |step, index| ["#{job['name']}.plan[#{index}]", step] }
    (plan + hooks).map { |where, step| PipelineStep.new(step, where) }
  end

  def all_steps(job) = steps(job).flat_map(&:and_below)

  # A file of this checkout, given as Concourse names it: `<artifact>/<path>`.
  def file(path, artifacts)
    artifact, inner = path.split('/', 2)
    File.join(root, inner) if inner && artifacts.fetch(artifact, artifact) == @repository
  end

  def repository?(resource) = resource == @repository

  private

  def list(key) = config.fetch(key, nil) || []

  def check
    (config.keys - KEYS).each { |key| problem('pipeline', "unknown key `#{key}`") }
    problem('jobs', 'there is none') if jobs.empty?
    check_names
    check_resources
    check_groups
    jobs.each { |job| check_job(job) }
    check_cycles if problems.empty?
  end

  def check_names
    %w[resources resource_types jobs groups].each do |key|
      names = list(key).map { |item| item['name'].to_s }
      names.tally.each { |name, count| problem(key, "`#{name}` is there #{count} times") if count > 1 }
      names.each { |name| identifier(key, name) }
    end
  end

  def identifier(where, name)
    problem(where, "`#{name}` is no identifier") unless name.to_s.match?(IDENTIFIER) && !name.to_s.match?(/\A\d+\z/)
  end

  def check_resources
    types = BASE_TYPES + list('resource_types').map { |type| type['name'] }
    used = jobs.flat_map { |job| all_steps(job) }.filter_map(&:resource)
    resources.each do |resource|
      name = resource['name']
      problem("resource #{name}", "unknown type `#{resource['type']}`") unless types.include?(resource['type'])
      problem("resource #{name}", 'is not used') unless used.include?(name)
      (resource.keys - RESOURCE_KEYS).each { |key| problem("resource #{name}", "unknown key `#{key}`") }
    end
  end

  def check_groups
    return if list('groups').empty?

    globs = list('groups').flat_map { |group| group['jobs'] || [] }
    globs.each { |glob| problem('groups', "no job is `#{glob}`") if jobs.none? { |job| File.fnmatch(glob, job['name']) } }
    jobs.each do |job|
      problem("job #{job['name']}", 'is in no group') if globs.none? { |glob| File.fnmatch(glob, job['name']) }
    end
  end

  def check_job(job)
    (job.keys - JOB_KEYS).each { |key| problem("job #{job['name']}", "unknown key `#{key}`") }
    found = all_steps(job)
    found.each { |step| check_step(step) }
    found.select { |step| step.kind == 'get' }.map(&:name).tally.each do |name, count|
      problem("job #{job['name']}", "gets `#{name}` #{count} times") if count > 1
    end
    PipelineArtifacts.new(self, job).check if found.all?(&:kind)
  end

  def check_step(step)
    step.faults.each { |fault| problem(step.where, fault) }
    return unless step.resource

    identifier(step.where, step.name)
    return problem(step.where, "unknown resource `#{step.resource}`") unless resource(step.resource)

    (step['passed'] || []).each { |glob| check_passed(step, glob) }
  end

  def check_passed(step, glob)
    matching = jobs.select { |job| File.fnmatch(glob, job['name']) }
    problem(step.where, "passed: no job is `#{glob}`") if matching.empty?
    matching.each do |job|
      next if all_steps(job).any? { |other| other.resource == step.resource }

      problem(step.where, "passed: job `#{job['name']}` neither gets nor puts `#{step.resource}`")
    end
  end

  def check_cycles
    before = jobs.to_h do |job|
      [job['name'], all_steps(job).flat_map { |step| step['passed'] || [] }
                                  .flat_map { |glob| jobs.map { |other| other['name'] }.select { |name| File.fnmatch(glob, name) } }]
    end
    before.each_key do |name|
      reached = before[name].dup
      reached.each { |at| reached.concat(before[at] - reached) }
      problem("job #{name}", 'waits for itself by `passed`') if reached.include?(name)
    end
  end
end
