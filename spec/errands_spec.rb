# frozen_string_literal: true

RSpec.describe 'errands' do
  def config(errand, &block) = JSON.parse(Landscape.errand(errand, &block)['config/remount.json'])

  def problems(errand, &block)
    Landscape.errand(errand, &block)
    []
  rescue Renderer::Failed => e
    e.sentences
  end

  it 'are the jobs that jobs/ links to' do
    links = Dir.children(Release.path('jobs')).select { |name| File.symlink?(Release.path('jobs', name)) }
    expect(links).to match_array(Release.errands)
    links.each { |name| expect(File.readlink(Release.path('jobs', name))).to eq("../errands/#{name}") }
  end

  job_properties = ->(errand) { Release.job(errand).properties }

  Release.errands.each do |errand|
    describe errand do
      let(:runbook) { File.read(Release.path('errands', errand, 'README.md')) }
      let(:job) { Renderer::Job.load(Release.path('errands', errand)) }

      it 'holds a spec, a schema, monit, templates and a runbook, and no code' do
        expect(Dir.children(Release.path('errands', errand))).to match_array(%w[README.md monit properties_schema.json spec templates])
      end

      it 'is an errand to BOSH: bin/run, and nothing for monit' do
        expect(job.templates.values).to include('bin/run')
        expect(File.read(File.join(job.dir, 'monit'))).to eq('')
      end

      it 'has a runbook with the exact command and every exit code' do
        expect(runbook).to include("bosh -d remount run-errand #{errand}")
        expect(runbook.scan(/^\| `(\d)` \|/).flatten).to eq(%w[0 1 2 3 4])
      end

      it 'has a runbook that says when, what changes and how long' do
        expect(runbook.scan(/^## (.*)$/).flatten).to include('When', 'Run it', 'What it changes', 'How long it takes', 'Exit codes')
      end

      it 'has a runbook that names only properties that exist' do
        named = runbook.scan(/`((?:restore|backup|director|cloud|store|agents)\.[a-z_.*]+)`/).flatten.reject { |name| name.end_with?('*') }
        expect(named.uniq - job.properties.keys).to eq([])
      end

      it 'renders as it always did' do
        expect(Landscape.errand(errand)).to match_golden(errand)
      end

      next if job_properties.call(errand).empty?

      it 'says which properties are missing' do
        expect(problems(errand) { |properties| properties.delete('director') }.map { |sentence| sentence[/property '\["(.*)"\]'/, 1] })
          .to match_array(%w[director.ca director.url])
      end
    end
  end

  it 'ask for no credentials where they do nothing' do
    idle = Release.errands.select { |errand| Release.template_text(Release.job(errand), 'run').lines.last.match?(/errand (drill|prune)$/) }
    expect(idle).to match_array(%w[drill prune])
    idle.each { |errand| expect(job_properties.call(errand)).to eq({}) }
  end

  it 'have one configuration file apart from their own section' do
    own = %w[restore backup director agents]
    expect(config('restore').except(*own)).to eq(config('backup').except(*own))
  end

  describe 'the cloud' do
    # All properties that the spec declares for a cloud.
    def declared(type) = Release.job('restore').properties.keys.grep(/\Acloud\.#{type}\./).map { |name| name.split('.', 3).last }

    def values(type, source)
      stray = Landscape::CREDENTIALS.fetch(type).except(source).values.flatten
      given = (declared(type) - stray).to_h { |name| [name, "the #{name}"] }
      fixed = { 'credentials_source' => source, 'environment' => 'AzureCloud', 'endpoint_type' => 'internalURL', 'auth_url' => 'https://keystone/v3' }
      given.merge(fixed.slice(*given.keys))
    end

    def cloud(errand, type, values) = config(errand) { |properties| properties['cloud'] = { 'type' => type, type => values } }['cloud']

    def refusal(type, values, errand: 'restore')
      sentences = problems(errand) { |properties| properties['cloud'] = { 'type' => type, type => values } }
      sentences.first&.sub(/\A.*: line \d+: /, '')
    end

    Release.driving_errands.each do |errand|
      it "is rendered by #{errand} with every property that its spec has, and nothing else" do
        Landscape::CREDENTIALS.each do |type, sources|
          rendered = sources.keys.map { |source| cloud(errand, type, values(type, source)) }
          expect(rendered).to eq(sources.keys.map { |source| { 'type' => type }.merge(values(type, source)) })
          expect(rendered.flat_map(&:keys).uniq - ['type']).to match_array(declared(type))
        end
      end
    end

    # src/cloud/tests/rendered.rs reads these files: what the templates write is what the program takes.
    it 'renders as the program reads it' do
      files = Landscape::CREDENTIALS.flat_map do |type, sources|
        sources.keys.map { |source| ["#{type}-#{source}.json", "#{JSON.pretty_generate(cloud('restore', type, values(type, source)))}\n"] }
      end
      expect(files.to_h).to match_golden('clouds')
    end

    it 'has the same properties in every errand' do
      of = ->(errand) { Release.job(errand).properties.select { |name, _| name.start_with?('cloud.') } }
      Release.driving_errands.each { |errand| expect(of.call(errand)).to eq(of.call('restore')), errand }
    end

    it 'has credentials by default that the manifest must give' do
      expect(refusal('aws', { 'region' => 'eu-central-1' }))
        .to eq('for `cloud.type: aws` and `credentials_source: static` these properties are missing: `cloud.aws.access_key_id`, `cloud.aws.secret_access_key`')
    end

    it 'is refused where something is missing, all of it in one sentence, in every errand' do
      Release.driving_errands.each do |errand|
        expect(refusal('azure', { 'credentials_source' => 'managed_identity', 'location' => '' }, errand: errand))
          .to eq('for `cloud.type: azure` and `credentials_source: managed_identity` these properties are missing: ' \
                 '`cloud.azure.location`, `cloud.azure.subscription_id`, `cloud.azure.resource_group_name`')
      end
    end

    it 'is refused with a key beside an instance profile' do
      expect(refusal('aws', values('aws', 'static').merge('credentials_source' => 'env_or_profile')))
        .to eq('`cloud.aws.credentials_source` is `env_or_profile`, so these properties must not be set: `cloud.aws.access_key_id`, `cloud.aws.secret_access_key`')
    end

    it 'is refused where it is unknown, or the source of its credentials is' do
      expect(refusal('aws', values('aws', 'static').merge('credentials_source' => 'profile')))
        .to eq('the property `cloud.aws.credentials_source` is `profile`, but may only be `static` or `env_or_profile`')
      sentence = problems('backup') { |properties| properties['cloud'] = { 'type' => 'moon' } }.first
      expect(sentence).to include('`moon`').and include('aws').and include('local')
    end

    it 'needs a folder where it is local' do
      expect(problems('restore') { |properties| properties['cloud'] = { 'type' => 'local' } }.first).to end_with(%q(Can't find property '["cloud.root"]'))
    end
  end

  it 'are refused with a value of a wrong type, by its name' do
    given = problems('restore') { |properties| properties.merge!('backup' => { 'lease_seconds' => '60 s' }, 'restore' => { 'on_failure' => 'wait' }) }
    expect(given).to eq(['job restore: value at `/backup/lease_seconds` is not integer',
                         'job restore: value at `/restore/on_failure` is not one of: rollback, hold'])
  end

  describe 'the store and the Director' do
    def refusal(block, change, errand: 'backup')
      problems(errand) { |properties| properties[block] = properties[block].merge(change).compact }.first&.sub(/\A.*: line \d+: /, '')
    end

    it 'are refused where they cannot work' do
      Release.driving_errands.each do |errand|
        {
          ['store', { 'type' => 'ftp' }] => /`ftp`/,
          ['store', { 'bucket' => nil }] => /'\["store.bucket"\]'/,
          ['store', { 'bucket' => '' }] => /`store.bucket` is empty/,
          ['store', { 'type' => 'fs' }] => /'\["store.root"\]'/,
          ['store', { 'type' => 'fs', 'root' => '' }] => /`store.root` is empty/,
          ['director', { 'ca' => '' }] => /`director.ca` is empty/,
          ['director', { 'url' => '10.0.0.6' }] => /`director.url` is `10.0.0.6`, but has to be a URL/,
          ['store', { 'secret_access_key' => nil }] => /go together: one of them is missing/,
          ['store', { 'signing_key' => 'secret' }] => /has to be 64 hex digits: make it with `openssl rand -hex 32`/,
          ['director', { 'client_secret' => nil }] => /both of one pair, none of the other/,
          ['director', { 'username' => 'admin', 'password' => 'secret' }] => /both of one pair/,
          ['director', { 'client_id' => nil, 'client_secret' => nil }] => /`director.username` and `director.password`/
        }.each { |(block, change), sentence| expect(refusal(block, change, errand: errand)).to match(sentence), "#{errand}: #{change}" }
      end
    end

    it 'are never quoted with their secrets' do
      sentence = refusal('store', { 'signing_key' => 'hush' })
      expect(sentence).not_to include('hush')
    end
  end

  it 'promise no longer time for old disks than the Director leaves' do
    keep = ->(hours, days = 5) { config('restore') { |properties| properties['restore'] = { 'keep_old_disks_hours' => hours, 'director_orphan_days' => days } } }
    expect { keep.call(109) }.to raise_error(Renderer::Failed, /more than 108: .*max_orphaned_age_in_days/)
    expect([keep.call(108), keep.call(132, 6)].map { |given| given['restore']['keep_old_disks_hours'] }).to eq([108, 132])
  end

  it 'back up no deployment whose lock their own run holds' do
    given = problems('backup') { |properties| properties['backup'] = { 'deployments' => ['pg-0001', 'remount'] } }
    expect(given).to include(end_with('holds `remount`, where this errand is: the Director holds its lock while it runs'))
  end

  describe 'the target of a restore' do
    def target(given, deployment: 'pg-0001', **others)
      config('restore') do |properties|
        properties['restore'] = { 'deployment' => deployment, 'target' => given }.merge(others.transform_keys(&:to_s))
      end['restore']
    end

    it 'is none by default: the pending requests are carried out' do
      expect(config('restore')['restore'])
        .to eq('deployment' => '', 'on_failure' => 'rollback', 'keep_old_disks_hours' => 24, 'director_orphan_days' => 5)
    end

    it 'may be the latest commit' do
      expect(target({ 'latest' => true })['target']).to eq('target' => 'latest', 'exclusive' => false)
    end

    it 'may be a time, an LSN, a transaction, a name, a backup' do
      { 'time' => '2026-11-23T10:15:00Z', 'lsn' => '0/1A2B', 'xid' => 4711, 'name' => 'before', 'backup' => 'b' }.each do |kind, value|
        expect(target({ kind => value })['target']).to eq('target' => { kind => value }, 'exclusive' => false)
      end
    end

    it 'may lie on an earlier timeline, and be exclusive' do
      expect(target({ 'xid' => 4711 }, timeline: 1, exclusive: true)['target'])
        .to eq('target' => { 'xid' => 4711 }, 'timeline' => 1, 'exclusive' => true)
    end

    it 'is refused where a time says nothing of its zone, or is none' do
      ['2026-11-23 10:15:00', 'yesterday', '2026-11-23T10:15:00Z; drop'].each do |time|
        expect { target({ 'time' => time }) }.to raise_error(Renderer::Failed, /`restore.target.time` is `#{time}`, but has to be a time with its zone/)
      end
      ['2026-11-23 10:15Z', '2026-11-23T10:15:00.25+01:00'].each { |time| expect(target({ 'time' => time })['target']['target']).to eq('time' => time) }
    end

    it 'is refused where it is ambiguous or half given' do
      expect { target({ 'xid' => 1, 'latest' => true }) }.to raise_error(Renderer::Failed, /more than one target/)
      expect { target({}) }.to raise_error(Renderer::Failed, /none of `restore.target/)
      expect { target({ 'xid' => 1 }, deployment: '') }.to raise_error(Renderer::Failed, /not `restore.deployment`/)
    end
  end
end
