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

  Release.errands.each do |errand|
    describe errand do
      let(:runbook) { File.read(Release.path('errands', errand, 'README.md')) }
      let(:job) { Renderer::Job.load(Release.path('errands', errand)) }

      it 'holds a spec, monit, templates and a runbook, and no code' do
        expect(Dir.children(Release.path('errands', errand))).to match_array(%w[README.md monit spec templates])
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

      it 'says which properties are missing' do
        expect(problems(errand) { |properties| properties.delete('director') }.map { |sentence| sentence[/property '\["(.*)"\]'/, 1] })
          .to match_array(%w[director.ca director.url])
      end
    end
  end

  it 'have one configuration file apart from their own section' do
    own = %w[restore backup director agents]
    expect(config('restore').except(*own)).to eq(config('backup').except(*own))
  end

  it 'promise no longer time for old disks than the Director leaves' do
    keep = ->(hours, days = 5) { config('restore') { |properties| properties['restore'] = { 'keep_old_disks_hours' => hours, 'director_orphan_days' => days } } }
    expect { keep.call(109) }.to raise_error(Renderer::Failed, /more than 108: .*max_orphaned_age_in_days/)
    expect([keep.call(108), keep.call(132, 6)].map { |given| given['restore']['keep_old_disks_hours'] }).to eq([108, 132])
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

    it 'is refused where it is ambiguous or half given' do
      expect { target({ 'xid' => 1, 'latest' => true }) }.to raise_error(Renderer::Failed, /more than one target/)
      expect { target({}) }.to raise_error(Renderer::Failed, /none of `restore.target/)
      expect { target({ 'xid' => 1 }, deployment: '') }.to raise_error(Renderer::Failed, /not `restore.deployment`/)
    end
  end
end
