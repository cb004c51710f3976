# frozen_string_literal: true

require_relative 'support/ops_file'

# manifests/policies/: what each credential may do. docs/credentials.md says why, and both name the same actions.
RSpec.describe 'policies' do
  def text(file) = File.read(Release.path('manifests', 'policies', file))
  def json(file) = JSON.parse(text(file))

  # The tables of docs/credentials.md: actions by the file that the section names first.
  def told
    sections = File.read(Release.path('docs', 'credentials.md')).split(/^## /).drop(1)
    sections.to_h { |section| [section[/^`([a-z-]+\.(?:json|yml))`/, 1], section.scan(/^\| `([^`]+)` \|/).flatten] }.compact
  end

  # Statements of AWS and Alibaba Cloud.
  def statements(file) = json(file).fetch('Statement')

  def actions(file)
    case file
    when /\Aaws-|\Aalicloud-/ then statements(file).flat_map { |statement| statement.fetch('Action') }.uniq
    when 'azure-errands.json' then json(file).fetch('Actions')
    when 'gcp-errands.yml' then YAML.safe_load(text(file)).fetch('includedPermissions')
    when 'openstack-errands.json' then json(file).map { |rule| "#{rule['method']} #{rule['path']}" }
    end
  end

  files = Dir.children(Release.path('manifests', 'policies')).sort
  roles = files - ['uaa-client.yml']

  it 'are all described, and every described one is there' do
    expect(told.keys.compact).to match_array(files)
  end

  roles.each do |file|
    describe file do
      it 'allows the actions that docs/credentials.md explains, and no other' do
        expect(actions(file)).to match_array(told.fetch(file))
        expect(actions(file)).to eq(actions(file).uniq)
      end

      it 'has no wildcard for an action' do
        verbs = actions(file).map { |action| file.start_with?('openstack') ? action.split.first : action }
        expect(verbs).to all(match(%r{\A[A-Za-z0-9]+([:./][A-Za-z0-9]+)*\z}))
      end
    end
  end

  roles.grep(/\A(aws|alicloud)-/).each do |file|
    it "#{file} only allows, and names what it allows" do
      expect(json(file)['Version']).to eq(file.start_with?('aws') ? '2012-10-17' : '1')
      statements(file).each do |statement|
        expect(statement.keys - %w[Sid Effect Action Resource Condition]).to eq([])
        expect(statement['Effect']).to eq('Allow')
        looking = Array(statement['Action']).all? { |action| action.match?(/:Describe/) }
        expect(Array(statement['Resource'])).not_to include('*') unless looking
      end
    end
  end

  it 'let deletes and new disks on AWS touch only what carries our tag' do
    marked = ->(statement) { statement.to_s.match?(/aws:(Resource|Request)Tag\/remount-request/) }
    writing = statements('aws-errands.json').select { |statement| statement['Action'].any? { |action| action.match?(/\Aec2:(Delete|CreateVolume|CopySnapshot)/) } }
    expect(writing).not_to be_empty
    expect(writing).to all(satisfy(&marked))
    expect(File.read(Release.path('src', 'cloud', 'src', 'disk_cloud.rs'))).to include('"remount-request"')
  end

  it 'give the agent no delete, no overwrite and no cluster but its own' do
    expect(actions('aws-store-agent.json')).not_to include('s3:DeleteObject')
    put = statements('aws-store-agent.json').select { |statement| statement['Action'].include?('s3:PutObject') }
    expect(put.map { |statement| statement['Condition'] }).to eq([{ 'Null' => { 's3:if-none-match' => 'false' } }])
    expect(statements('aws-store-agent.json').map { |statement| statement.to_s.include?('PREFIX/clusters/CLUSTER/*') }).to all(be(true))
  end

  it 'let a read of a missing object on S3 be answered with 404: listing is allowed where no prefix is asked for' do
    roles = %w[aws-store-agent.json aws-store-control-plane.json]
    lists = roles.flat_map { |file| statements(file) }.select { |statement| statement['Action'] == ['s3:ListBucket'] }
    expect(lists.map { |statement| statement['Condition'].keys }).to eq([['StringLikeIfExists']] * 2)
  end

  it 'let the control plane replace and delete leases, the published plan and manifests, and never WAL' do
    loose = statements('aws-store-control-plane.json').select { |statement| statement['Action'].intersect?(%w[s3:PutObject s3:DeleteObject]) && !statement.key?('Condition') }
    expect(loose.flat_map { |statement| Array(statement['Resource']) }.map { |resource| resource.delete_prefix('arn:aws:s3:::BUCKET/PREFIX/clusters/*/') })
      .to match_array(%w[lease/* restores/current.json backups/*.json])
  end

  it 'limit the Azure role to one resource group, and every other document by words to put in' do
    expect(json('azure-errands.json')['AssignableScopes']).to eq(['/subscriptions/SUBSCRIPTION/resourceGroups/RESOURCE_GROUP'])
    expect(json('azure-errands.json').values_at('NotActions', 'DataActions', 'NotDataActions')).to all(eq([]))
  end

  it 'give the UAA client the Director, by client credentials, and nothing else' do
    clients = { 'instance_groups' => [{ 'name' => 'bosh', 'jobs' => [{ 'name' => 'uaa', 'properties' => { 'uaa' => { 'clients' => {} } } }] }], 'variables' => [] }
    director = OpsFile.apply(clients, YAML.safe_load(text('uaa-client.yml')))
    client = director.dig('instance_groups', 0, 'jobs', 0, 'properties', 'uaa', 'clients', 'remount')
    expect(client).to include('authorized-grant-types' => 'client_credentials', 'authorities' => 'bosh.((director_uuid)).admin')
    expect(client['secret']).to eq('((remount_uaa_client_secret))')
    expect(director['variables'].map { |variable| variable['name'] }).to eq(['remount_uaa_client_secret'])
  end

  it 'are named by the specs and ops files that need them' do
    named = Dir.glob(Release.path('{errands/*/spec,manifests/**/*.yml,docs/*.md}')).flat_map { |file| File.read(file).scan(%r{policies/([a-z-]+\.(?:json|yml))}) }.flatten.uniq
    expect(named - files).to eq([])
    expect(files - named).to eq([])
  end
end
