# frozen_string_literal: true

RSpec.describe 'errands' do
  def config(errand, &block) = JSON.parse(Landscape.control_plane(errand, &block)['config/errand.json'])

  def problems(errand, &block)
    Landscape.control_plane(errand, &block)
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
        expect(named.uniq - job.properties.keys - Release.job('remount').properties.keys).to eq([])
      end

      it 'renders as it always did' do
        expect(Landscape.control_plane(errand)).to match_golden(errand)
      end
    end
  end

  it 'ask for no credentials where they do nothing' do
    idle = Release.errands.select { |errand| Release.template_text(Release.job(errand), 'run').lines.last.match?(/errand (drill|prune)$/) }
    expect(idle).to match_array(%w[drill prune])
    idle.each { |errand| expect(job_properties.call(errand)).to eq({}) }
  end

  # What they share is the job `remount`'s, rendered once for the VM.
  it 'render their own keys only, and name the file of the job `remount`' do
    expect(Release.driving_errands).to match_array(%w[backup restore])
    Release.driving_errands.each do |errand|
      expect(config(errand).keys).to match_array(['remount_file', errand])
      expect(config(errand)['remount_file']).to eq('/var/vcap/jobs/remount/config/remount.json')
      expect(job_properties.call(errand).keys).to all(start_with("#{errand}."))
    end
    expect(Release.job('remount').templates.values).to include('config/remount.json')
  end

  it 'look for the job `remount` beside them before the deploy ends' do
    Release.driving_errands.each do |errand|
      expect(Landscape.control_plane(errand)['bin/pre-start'].lines.last)
        .to end_with("remount check --offline --config /var/vcap/jobs/#{errand}/config/errand.json\n")
    end
  end

  it 'are refused with a value of a wrong type, by its name' do
    given = problems('restore') { |properties| properties['restore'] = { 'on_failure' => 'wait', 'exclusive' => 'yes' } }
    expect(given).to contain_exactly('job restore: value at `/restore/on_failure` is not one of: rollback, hold',
                                     'job restore: value at `/restore/exclusive` is not boolean')
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
        .to eq('deployment' => '', 'on_failure' => 'rollback', 'pause' => false, 'verify' => 'recent', 'reindex' => false, 'accept_loss' => [])
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
