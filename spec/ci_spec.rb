# frozen_string_literal: true

require 'open3'

require_relative 'support/pipeline'

RSpec.describe 'ci/' do
  let(:text) { File.read(Release.path('ci', 'pipeline.yml')) }
  let(:tasks) { Dir.glob(Release.path('ci', 'tasks', '*.yml')).map { |file| File.basename(file, '.yml') } }

  def pipeline(config) = Pipeline.new(config, root: Release::ROOT, repository: 'remount')

  # The problems of our pipeline after it was broken.
  def broken
    config = YAML.safe_load(text, aliases: true)
    # Aliases are one object in several places: a break shall be in one.
    config = Marshal.load(Marshal.dump(config))
    yield config
    pipeline(config).problems
  end

  def job(config, name) = config['jobs'].find { |found| found['name'] == name }

  def task(config, job, name) = job(config, job)['plan'].find { |step| step['task'] == name }

  it 'has a pipeline that Concourse takes, and whose tasks get what they ask for' do
    expect(pipeline(YAML.safe_load(text, aliases: true)).problems).to eq([])
  end

  describe 'a pipeline that is wrong' do
    {
      'an unknown key at the top' => [->(p) { p['job'] = [] }, /unknown key `job`/],
      'no job' => [->(p) { p.replace('jobs' => []) }, /jobs: there is none/],
      'two jobs of one name' => [->(p) { p['jobs'] << { 'name' => 'test', 'plan' => [] } }, /`test` is there 2 times/],
      'two resources of one name' => [->(p) { p['resources'] << p['resources'][0].dup }, /`remount` is there 2 times/],
      'a name that is no identifier' => [->(p) { p['resources'][0]['name'] = 'Remount' }, /`Remount` is no identifier/],
      'a job in no group' => [->(p) { p['groups'][1]['jobs'].pop }, /job next-major: is in no group/],
      'a group of no job' => [->(p) { p['groups'][0]['jobs'] << 'ship' }, /no job is `ship`/],
      'an unknown type of resource' => [->(p) { p['resources'][0]['type'] = 'svn' }, /unknown type `svn`/],
      'a resource with an unknown key' => [->(p) { p['resources'][0]['branch'] = 'main' }, /resource remount: unknown key `branch`/],
      'a resource that nobody uses' => [->(p) { p['resources'] << { 'name' => 'clock', 'type' => 'time' } }, /clock: is not used/],
      'a job with an unknown key' => [->(p) { p['jobs'][0]['serial_group'] = ['a'] }, /unknown key `serial_group`/],
      'a step that says nothing' => [->(p) { p['jobs'][0]['plan'] << { 'params' => {} } }, /says nothing to do/],
      'a step with an unknown field' => [->(p) { p['jobs'][0]['plan'][0]['pased'] = [] }, /`pased` is nothing for `get`/],
      'a field of another kind of step' => [->(p) { p['jobs'][0]['plan'][0]['file'] = 'x' }, /`file` is nothing for `get`/],
      'an unknown resource' => [->(p) { p['jobs'][0]['plan'] << { 'get' => 'clock' } }, /unknown resource `clock`/],
      'one resource fetched twice' => [->(p) { p['jobs'][0]['plan'] << { 'get' => 'remount' } }, /gets `remount` 2 times/],
      'passed by an unknown job' => [->(p) { p['jobs'][1]['plan'][0]['passed'] = ['tests'] }, /no job is `tests`/],
      'passed by a job without that resource' =>
        [->(p) { p['jobs'][1]['plan'][1]['passed'] = ['test'] }, /job `test` neither gets nor puts `bosh-cli`/],
      'jobs that wait for each other' => [->(p) { p['jobs'][0]['plan'][0]['passed'] = ['publish'] }, /job test: waits for itself/],
      'a timeout that is no duration' => [->(p) { p['jobs'][1]['plan'][3]['timeout'] = '1 hour' }, /`1 hour` is no duration/],
      'no attempts' => [->(p) { p['jobs'][1]['plan'][3]['attempts'] = 0 }, /`attempts` must be more than 0/],
      'a task without a configuration' => [->(p) { p['jobs'][1]['plan'][3].delete('file') }, /needs one of `file` and `config`/],
      'a hook that is wrong' =>
        [->(p) { p['jobs'][1]['on_failure'] = { 'put' => 'chat' } }, /build.on_failure: unknown resource `chat`/],
      'a put of what is not there' =>
        [->(p) { p['jobs'][1]['plan'].last['params']['file'] = 'tarball/*.tgz' }, /there is no artifact `tarball`/],
    }.each do |name, (breaking, expected)|
      it "is refused for #{name}" do
        expect(broken(&breaking)).to include(match(expected))
      end
    end

    it 'is refused for a task file that is not there' do
      expect(broken { |p| task(p, 'build', 'create-release')['file'] = 'remount/ci/tasks/make.yml' })
        .to include(match(%r{there is no file remount/ci/tasks/make.yml}))
    end

    it 'is refused for a task file of an artifact that was not fetched' do
      expect(broken { |p| task(p, 'build', 'create-release')['file'] = 'source/ci/tasks/create-release.yml' })
        .to include(match(/there is no artifact `source`/))
    end

    it 'is refused for an input that nobody makes before' do
      expect(broken { |p| job(p, 'acceptance')['plan'].reject! { |step| step['task'] == 'backup' } })
        .to include(match(/there is no artifact `rehearsal` for the input `rehearsal`/))
    end

    it 'is refused for an input that only a later step makes' do
      expect(broken { |p| job(p, 'acceptance')['plan'].insert(1, job(p, 'acceptance')['plan'].delete_at(4)) })
        .to include(match(/task restore\): there is no artifact `rehearsal`/))
    end

    it 'is refused for an input from a parallel branch' do
      expect(broken { |p| job(p, 'build')['plan'] = [{ 'in_parallel' => job(p, 'build')['plan'] }] })
        .to include(match(/there is no artifact `remount`/))
    end

    it 'is refused for a mapping of what the task does not have' do
      found = broken do |p|
        task(p, 'acceptance', 'deploy')['input_mapping']['sources'] = 'remount'
        task(p, 'acceptance', 'backup')['output_mapping'] = { 'notes' => 'rehearsal' }
      end
      expect(found).to include(match(/no input `sources`/), match(/no output `notes`/))
    end

    it 'is refused for a parameter that the task does not know, and for one that is missing' do
      found = broken do |p|
        task(p, 'acceptance', 'backup')['params'] = { 'BOSH_CLIENT' => 'x' }
        task(p, 'publish', 'finalize')['params'] = task(p, 'publish', 'finalize')['params'].merge('GIT_MAIL' => 'x')
      end
      expect(found).to include(match(/`BOSH_ENVIRONMENT` is not given/), match(/does not know the parameter `GIT_MAIL`/))
    end

    def with_config
      broken do |p|
        step = task(p, 'build', 'create-release')
        step['config'] = Release.yaml('ci', 'tasks', 'create-release.yml')
        step.delete('file')
        yield step['config']
      end
    end

    {
      'an unknown key' => [->(c) { c['ouputs'] = [] }, /unknown key `ouputs`/],
      'no platform' => [->(c) { c.delete('platform') }, /no `platform`/],
      'no image' => [->(c) { c.delete('image_resource') }, /no image/],
      'an image of unknown type' => [->(c) { c['image_resource']['type'] = 'oci' }, /unknown type `oci` of image/],
      'an output without a name' => [->(c) { c['outputs'] << { 'path' => 'x' } }, /one of the outputs has no name/],
      'nothing to run' => [->(c) { c.delete('run') }, /nothing to run/],
      'a script that is not there' => [->(c) { c['run']['path'] = 'remount/ci/tasks/x.sh' }, %r{no file remount/ci/tasks/x.sh}],
      'a script in no input' => [->(c) { c['run']['path'] = 'other/ci/tasks/test.sh' }, %r{other/ci/tasks/test.sh lies in no input}],
      'a script that cannot be executed' => [->(c) { c['run']['path'] = 'remount/ci/lib.sh' }, /cannot be executed/],
      'an argument that is no folder of it' => [->(c) { c['run']['args'] << 'tarballs' }, /the argument `tarballs`/],
      'a parameter that nobody reads' => [->(c) { c['params'] = { 'SPEED' => 'fast' } }, /does not read the parameter `SPEED`/],
    }.each do |name, (breaking, expected)|
      it "is refused for a task with #{name}" do
        expect(with_config(&breaking)).to include(match(expected))
      end
    end
  end

  it 'never lets two jobs use the Director at once' do
    config = YAML.safe_load(text, aliases: true)
    using = config['jobs'].select { |found| found['plan'].to_s.include?('BOSH_ENVIRONMENT') }
    expect(using.map { |found| found['name'] }).to eq(%w[acceptance upgrade])
    expect(using.map { |found| found['serial_groups'] }).to all(eq(['director']))
  end

  it 'has a script beside each task, a task in the pipeline for each file, and a manual in each script' do
    scripts = Dir.glob(Release.path('ci', 'tasks', '*.sh')).map { |file| File.basename(file, '.sh') }
    expect(scripts).to match_array(tasks)
    expect(text.scan(%r{ci/tasks/([a-z-]+)\.yml}).flatten.uniq).to match_array(tasks)
    tasks.each do |name|
      expect(File.read(Release.path('ci', 'tasks', "#{name}.sh"))).to match(%r{\A#!/bin/bash\n(# .*\n#\n)?#.*\n.*^#   ci/tasks/#{name}\.sh}m)
    end
  end

  it 'takes every secret from a variable, and README.md lists them all' do
    table = File.read(Release.path('ci', 'README.md'))[/^\| variable \|.*?\n\n/m]
    listed = table.scan(/^\| `([a-z0-9_]+)` \|/).flatten
    expect(listed).to match_array(text.scan(/\(\(([^()]+)\)\)/).flatten.uniq)
    given = text.scan(/^\s*(\w*(?:secret|private_key|password|token)\w*):\s*(.*)$/i)
    expect(given).not_to be_empty
    expect(given.map(&:last)).to all(match(/\A\(\(\w+\)\)\z/))
  end

  it 'documents each job and each task' do
    readme = File.read(Release.path('ci', 'README.md'))
    jobs = YAML.safe_load(text, aliases: true)['jobs'].map { |found| found['name'] }
    expect(jobs.reject { |name| readme.include?("`#{name}`") }).to eq([])
    expect(tasks.reject { |name| readme.include?("ci/tasks/#{name}.sh") }).to eq([])
  end

  scripts = %w[ci/**/* scripts/*].flat_map { |glob| Dir.glob(Release.path(glob)) }
                                 .select { |file| File.file?(file) && (file.end_with?('.sh') || !File.basename(file).include?('.')) }
  scripts.each do |script|
    it "shellcheck has nothing to say about #{script.delete_prefix("#{Release::ROOT}/")}" do
      output, status = Open3.capture2e('shellcheck', '--external-sources', script, chdir: Release::ROOT)
      expect(status).to be_success, output
    end
  end
end
