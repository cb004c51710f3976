# frozen_string_literal: true

require_relative 'pipeline_task'

# What is there when a step of a job runs: what was fetched, put and made before it. Concourse finds out during
# the build, after an hour of it perhaps; here it is known beforehand.
class PipelineArtifacts
  def initialize(pipeline, job)
    @pipeline = pipeline
    @job = job
  end

  def check
    @pipeline.steps(@job).reduce({}) { |there, step| after(step, there) }
  end

  private

  # The artifacts after a step, as name => resource (a task's output is of none).
  def after(step, there)
    done = there.merge(made_by(step, there))
    step.hooks.each { |hook| after(hook, done) }
    done
  end

  def made_by(step, there)
    case step.kind
    when 'get' then { step.name => step.resource }
    when 'put' then put(step, there)
    when 'task' then task(step, there)
    when 'do', 'try' then step.inner.reduce({}) { |made, inner| made.merge(made_by_inner(inner, there.merge(made))) }
    # Branches do not see each other.
    when 'in_parallel' then step.inner.map { |inner| made_by_inner(inner, there) }.reduce({}, :merge)
    else {}
    end
  end

  def made_by_inner(step, there) = after(step, there).reject { |name, of| there[name] == of && there.key?(name) }

  def put(step, there)
    named = step['inputs'].is_a?(Array) ? step['inputs'] : []
    # By the resources' own convention these parameters are paths, or globs, below an artifact.
    named += %w[file repository tag].filter_map { |key| step['params']&.fetch(key, nil)&.split('/')&.first }
    named += (step['params']&.fetch('globs', nil) || []).map { |glob| glob.split('/').first }
    (named.uniq - there.keys).each { |name| @pipeline.problem(step.where, "there is no artifact `#{name}`") }
    step['no_get'] ? {} : { step.name => step.resource }
  end

  def task(step, there)
    file = step['file'] && @pipeline.file(step['file'], there)
    artifact = step['file'].to_s.split('/').first
    if step['file'] && !there.key?(artifact)
      @pipeline.problem(step.where, "there is no artifact `#{artifact}`")
      return {}
    end
    return {} unless step['config'] || file

    unless step['config'] || File.file?(file)
      @pipeline.problem(step.where, "there is no file #{step['file']}")
      return {}
    end
    config = step['config'] || YAML.safe_load_file(file)
    PipelineTask.new(@pipeline, step, config).check(there)
  end
end
