# frozen_string_literal: true

RSpec.describe 'jobs/remount-agent' do
  def config(&block) = JSON.parse(Landscape.database('remount-agent', &block)['config/agent.json'])

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

  it 'leaves out what the store does not need' do
    fs = { 'type' => 'fs', 'root' => '/mnt/backups', 'signing_key' => '00' * 32 }
    expect(config { |properties| properties['store'] = fs }['store'])
      .to eq(fs.merge('timeout_seconds' => 30))
  end

  it 'names the file of the store\'s authority only where there is one' do
    expect(config['store']).not_to have_key('ca_file')
    expect(config { |properties| properties['store']['ca'] = 'PEM' }['store']['ca_file']).to end_with('/store-ca.pem')
  end

  it 'shows bpm the folder of a filesystem store' do
    files = Landscape.database('remount-agent') do |properties|
      properties['store'] = { 'type' => 'fs', 'root' => '/mnt/backups', 'signing_key' => '00' * 32 }
    end
    volumes = JSON.parse(files['config/bpm.yml']).dig('processes', 0, 'unsafe', 'unrestricted_volumes')
    expect(volumes.map { |volume| volume['path'] }).to eq(['/mnt/backups'])
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
        properties['store'].delete('signing_key')
        properties.delete('tls')
      end
    end
    expect(sentences.map { |sentence| sentence[/Can't find property '\["(.*)"\]'/, 1] })
      .to match_array(%w[store.signing_key tls.ca tls.certificate tls.private_key])
  end

  it 'refuses a store that cannot work' do
    refusal = ->(change) { problems { config { |properties| properties['store'] = properties['store'].merge(change).compact } }.first }
    expect(refusal.call('type' => 'ftp')).to end_with('the property `store.type` is `ftp`, but may only be `s3` or `fs`')
    expect(refusal.call('type' => 'fs')).to include('store.root')
    expect(refusal.call('bucket' => nil)).to include('store.bucket')
    expect(refusal.call('access_key_id' => nil)).to include('go together')
    expect(refusal.call('signing_key' => 'hush')).to include('64 hex digits').and(satisfy { |sentence| !sentence.include?('hush') })
  end

  it 'insists on a PostgreSQL in its deployment' do
    expect(problems { Landscape.database('remount-agent', consumes: {}) }.first)
      .to include('the property `postgres.port` is missing')
  end
end
