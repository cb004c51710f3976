# frozen_string_literal: true

require_relative 'support/manifests'

RSpec.describe 'manifests' do
  Manifests::DEPLOYMENTS.each do |file|
    describe file do
      let(:raw) { Release.yaml('manifests', file) }
      let(:manifest) { Landscape.manifest(file) }

      it 'has all the blocks that a Director demands' do
        expect(raw.keys).to include('name', 'releases', 'stemcells', 'update', 'instance_groups')
        expect(raw['update'].keys).to include('canaries', 'max_in_flight', 'canary_watch_time', 'update_watch_time')
        raw['instance_groups'].each do |group|
          expect(group.keys).to include('name', 'azs', 'instances', 'vm_type', 'stemcell', 'networks', 'jobs')
        end
      end

      it 'uses releases that it names' do
        named = raw['releases'].map { |release| release['name'] }
        used = (raw['instance_groups'] + raw.fetch('addons', [])).flat_map { |part| part['jobs'] }.map { |job| job['release'] }.uniq
        expect(used).to match_array(named)
      end

      it 'names only jobs and properties that exist' do
        Manifests.ours(manifest).each { |job| expect(Manifests.unknown_properties(job)).to eq([]), job['name'] }
      end

      it 'consumes and provides only links that the jobs have' do
        Manifests.ours(manifest).each do |job|
          spec = Release.job(job['name'])
          expect(job.fetch('consumes', {}).keys - spec.consumed_links.keys).to eq([])
          expect(job.fetch('provides', {}).keys - (spec.spec['provides'] || []).map { |link| link['name'] }).to eq([])
        end
      end

      it 'declares the variables it makes, and leaves only the documented ones to the operator' do
        made = (raw['variables'] || []).map { |variable| variable['name'] }
        given = Manifests.references(raw) - made
        expect(given).to all(satisfy { |name| Manifests.head(file).match?(/\b#{name}\b/) })
      end

      it 'makes an authority before the certificates it signs' do
        names = (raw['variables'] || []).map { |variable| variable['name'] }
        (raw['variables'] || []).each do |variable|
          ca = variable.dig('options', 'ca') or next
          expect(names.take_while { |name| name != variable['name'] }).to include(ca)
        end
      end
    end
  end

  describe 'ops files' do
    it 'say what they are for, and all are in the table of manifests/README.md' do
      listed = File.read(Release.path('manifests', 'README.md')).scan(%r{^\| `(ops/[a-z0-9-]+\.yml)` \|}).flatten
      expect(listed).to match_array(Manifests.ops - Manifests::CLOUDS)
      Manifests.ops.each { |file| expect(Manifests::DEPLOYMENTS).to include(Manifests.base(file)), file }
    end

    Release.clouds.each do |cloud|
      it "of the cloud #{cloud} are all in the table of its own page" do
        listed = File.read(Release.path('manifests/clouds', cloud, 'README.md')).scan(/^\| `(use-[a-z-]+\.yml)` \|/).flatten
        expect(listed.map { |file| "clouds/#{cloud}/#{file}" }).to match_array(Manifests::CLOUDS.grep(%r{\Aclouds/#{cloud}/}))
        expect(listed).not_to be_empty
      end
    end

    it 'are among the combinations tried here' do
      tried = Manifests::DEPLOYMENTS.flat_map { |base| Manifests.combinations(base).flatten }.uniq
      expect(tried).to match_array(Manifests.ops)
      expect(Manifests::ALTERNATIVES.flatten - Manifests.ops).to eq([])
    end

    Manifests.ops.each do |file|
      describe file do
        let(:base) { Manifests.base(file) }
        let(:document) { Manifests.with(base, file) }

        it 'changes its manifest' do
          expect(document).not_to eq(Manifests.with(base, *Manifests::AFTER.fetch(file, [])))
        end

        it 'names only jobs and properties that exist' do
          Manifests.ours(Manifests.interpolated(document)).each do |job|
            expect(Manifests.unknown_properties(job)).to eq([]), "#{file}, #{job['name']}"
          end
        end

        it 'documents exactly the variables that it leaves to the operator' do
          made = document['variables'].map { |variable| variable['name'] }
          own = Manifests.references(Release.yaml('manifests', file)) - made - %w[deployment_name]
          told = Manifests.head(file)[/ Variables: (.*)\z/, 1]
          expect(own).to all(satisfy { |name| told.match?(/(?<![\w.])#{name}\b/) })
          expect(own.empty?).to eq(told == 'none.')
          expect(own - Manifests::VALUES.keys).to eq([])
        end

        it 'makes every certificate it refers to' do
          made = document['variables'].map { |variable| variable['name'] }
          dotted = YAML.dump(document).scan(/\(\(([^()]+)\.[a-z_]+\)\)/).flatten.uniq
          expect(dotted - made).to eq([])
        end
      end
    end
  end

  # `remount.yml` with a cloud, a store, …: whatever an operator picks.
  Manifests::DEPLOYMENTS.each do |base|
    it "#{base} deploys with each of #{Manifests.combinations(base).length} combinations of ops files" do
      Manifests.combinations(base).each do |files|
        manifest = Manifests.interpolated(Manifests.with(base, *files))
        expect(Manifests.references(manifest)).to eq([]), files.join(' ')
        used = manifest['instance_groups'].flat_map { |group| group['jobs'] }.map { |job| job['release'] }.uniq
        expect(manifest['releases'].map { |release| release['name'] }).to match_array(used), files.join(' ')
        Manifests.render(manifest)
      rescue Renderer::Failed => e
        raise "#{files.join(' ')}: #{e.message}"
      end
    end
  end

  it 'have every errand, and give what they share once, to each instance that has one of them' do
    manifest = Release.yaml('manifests', 'remount.yml')
    errands = manifest['instance_groups'].flat_map { |group| group['jobs'] }.map { |job| job['name'] }
    expect(errands).to match_array(Dir.children(Release.path('errands'))), 'an errand that is not deployed cannot be run'
    Manifests.ops_for('remount.yml').each do |file|
      document = Manifests.with('remount.yml', file)
      # An addon without a filter is on every instance of the deployment.
      expect(document['addons'].map(&:keys)).to eq([%w[name jobs]])
      shared = document['addons'].flat_map { |addon| addon['jobs'] }
      expect(shared.map { |job| job['name'] }).to eq(['remount'])
      expect(shared.first['properties'].keys).to include('cloud', 'store', 'director', 'agents')
      others = document['instance_groups'].flat_map { |group| group['jobs'] }.map { |job| job.fetch('properties', {}).keys }
      expect(others.flatten & %w[cloud store director agents]).to eq([]), file
    end
  end

  # The real CLI, where there is one on the PATH or in $BOSH.
  bosh = ENV['BOSH'] || ENV['PATH'].split(':').map { |folder| File.join(folder, 'bosh') }.find { |path| File.executable?(path) }
  if bosh
    require 'open3'
    require 'tmpdir'

    it 'come out of the real CLI as out of the ops files of these tests' do
      Dir.mktmpdir do |folder|
        File.write(File.join(folder, 'vars.yml'), YAML.dump(Landscape::VARIABLES.merge(Manifests::VALUES).merge(Manifests::MADE)))
        Manifests::DEPLOYMENTS.each do |base|
          Manifests.combinations(base).each do |files|
            ordered = files.sort_by { |file| Manifests::AFTER.key?(file) ? 1 : 0 }
            options = ordered.flat_map { |file| ['-o', Release.path('manifests', file)] }
            output, errors, status = Open3.capture3(bosh, 'int', '--var-errs', '-l', File.join(folder, 'vars.yml'), Release.path('manifests', base), *options)
            expect(status).to be_success, "#{files}: #{errors}"
            # It leaves out of `variables:` what is given.
            expected = Manifests.interpolated(Manifests.with(base, *ordered)).merge('variables' => [])
            expect(YAML.safe_load(output)).to eq(expected), files.join(' ')
          end
        end
      end
    end
  end

  describe 'runtime-config.yml' do
    let(:raw) { Release.yaml('manifests', 'runtime-config.yml') }
    let(:config) { Manifests.interpolated(raw) }
    let(:jobs) { config['addons'].flat_map { |addon| addon['jobs'] } }

    it 'has only what a runtime config may have, and a release of one version' do
      expect(raw.keys - %w[releases addons variables tags]).to eq([])
      expect(config['releases']).to eq([{ 'name' => 'remount', 'version' => '1.2.3' }])
    end

    it 'names each job of a filter with its release, as the Director demands' do
      filters = config['addons'].flat_map { |addon| addon.values_at('include', 'exclude') }.flat_map { |filter| filter['jobs'] }
      expect(filters.map(&:keys)).to all(eq(%w[name release]))
    end

    it 'adds the agent to servers of ours and of postgres-release, and to no group that has it' do
      included = config['addons'].flat_map { |addon| addon['include']['jobs'] }
      expect(included).to eq([{ 'name' => 'postgres', 'release' => 'remount' }, { 'name' => 'postgres', 'release' => 'postgres' }])
      expect(config['addons'].map { |addon| addon['exclude'] }.uniq).to eq([{ 'jobs' => [{ 'name' => 'remount-agent', 'release' => 'remount' }] }])
      expect(jobs.map { |job| job['name'] }.uniq).to eq(['remount-agent'])
    end

    it 'names only properties that exist, and documents what the operator gives' do
      jobs.each { |job| expect(Manifests.unknown_properties(job)).to eq([]) }
      given = Manifests.references(raw)
      expect(given).to all(satisfy { |name| Manifests.head('runtime-config.yml').match?(/(?<![\w.])#{name}\b/) })
    end

    # It cannot know a deployment's name, which the certificate has to have; and the Director refuses every deployment
    # that defines a variable which a runtime config defines too.
    it 'leaves the certificate to the deployment, whose ops file makes it for its name' do
      expect(raw).not_to have_key('variables')
      variable = Manifests.interpolated(Release.yaml('manifests', 'ops/name-agent.yml')).first['value']
      expect(Manifests.references(raw)).to include(variable['name'])
      expect(variable['options']['alternative_names']).to eq(['pg-0001.remount-agent'])
      expect(variable['options']['extended_key_usage']).to eq(['server_auth'])
    end

    it 'renders beside a server of ours, and with the written link beside another one' do
      jobs.each do |job|
        written = job['consumes']['postgres']
        link = written.key?('instances') ? { 'postgres' => written } : Landscape.postgres_link
        files = Landscape.render('remount-agent', job['properties'], spec: Landscape.spec('pg-0001', Landscape::INSTANCES.first), consumes: link)
        expect(JSON.parse(files['config/agent.json'])['postgres']['port']).to eq(written.key?('instances') ? 5524 : 5432)
      end
    end
  end

  it 'share the authority of the agents, declared alike in both' do
    of = ->(file) { Release.yaml('manifests', file)['variables'].find { |variable| variable['name'] == '/remount_agent_ca' } }
    expect(of.call('remount.yml')).to eq(of.call('postgres.yml'))
  end

  it 'give the agent the names by which clients know it' do
    variable = Landscape.manifest('postgres.yml')['variables'].find { |found| found['name'] == 'remount_agent' }
    expect(variable.dig('options', 'alternative_names')).to eq(['pg-0001.remount-agent'])
  end

  it 'keep the errands out of the deployments they stop' do
    jobs = Manifests.ours(Release.yaml('manifests', 'postgres.yml')).map { |job| job['name'] }
    expect(jobs & Release.errands).to eq([])
  end

  it 'let the Director look soon after a start, for it waits the first time in any case' do
    update = Release.yaml('manifests', 'postgres.yml')['update']
    expect(update['update_watch_time'].to_i).to be <= 1000
  end

  it 'give the database a persistent disk and the errands none' do
    disks = ->(file) { Release.yaml('manifests', file)['instance_groups'].map { |group| group['persistent_disk'] } }
    expect(disks.call('postgres.yml')).to eq(['((persistent_disk_mib))'])
    expect(disks.call('remount.yml')).to eq([nil])
  end
end
