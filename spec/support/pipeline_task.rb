# frozen_string_literal: true

# A task of a Concourse plan: its own configuration, and whether the step gives it what it asks for.
class PipelineTask
  KEYS = %w[platform rootfs_uri image_resource container_limits params run inputs outputs caches].freeze

  def initialize(pipeline, step, config)
    @pipeline = pipeline
    @step = step
    @config = config
  end

  # Judges, and returns the artifacts that it makes.
  def check(there)
    check_config
    check_inputs(there)
    check_params
    check_run(there)
    outputs = names('outputs')
    unknown(outputs, 'output_mapping').each { |name| problem("output_mapping: the task has no output `#{name}`") }
    outputs.to_h { |name| [mapped('output_mapping', name), nil] }
  end

  private

  def problem(what) = @pipeline.problem("#{@step.where} (task #{@step.name})", what)

  def names(key) = (@config[key] || []).map { |item| item['name'] }

  def mapped(mapping, name) = @step[mapping]&.fetch(name, nil) || name

  def unknown(known, mapping) = (@step[mapping] || {}).keys - known

  def check_config
    (@config.keys - KEYS).each { |key| problem("unknown key `#{key}`") }
    problem('no `platform`') unless @config['platform']
    problem('no image: neither `image_resource` nor `image`') unless @config['image_resource'] || @step['image']
    type = @config.dig('image_resource', 'type')
    problem("unknown type `#{type}` of image") if type && !Pipeline::BASE_TYPES.include?(type)
    %w[inputs outputs].each { |key| problem("one of the #{key} has no name") if names(key).any?(&:nil?) }
  end

  def check_inputs(there)
    unknown(names('inputs'), 'input_mapping').each { |name| problem("input_mapping: the task has no input `#{name}`") }
    (@config['inputs'] || []).each do |input|
      artifact = mapped('input_mapping', input['name'])
      problem("there is no artifact `#{artifact}` for the input `#{input['name']}`") unless there.key?(artifact) || input['optional']
    end
    problem("there is no artifact `#{@step['image']}` for the image") if @step['image'] && !there.key?(@step['image'])
  end

  # A parameter without a default has to be given; one that the task does not know is a misspelling.
  def check_params
    declared = @config['params'] || {}
    given = @step['params'] || {}
    (given.keys - declared.keys).each { |name| problem("the task does not know the parameter `#{name}`") }
    declared.each { |name, default| problem("the parameter `#{name}` is not given") if default.nil? && !given.key?(name) }
  end

  def check_run(there)
    path = @config.dig('run', 'path')
    return problem('nothing to run') unless path

    inputs = names('inputs').to_h { |name| [name, there[mapped('input_mapping', name)]] }
    script = @pipeline.file(path, inputs)
    return if script.nil? && !path.include?('/')
    return problem("#{path} lies in no input") unless script && inputs.key?(path.split('/').first)
    return problem("there is no file #{path}") unless File.file?(script)

    problem("#{path} cannot be executed") unless File.executable?(script)
    check_arguments
    check_reads(File.read(script))
  end

  # Our scripts take folders as arguments, and nothing else.
  def check_arguments
    folders = names('inputs') + names('outputs') + (@config['caches'] || []).map { |cache| cache['path'] }
    (@config.dig('run', 'args') || []).each do |argument|
      problem("the argument `#{argument}` is neither input nor output nor cache") unless folders.include?(argument.split('/').first)
    end
  end

  # A parameter that nobody reads promises something. BOSH_… are read by the CLI.
  def check_reads(script)
    (@config['params'] || {}).each_key do |name|
      problem("the script does not read the parameter `#{name}`") unless name.start_with?('BOSH_') || script.match?(/\b#{name}\b/)
    end
  end
end
