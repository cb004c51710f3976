# frozen_string_literal: true

RSpec.describe 'jobs/remount-agent' do
  def config(file = 'agent', &block) = JSON.parse(Landscape.database('remount-agent', &block)["config/#{file}.json"])

  def problems
    yield
    []
  rescue Renderer::Failed => e
    e.sentences
  end

  it 'renders as it always did' do
    expect(Landscape.database('remount-agent')).to match_golden('remount-agent')
  end

  it 'says whether the cluster is named by its group' do
    expect(config).to include('deployment' => 'pg-0001', 'cluster_per_group' => false)
    expect(config { |properties| properties['cluster_per_group'] = true }['cluster_per_group']).to be true
  end

  it 'takes port and programs of the server from the link' do
    expect(config['postgres']).to include('port' => 5432, 'bin_directory' => '/var/vcap/packages/postgres-15/bin')
  end

  it 'needs no job of ours beside it: where another release\'s server lies is said by properties' do
    standin = {
      'port' => 5524, 'bin_directory' => '/var/vcap/packages/postgres-15/bin',
      'data_directory' => '/var/vcap/store/postgres/postgres-15.18',
      'socket_directory' => '/var/vcap/sys/run/pg', 'superuser' => 'pgadmin',
    }
    files = Landscape.database('remount-agent', consumes: {}) { |properties| properties['postgres'] = standin }
    expect(JSON.parse(files['config/agent.json'])['postgres']).to include(standin)
    volumes = JSON.parse(files['config/bpm.yml']).dig('processes', 0, 'additional_volumes').map { |v| v['path'] }
    expect(volumes).to include('/var/vcap/sys/run/pg', '/var/vcap/store/postgres')
  end

  it 'shows bpm the whole disk to look at, and leaves its owner and mode as they are' do
    files = Landscape.database('remount-agent')
    volumes = JSON.parse(files['config/bpm.yml']).dig('processes', 0, 'additional_volumes')
    expect(volumes).to include('path' => '/var/vcap/store', 'mount_only' => true)
  end

  it 'names the file of the store, which has what is given and nothing else' do
    expect(config['store_file']).to eq('/var/vcap/jobs/remount-agent/config/store.json')
    fs = { 'type' => 'fs', 'root' => '/mnt/backups' }
    expect(config('store') { |properties| properties['store'] = fs.merge('ca' => '', 'bucket' => nil) }.except('signing')).to eq(fs)
  end

  it 'shows bpm the folder of a filesystem store, and the roles of the job postgres' do
    files = Landscape.database('remount-agent') do |properties|
      properties['store'] = { 'type' => 'fs', 'root' => '/mnt/backups' }
    end
    volumes = JSON.parse(files['config/bpm.yml']).dig('processes', 0, 'unsafe', 'unrestricted_volumes')
    expect(volumes.map { |volume| volume['path'] }).to eq(['/mnt/backups', '/var/vcap/jobs/postgres/config'])
  end

  it 'holds neither cloud nor Director credentials' do
    expect(Release.job('remount-agent').properties.keys.grep(/\A(cloud|director)/)).to eq([])
  end

  it 'refuses empty certificates, all in one sentence' do
    empty = ->(properties) { properties['tls'].merge!('certificate' => '', 'ca' => '') }
    expect { Landscape.database('remount-agent', &empty) }
      .to raise_error(Renderer::Failed, /the properties `tls.certificate`, `tls.ca` are empty/)
  end

  it 'says which properties are missing, of every file at once' do
    sentences = problems do
      Landscape.database('remount-agent') do |properties|
        properties.delete('store')
        properties.delete('tls')
      end
    end
    expect(sentences.map { |sentence| sentence[/Can't find property '\["(.*)"\]'/, 1] }.uniq)
      .to match_array(%w[store.type tls.ca tls.certificate tls.private_key])
  end

  # As the job `remount` does, whose template it is (spec/remount_spec.rb), and what only a mapping can have.
  it 'refuses a store that cannot work' do
    refusal = ->(change) { problems { config { |properties| properties['store'] = properties['store'].merge(change).compact } }.first }
    expect(refusal.call('type' => 'ftp')).to end_with('the property `store.type` is `ftp`, but may only be `s3` or `fs`')
    expect(refusal.call('bucket' => nil)).to include('are missing: `store.bucket`')
    expect(refusal.call('bukket' => 'a')).to include('unknown properties: `store.bukket`; jobs/remount/spec describes')
    expect(refusal.call('timeout_seconds' => '30', 'region' => 7))
      .to include('a value of a wrong type: `store.region`, `store.timeout_seconds`').or include('`store.timeout_seconds`, `store.region`')
  end

  it 'takes public keys, and has no private one' do
    refusal = ->(keys) { problems { config { |properties| properties['signing'] = { 'public_keys' => keys } } }.first }
    expect(refusal.call([])).to include('`signing.public_keys` is empty')
    expect(refusal.call('BEGIN PUBLIC KEY')).to include('is not array')
    expect(refusal.call(["-----BEGIN RSA PRIVATE KEY-----\nhush"])).to include('has to be a list of public keys').and(satisfy { |sentence| !sentence.include?('hush') })
    properties = Release.job('remount-agent').properties
    expect(properties.keys.grep(/signing/)).to eq(['signing.public_keys'])
    files = Landscape.database('remount-agent') { |given| given['signing']['private_key'] = 'hush' }
    expect(files.values.join).not_to include('hush')
    expect(files.values.join).not_to include('SIGNING KEY')
  end

  it 'insists on a PostgreSQL in its deployment' do
    expect(problems { Landscape.database('remount-agent', consumes: {}) }.first)
      .to include('the property `postgres.port` is missing')
  end
end
