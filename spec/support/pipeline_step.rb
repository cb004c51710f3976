# frozen_string_literal: true

# One step of a Concourse plan, with what its kind allows.
class PipelineStep
  HOOKS = %w[ensure on_error on_abort on_failure on_success].freeze
  MODIFIERS = (HOOKS + %w[across fail_fast attempts timeout tags]).freeze
  FIELDS = {
    'get' => %w[resource version params passed trigger],
    'put' => %w[resource params inputs get_params no_get],
    'task' => %w[privileged hermetic file container_limits config params vars input_mapping output_mapping image],
    'set_pipeline' => %w[file team vars var_files instance_vars],
    'load_var' => %w[file format reveal],
    'run' => %w[type params privileged container_limits],
    'try' => [], 'do' => [], 'in_parallel' => [],
  }.freeze
  DURATION = /\A(\d+(\.\d+)?(ns|us|ms|s|m|h))+\z/

  attr_reader :where

  def initialize(fields, where)
    @fields = fields
    @where = where
  end

  def [](key) = @fields[key]

  # The first that is there, as Concourse looks for them; none in a step that says nothing.
  def kind = %w[run task put get set_pipeline load_var try do in_parallel].find { |name| @fields.key?(name) }

  def name = @fields[kind]

  def resource = (@fields['resource'] || name if %w[get put].include?(kind))

  # The steps inside of it, in order: those of `do`, `try` and `in_parallel`.
  def inner
    case kind
    when 'do' then wrap(name)
    when 'try' then wrap([name])
    when 'in_parallel' then wrap(name.is_a?(Hash) ? name['steps'] : name)
    else []
    end
  end

  def hooks = HOOKS.filter_map { |hook| @fields[hook] && PipelineStep.new(@fields[hook], "#{where}.#{hook}") }

  def and_below = [self] + (inner + hooks).flat_map(&:and_below)

  # What is wrong with it, whatever is around it.
  def faults
    return ['says nothing to do'] unless kind

    unknown = @fields.keys - [kind] - FIELDS.fetch(kind) - MODIFIERS
    unknown.map { |key| "`#{key}` is nothing for `#{kind}`" } + limits + files
  end

  private

  def limits
    found = []
    found << "`#{@fields['timeout']}` is no duration" if @fields.key?('timeout') && !@fields['timeout'].to_s.match?(DURATION)
    found << '`attempts` must be more than 0' if @fields.key?('attempts') && @fields['attempts'].to_i < 1
    found
  end

  def files
    given = [@fields['file'], @fields['config']].compact.length
    return ['needs one of `file` and `config`'] if kind == 'task' && given != 1
    return ['needs a `file`'] if %w[set_pipeline load_var].include?(kind) && !@fields['file']

    []
  end

  def wrap(steps) = (steps || []).each_with_index.map { |step, index| PipelineStep.new(step, "#{where}.#{kind}[#{index}]") }
end
