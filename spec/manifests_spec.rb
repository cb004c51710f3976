# frozen_string_literal: true

require_relative 'support/ops_file'

RSpec.describe 'manifests' do
  # Dotted paths of all leaves; a list is a leaf.
  def leaves(value, path = [])
    return [path.join('.')] unless value.is_a?(Hash) && !value.empty?

    value.flat_map { |key, inner| leaves(inner, path + [key]) }
  end

  def ours(manifest)
    manifest['instance_groups'].flat_map { |group| group['jobs'] }.select { |job| job['release'] == 'remount' }
  end

  # Every `((variable))` of a value, without the parts behind a dot.
  def references(value)
    YAML.dump(value).scan(/\(\(([^()]+)\)\)/).flatten.map { |path| path.split('.').first }.uniq
  end

  %w[remount.yml postgres.yml].each do |file|
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
        used = raw['instance_groups'].flat_map { |group| group['jobs'] }.map { |job| job['release'] }.uniq
        expect(used).to match_array(named)
      end

      it 'names only jobs and properties that exist' do
        ours(manifest).each do |job|
          known = Release.job(job['name']).properties.keys
          unknown = leaves(job.fetch('properties', {})).reject { |leaf| known.any? { |name| leaf == name || leaf.start_with?("#{name}.") } }
          expect(unknown).to eq([]), "#{job['name']}: #{unknown.join(', ')}"
        end
      end

      it 'consumes and provides only links that the jobs have' do
        ours(manifest).each do |job|
          spec = Release.job(job['name'])
          expect(job.fetch('consumes', {}).keys - spec.consumed_links.keys).to eq([])
          expect(job.fetch('provides', {}).keys - (spec.spec['provides'] || []).map { |link| link['name'] }).to eq([])
        end
      end

      it 'declares the variables it makes, and leaves only the documented ones to the operator' do
        made = (raw['variables'] || []).map { |variable| variable['name'] }
        given = references(raw) - made
        documented = File.read(Release.path('manifests', file)).lines.take_while { |line| line.start_with?('---', '#') }.join
        expect(given).to all(satisfy { |name| documented.match?(/\b#{name}\b/) })
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
    def applied(file, ops) = OpsFile.apply(Release.yaml('manifests', file), Release.yaml('manifests', 'ops', ops))

    { 'use-postgres-tls.yml' => 'postgres.yml', 'use-file-share.yml' => 'postgres.yml',
      'restore-to-time.yml' => 'remount.yml' }.each do |ops, file|
      it "#{ops} applies to #{file}, says so, and names only properties that exist" do
        expect(File.readlines(Release.path('manifests', 'ops', ops))[1]).to include("manifests/#{file}")
        ours(applied(file, ops)).each do |job|
          known = Release.job(job['name']).properties.keys
          given = leaves(job.fetch('properties', {})).reject { |leaf| %w[director cloud store].include?(leaf) }
          expect(given - known).to eq([])
        end
      end
    end

    it 'are all tried here' do
      expect(Dir.children(Release.path('manifests', 'ops'))).to match_array(%w[use-postgres-tls.yml use-file-share.yml restore-to-time.yml])
    end

    it 'make a certificate for every reference' do
      manifest = applied('postgres.yml', 'use-postgres-tls.yml')
      expect(manifest['variables'].map { |variable| variable['name'] }).to include('postgres_server')
    end
  end

  it 'share the authority of the agents, declared alike in both' do
    of = ->(file) { Release.yaml('manifests', file)['variables'].find { |variable| variable['name'] == '/remount_agent_ca' } }
    expect(of.call('remount.yml')).to eq(of.call('postgres.yml'))
  end

  it 'give the agent the names by which clients know it' do
    variable = Landscape.manifest('postgres.yml')['variables'].find { |found| found['name'] == 'remount_agent' }
    expect(variable.dig('options', 'alternative_names')).to eq(['remount-agent', 'pg-0001.remount-agent'])
  end

  it 'keep the errands out of the deployments they stop' do
    jobs = ours(Release.yaml('manifests', 'postgres.yml')).map { |job| job['name'] }
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
