# frozen_string_literal: true

require_relative 'support/ops_file'

# What each credential may do: manifests/policies, explained by docs/credentials.md, and each cloud's own document,
# explained by the page beside it. Page and document name the same actions.
RSpec.describe 'policies' do
  def text(file) = File.read(Release.path('manifests', file))
  def json(file) = JSON.parse(text(file))

  # The tables of the pages: actions by the file that the section names first.
  def told
    pages = { Release.path('docs/credentials.md') => 'policies' }
    Release.clouds.each { |cloud| pages[Release.path('manifests/clouds', cloud, 'README.md')] = "clouds/#{cloud}" }
    pages.flat_map do |page, folder|
      File.read(page).split(/^## /).drop(1).filter_map do |section|
        file = section[/^`([a-z-]+\.(?:json|yml))`/, 1]
        ["#{folder}/#{file}", section.scan(/^\| `([^`]+)` \|/).flatten] if file
      end
    end.to_h
  end

  # Statements of AWS and Alibaba Cloud.
  def statements(file) = json(file).fetch('Statement')

  # Each vendor has a form of its own, which shows whose it is.
  def actions(file)
    return YAML.safe_load(text(file)).fetch('includedPermissions') if file.end_with?('.yml')

    document = json(file)
    return document.map { |rule| "#{rule['method']} #{rule['path']}" } if document.is_a?(Array)

    document['Actions'] || document.fetch('Statement').flat_map { |statement| statement.fetch('Action') }.uniq
  end

  files = Dir.glob('{policies/*,clouds/*/policy.*}', base: Release.path('manifests')).sort
  roles = files - ['policies/uaa-client.yml']

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
        verbs = actions(file).map { |action| file.include?('openstack') ? action.split.first : action }
        expect(verbs).to all(match(%r{\A[A-Za-z0-9]+([:./][A-Za-z0-9]+)*\z}))
      end
    end
  end

  roles.grep(/aws|alicloud/).each do |file|
    it "#{file} only allows, and names what it allows" do
      expect(json(file)['Version']).to eq(file.include?('aws') ? '2012-10-17' : '1')
      statements(file).each do |statement|
        expect(statement.keys - %w[Sid Effect Action Resource Condition]).to eq([])
        expect(statement['Effect']).to eq('Allow')
        looking = Array(statement['Action']).all? { |action| action.match?(/:Describe/) }
        expect(Array(statement['Resource'])).not_to include('*') unless looking
      end
    end
  end

  it 'let deletes and new disks on AWS touch only what carries our tag' do
    marked = ->(statement) { JSON.generate(statement).match?(%r{aws:(Resource|Request)Tag/remount-director":"DIRECTOR_UUID"}) }
    writing = statements('clouds/aws/policy.json').select { |statement| statement['Action'].any? { |action| action.match?(/\Aec2:(Delete|CreateVolume|CopySnapshot)/) } }
    expect(writing).not_to be_empty
    expect(writing).to all(satisfy(&marked))
    deleting = statements('clouds/aws/policy.json').select { |statement| statement['Action'].any? { |action| action.match?(/\Aec2:Delete/) } }
    expect(deleting.map { |statement| statement['Condition'] }).to eq([{ 'StringEquals' => { 'aws:ResourceTag/remount-director' => 'DIRECTOR_UUID' } }])
    expect(File.read(Release.path('src', 'cloud', 'src', 'disk_cloud.rs'))).to include('"remount-request"').and include('"remount-director"')
  end

  # What may be tagged decides what may be deleted: a tag on what is there already is the mark of a snapshot of ours.
  it 'let nothing that is there already be tagged as ours' do
    aws = statements('clouds/aws/policy.json').select { |statement| statement['Action'].include?('ec2:CreateTags') }
    creating, marking = aws.partition { |statement| statement['Condition']['StringEquals'].key?('ec2:CreateAction') }
    expect(creating.length).to eq(1)
    expect(marking.map { |statement| [statement['Resource'], statement['Condition']] }).to eq([['arn:aws:ec2:*::snapshot/*', {
      'ForAllValues:StringEquals' => { 'aws:TagKeys' => ['remount-state'] },
      'StringEquals' => { 'aws:RequestTag/remount-state' => 'complete', 'aws:ResourceTag/remount-director' => 'DIRECTOR_UUID' }
    }]])
    alicloud = statements('clouds/alicloud/policy.json').select { |statement| statement['Action'].include?('ecs:TagResources') }
    expect(alicloud.map { |statement| [statement['Action'], statement['Resource'], statement['Condition']] }).to eq([[['ecs:TagResources'], 'acs:ecs:REGION:ACCOUNT:snapshot/*', {
      'StringEquals' => { 'acs:RequestTag/remount-state' => 'complete', 'acs:ResourceTag/remount-director' => 'DIRECTOR_UUID' }
    }]])
    making = statements('clouds/alicloud/policy.json').select { |statement| statement['Action'].any? { |action| action.match?(/:(Create|Copy)/) } }
    expect(making.map { |statement| statement['Condition'] }).to eq([{ 'StringEquals' => { 'acs:RequestTag/remount-director' => 'DIRECTOR_UUID' } }])
    expect(File.read(Release.path('src', 'cloud', 'src', 'disk_cloud.rs'))).to include('"remount-state"').and include('"complete"')
  end

  # The folders below the prefix, as the store crate spells them.
  def folders(pattern)
    sources = Dir.glob('src/store/src/**/*.rs', base: Release::ROOT).map { |file| File.read(Release.path(file)) }
    sources.flat_map { |source| source.scan(pattern).flatten }.uniq
  end

  it 'let the control plane add to every folder that the store has, and delete where the store deletes' do
    allowed = lambda do |action, folder|
      statements('policies/aws-store-control-plane.json').any? do |statement|
        Array(statement['Action']).include?(action) &&
          Array(statement['Resource']).any? { |resource| File.fnmatch(resource, "arn:aws:s3:::BUCKET/PREFIX/#{folder}x.json") }
      end
    end
    written = folders(/^(?:pub\(crate\) )?const \w+: &str = "([a-z]+\/[a-z\/]*)";/)
    expect(written).to include('clusters/', 'index/backups/', 'index/restores/', 'requests/')
    expect(written.reject { |folder| allowed.call('s3:PutObject', folder) }).to eq([])
    deleted = %w[requests/ clusters/c/1/begun/ clusters/c/lease/]
    expect(deleted.reject { |folder| allowed.call('s3:DeleteObject', folder) }).to eq([])
  end

  it 'give the agent no delete, no overwrite but of the note of its last stop, and no cluster but its own' do
    changing = statements('policies/aws-store-agent.json').select { |statement| statement['Action'].intersect?(%w[s3:PutObject s3:DeleteObject]) }
    strict, loose = changing.partition { |statement| statement['Condition'] == { 'Null' => { 's3:if-none-match' => 'false' } } }
    expect(strict.map { |statement| statement['Action'] }).to eq([['s3:PutObject']])
    expect(loose.map { |statement| statement['Resource'] }).to eq(['arn:aws:s3:::BUCKET/PREFIX/clusters/CLUSTER/instances/*.stopped.json'])
    expect(loose.map { |statement| statement.key?('Condition') }).to eq([false])
    expect(statements('policies/aws-store-agent.json').map { |statement| statement.to_s.include?('PREFIX/clusters/CLUSTER/') }).to all(be(true))
  end

  it 'give the agent nothing to write but WAL and notes about itself: no lease, no plan, no manifest' do
    put = statements('policies/aws-store-agent.json').find { |statement| statement['Action'] == ['s3:PutObject'] }
    expect(Array(put['Resource']).map { |resource| resource.delete_prefix('arn:aws:s3:::BUCKET/PREFIX/clusters/CLUSTER/') }).to eq(%w[*/wal/* instances/*])
    get = statements('policies/aws-store-agent.json').find { |statement| statement['Action'] == ['s3:GetObject'] }
    expect(Array(get['Resource']).map { |resource| resource.delete_prefix('arn:aws:s3:::BUCKET/PREFIX/') }).to eq(%w[clusters/CLUSTER/* store.json])
  end

  # The names that the code gives, with something in the place of each value.
  def named(file, pattern)
    text = File.read(Release.path('src/store/src', file))[pattern, 1]
    expect(text).not_to be_nil, "#{file} names no object by #{pattern}"
    text.gsub(/\{[^}]*\}/, 'x1')
  end

  # Whether a statement allows an action on an object of the cluster; `new`: only where nothing lies there yet.
  def allows?(file, action, object, new: false)
    statements(file).any? do |statement|
      (new || !statement.key?('Condition')) && Array(statement['Action']).include?(action) && Array(statement['Resource']).any? do |resource|
        File.fnmatch(resource.sub('CLUSTER', 'c').sub('clusters/*', 'clusters/c'), "arn:aws:s3:::BUCKET/PREFIX/clusters/c/#{object}")
      end
    end
  end

  it 'let the agent write each object that its code names, and replace and delete what its code replaces and deletes' do
    agent = 'policies/aws-store-agent.json'
    pushed = [named('wal/archive.rs', /"(\{\}\.summary)"/), named('wal/name.rs', /"(\{segment\}[^"]*\.tail)"/), named('wal/name.rs', /"(\{segment\}\.partial)"/),
             named('wal/name.rs', /"(\{\}\.history)"/), named('wal/name.rs', /"(\{segment\}[^"]*\.backup)"/)]
    wal = pushed.map { |name| "7/wal/00000001/#{name}" }
    expect((wal + [named('cluster.rs', %r{"(instances/\{id\}\.json)"})]).reject { |object| allows?(agent, 's3:PutObject', object, new: true) }).to eq([])
    note = named('stop_notes.rs', %r{"(instances/\{id\}\.stopped\.json)"})
    expect(%w[s3:PutObject s3:DeleteObject].reject { |action| allows?(agent, action, note) }).to eq([])
    others = wal + %w[instances/x1.json restores/current.json lease/1.json 7/backups/b.json]
    expect(others.select { |object| %w[s3:PutObject s3:DeleteObject].any? { |action| allows?(agent, action, object) } }).to eq([])
    expect(allows?('policies/aws-store-control-plane.json', 's3:DeleteObject', note)).to be(true)
  end

  it 'let a read of a missing object on S3 be answered with 404: listing is allowed where no prefix is asked for' do
    roles = %w[policies/aws-store-agent.json policies/aws-store-control-plane.json]
    lists = roles.flat_map { |file| statements(file) }.select { |statement| statement['Action'] == ['s3:ListBucket'] }
    expect(lists.map { |statement| statement['Condition'].keys }).to eq([['StringLikeIfExists']] * 2)
  end

  it 'let the control plane replace and delete leases, the published plan, notes of backups and stops, and requests that ended, and never WAL' do
    loose = statements('policies/aws-store-control-plane.json').select { |statement| statement['Action'].intersect?(%w[s3:PutObject s3:DeleteObject]) && !statement.key?('Condition') }
    expect(loose.flat_map { |statement| Array(statement['Resource']) }.map { |resource| resource.delete_prefix('arn:aws:s3:::BUCKET/PREFIX/').delete_prefix('clusters/*/') })
      .to match_array(%w[lease/* restores/current.json begun/* instances/*.stopped.json backups/*.json requests/*])
  end

  it 'limit the Azure role to one resource group, and every other document by words to put in' do
    expect(json('clouds/azure/policy.json')['AssignableScopes']).to eq(['/subscriptions/SUBSCRIPTION/resourceGroups/RESOURCE_GROUP'])
    expect(json('clouds/azure/policy.json').values_at('NotActions', 'DataActions', 'NotDataActions')).to all(eq([]))
  end

  it 'give the UAA client the Director, by client credentials, and nothing else' do
    clients = { 'instance_groups' => [{ 'name' => 'bosh', 'jobs' => [{ 'name' => 'uaa', 'properties' => { 'uaa' => { 'clients' => {} } } }] }], 'variables' => [] }
    director = OpsFile.apply(clients, YAML.safe_load(text('policies/uaa-client.yml')))
    client = director.dig('instance_groups', 0, 'jobs', 0, 'properties', 'uaa', 'clients', 'remount')
    expect(client).to include('authorized-grant-types' => 'client_credentials', 'authorities' => 'bosh.((director_uuid)).admin')
    expect(client['secret']).to eq('((remount_uaa_client_secret))')
    expect(director['variables'].map { |variable| variable['name'] }).to eq(['remount_uaa_client_secret'])
  end

  it 'are named by the specs and ops files that need them' do
    named = Dir.glob(Release.path('{jobs/*/spec,manifests/**/*.yml,docs/*.md}')).flat_map do |page|
      File.read(page).scan(%r{((?:policies|clouds/[a-z]+)/[a-z-]+\.(?:json|yml))}).flatten.grep(%r{policies/|/policy})
    end.uniq
    expect(named - files).to eq([])
    expect(files - named).to eq([])
  end
end
