# frozen_string_literal: true

# The job that renders Director, cloud, store and keys once for its VM.
RSpec.describe 'jobs/remount' do
  def rendered(&block) = Landscape.control_plane('remount', &block)

  def config(file, &block) = JSON.parse(rendered(&block)["config/#{file}.json"])

  def problems(&block)
    rendered(&block)
    []
  rescue Renderer::Failed => e
    e.sentences
  end

  it 'renders as it always did' do
    expect(rendered).to match_golden('remount')
  end

  it 'says which properties are missing, of every file at once' do
    missing = problems do |properties|
      properties.delete('director')
      properties['agents'].delete('ca')
      properties['cloud'].delete('type')
      properties['store'].delete('type')
    end
    expect(missing.map { |sentence| sentence[/property '\["(.*)"\]'/, 1] })
      .to match_array(%w[director.ca director.url agents.ca cloud.type store.type])
  end

  it 'is refused with a value of a wrong type, by its name' do
    given = problems do |properties|
      properties['backup'] = { 'lease_seconds' => '60 s' }
      properties['director']['url'] = 7
      properties['cloud']['aws'] = { 'region' => true }
    end
    expect(given).to contain_exactly('job remount: value at `/backup/lease_seconds` is not integer',
                                     'job remount: value at `/director/url` is not string or null',
                                     'job remount: value at `/cloud/aws/region` is not string or null')
  end

  it 'gives the command line and every program beside it one configuration' do
    expect(rendered['bin/remount']).to include('--config /var/vcap/jobs/remount/config/remount.json "$@"')
    expect(rendered['bin/post-deploy']).to include('remount check --wait --config /var/vcap/jobs/remount/config/remount.json')
    expect(config('remount')).to include('cloud_file' => '/var/vcap/jobs/remount/config/cloud.json',
                                         'store_file' => '/var/vcap/jobs/remount/config/store.json')
  end

  it 'promises no longer time for old disks than the Director leaves' do
    keep = lambda do |hours, days = 5|
      config('remount') { |properties| properties['restore'] = { 'keep_old_disks_hours' => hours, 'director_orphan_days' => days } }
    end
    expect { keep.call(109) }.to raise_error(Renderer::Failed, /more than 108: .*max_orphaned_age_in_days/)
    expect([keep.call(108), keep.call(132, 6)].map { |given| given['restore']['keep_old_disks_hours'] }).to eq([108, 132])
  end

  describe 'the cloud' do
    # All properties that the spec declares for a cloud.
    def declared(type) = Release.job('remount').properties.keys.grep(/\Acloud\.#{type}\./).map { |name| name.split('.', 3).last }

    def values(type, source)
      stray = Landscape.credentials.fetch(type).except(source).values.flatten
      given = (declared(type) - stray).to_h { |name| [name, "the #{name}"] }
      fixed = { 'credentials_source' => source, 'environment' => 'AzureCloud', 'endpoint_type' => 'internalURL', 'auth_url' => 'https://keystone/v3' }
      given.merge(fixed.slice(*given.keys))
    end

    def cloud(type, values) = config('cloud') { |properties| properties['cloud'] = { 'type' => type, type => values } }

    def refusal(type, values)
      problems { |properties| properties['cloud'] = { 'type' => type, type => values } }.first&.sub(/\A.*: line \d+: /, '')
    end

    it 'is one of those in the template, the spec and manifests/clouds' do
      expect(Landscape.credentials.keys).to match_array(Release.clouds)
      expect(Dir.children(Release.path('manifests/clouds'))).to match_array(Release.clouds)
    end

    it 'is rendered with every property that the spec has, and nothing else' do
      Landscape.credentials.each do |type, sources|
        rendered = sources.keys.map { |source| cloud(type, values(type, source)) }
        expect(rendered).to eq(sources.keys.map { |source| { 'type' => type }.merge(values(type, source)) })
        expect(rendered.flat_map(&:keys).uniq - ['type']).to match_array(declared(type))
      end
    end

    # src/cloud/tests/rendered.rs reads these files: what the template writes is what the program takes.
    it 'renders as the program reads it' do
      files = Landscape.credentials.flat_map do |type, sources|
        sources.keys.map { |source| ["#{type}-#{source}.json", "#{JSON.pretty_generate(cloud(type, values(type, source)))}\n"] }
      end
      expect(files.to_h).to match_golden('clouds')
    end

    it 'has credentials by default that the manifest must give' do
      expect(refusal('aws', { 'region' => 'eu-central-1' }))
        .to eq('for `cloud.type: aws` and `credentials_source: static` these properties are missing: `cloud.aws.access_key_id`, `cloud.aws.secret_access_key`')
    end

    it 'is refused where something is missing, all of it in one sentence' do
      expect(refusal('azure', { 'credentials_source' => 'managed_identity', 'location' => '' }))
        .to eq('for `cloud.type: azure` and `credentials_source: managed_identity` these properties are missing: ' \
               '`cloud.azure.location`, `cloud.azure.subscription_id`, `cloud.azure.resource_group_name`')
    end

    it 'is refused with a key beside an instance profile' do
      expect(refusal('aws', values('aws', 'static').merge('credentials_source' => 'env_or_profile')))
        .to eq('`cloud.aws.credentials_source` is `env_or_profile`, so these properties must not be set: `cloud.aws.access_key_id`, `cloud.aws.secret_access_key`')
    end

    it 'is refused where it is unknown, or a word of it is' do
      expect(refusal('aws', values('aws', 'static').merge('credentials_source' => 'profile')))
        .to eq('the property `cloud.aws.credentials_source` is `profile`, but may only be `static`, `env_or_profile`')
      expect(refusal('azure', values('azure', 'static').merge('environment' => 'Azure')))
        .to start_with('the property `cloud.azure.environment` is `Azure`, but may only be `AzureCloud`')
      expect(refusal('moon', {})).to include('`moon`').and include('aws').and include('local')
    end

    it 'needs a folder where it is local' do
      expect(refusal('local', {})).to eq('for `cloud.type: local` these properties are missing: `cloud.local.root`')
    end
  end

  # The job `remount-agent` renders its store by the same file.
  describe 'the store' do
    template = 'templates/store.json.erb'

    it 'has one template for all jobs' do
      expect(File.readlink(Release.path('jobs/remount-agent', template))).to eq("../../remount/#{template}")
      agent = JSON.parse(Landscape.database('remount-agent')['config/store.json'])
      control = JSON.parse(rendered['config/store.json'])
      expect(agent.except('signing')).to eq(control.except('timeout_seconds', 'signing'))
      keys = Landscape::VARIABLES['/remount_signing']
      expect(agent['signing']).to eq('public_keys' => [keys['public_key']])
      expect(control['signing']).to eq('private_key' => keys['private_key'], 'public_keys' => [])
    end

    it 'has every property of the spec, and no other' do
      declared = Release.job('remount').properties.keys.grep(/\Astore\./).map { |name| name.delete_prefix('store.') }
      all = declared.to_h { |name| [name, "the #{name}"] }.merge('type' => 's3', 'timeout_seconds' => 7)
      expect(config('store') { |properties| properties['store'] = all }.except('signing')).to eq(all)
    end
  end

  describe 'the store and the Director' do
    def refusal(block, change)
      problems { |properties| properties[block] = properties[block].merge(change).compact }.first&.sub(/\A.*: line \d+: /, '')
    end

    it 'are refused where they cannot work' do
      {
        ['store', { 'type' => 'ftp' }] => /`ftp`/,
        ['store', { 'bucket' => nil }] => /are missing: `store.bucket`/,
        ['store', { 'bucket' => '' }] => /are missing: `store.bucket`/,
        ['store', { 'type' => 'fs' }] => /for `store.type: fs` these properties are missing: `store.root`/,
        ['store', { 'secret_access_key' => nil }] => /go together: one of them is missing/,
        ['signing', { 'private_key' => nil }] => /signing.private_key/,
        ['signing', { 'private_key' => 'secret' }] => /has to be an RSA private key in PEM/,
        ['signing', { 'public_keys' => ['secret'] }] => /has to be a list of public keys in PEM/,
        ['director', { 'ca' => '' }] => /`director.ca` is empty/,
        ['director', { 'url' => '10.0.0.6' }] => /`director.url` is `10.0.0.6`, but has to be a URL/,
        ['director', { 'client_secret' => nil }] => /both of one pair, none of the other/,
        ['director', { 'username' => 'admin', 'password' => 'secret' }] => /both of one pair/,
        ['director', { 'client_id' => nil, 'client_secret' => nil }] => /`director.username` and `director.password`/
      }.each { |(block, change), sentence| expect(refusal(block, change)).to match(sentence), change.to_s }
    end

    it 'are never quoted with their secrets' do
      expect(refusal('signing', { 'private_key' => 'hush' })).not_to include('hush')
    end
  end
end
