# frozen_string_literal: true

RSpec.describe 'docs/colocation.md' do
  standin = File.join(Release::ROOT, 'src/lab/tests/standin')
  job = lambda do |jobs, name|
    jobs.find { |entry| entry['name'] == name }
  end
  told = YAML.safe_load(File.read(File.join(Release::ROOT, 'docs/colocation.md'))[/^```yaml\n(.*?)^```/m, 1])['jobs']
  shown = YAML.safe_load_file(File.join(standin, 'manifest.yml')).dig('instance_groups', 0, 'jobs')

  it 'tells of the agent what is deployed beside the stand-in' do
    agent = job.call(shown, 'remount-agent')
    expect(job.call(told, 'remount-agent')['properties']['postgres']).to eq(agent['properties']['postgres'])
    expect(job.call(told, 'remount-agent')['consumes']).to eq('postgres' => 'nil')
    declared = Release.job('remount-agent').properties.keys
    expect(agent['properties']['postgres'].keys.map { |key| "postgres.#{key}" } - declared).to eq([])
  end

  it 'tells of archiving what is deployed there' do
    settings = ->(jobs) { job.call(jobs, 'postgres')['properties']['databases']['additional_config'] }
    archiving = ->(all) { all.select { |name, _| name.start_with?('archive') } }
    expect(archiving.call(settings.call(told))).to eq(archiving.call(settings.call(shown)))
    expect(settings.call(told)['unix_socket_directories']).to include('/var/vcap/sys/run/postgres')
  end

  it 'has a stand-in whose scripts pass shellcheck' do
    scripts = %w[pre-start start].map { |name| File.join(standin, 'postgres/templates', name) }
    expect(system('shellcheck', '--shell=bash', '--exclude=SC1091,SC2154', *scripts)).to be(true)
  end
end
