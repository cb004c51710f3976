# frozen_string_literal: true

require 'fileutils'
require 'json'
require 'open3'
require 'tmpdir'

require_relative 'support/ops_file'

# The scripts of ci/tasks, run as the pipeline runs them, with a stand-in for the bosh CLI.
RSpec.describe 'ci/tasks' do
  around do |example|
    Dir.mktmpdir do |folder|
      @folder = folder
      %w[bin stand-in tmp environment release stemcell bpm].each { |name| Dir.mkdir(path(name)) }
      File.symlink(Release.path('spec', 'support', 'stand_in_bosh'), path('bin', 'bosh'))
      write('environment/deployment', "pg-ci-1\n")
      { 'release' => 'remount-1.3.0-rc.4', 'stemcell' => 'stemcell', 'bpm' => 'release' }.each { |at, name| write("#{at}/#{name}.tgz", '') }
      example.run
    end
  end

  def path(*parts) = File.join(@folder, *parts)

  def write(name, text) = File.write(path(name), text)

  def modes(*names) = write('stand-in/modes', "#{names.join("\n")}\n")

  def noted(name) = File.exist?(path('stand-in', name)) ? File.read(path('stand-in', name)) : ''

  # The calls of bosh, each as one line.
  def calls = noted('calls').lines.map { |line| JSON.parse(line).join(' ') }

  DIRECTOR = { 'BOSH_ENVIRONMENT' => 'https://director', 'BOSH_CLIENT' => 'ci', 'BOSH_CLIENT_SECRET' => 'bosh-secret' }.freeze

  # Runs a task; its output and exit code.
  def run(task, *arguments, from: Release::ROOT, **environment)
    given = DIRECTOR.merge('STAND_IN' => path('stand-in'), 'TMPDIR' => path('tmp'), 'PATH' => "#{path('bin')}:#{ENV.fetch('PATH')}")
                    .merge(environment.transform_keys(&:to_s))
    output, status = Open3.capture2e(given, File.join(from, 'ci', 'tasks', "#{task}.sh"), *arguments, chdir: @folder)
    [output, status.exitstatus]
  end

  def git(*arguments)
    output, status = Open3.capture2e('git', '-c', 'user.name=a', '-c', 'user.email=a@b', '-C', *arguments)
    raise output unless status.success?

    output
  end

  Dir.glob(Release.path('ci', 'tasks', '*.sh')).map { |file| File.basename(file, '.sh') }.sort
     .grep_v(/\A(test|compile-packages)\z/).each do |task|
    it "#{task} without arguments prints its manual and changes nothing" do
      output, code = run(task)
      expect([output, code, calls]).to match([include("ci/tasks/#{task}.sh"), 2, []])
    end
  end

  it 'name every variable that is missing' do
    output, code = run('deploy', 'environment', 'm', 'release', 'stemcell', 'bpm', 'BOSH_CLIENT' => nil)
    expect([output, code]).to eq(["deploy: not set: BOSH_CLIENT VARS (see ci/README.md)\n", 2])
  end

  describe 'clear' do
    it 'deletes what earlier runs have left, and nothing else' do
      write('stand-in/deployments', 'remount pg-ci-20261122 pg-0001 remount-prod cf')
      expect(run('clear', 'environment').last).to eq(0)
      expect(calls.grep(/delete-deployment/)).to eq(['-n -d remount delete-deployment', '-n -d pg-ci-20261122 delete-deployment'])
      expect(File.read(path('environment', 'deployment'))).to match(/\Apg-ci-\d{14}\n\z/)
    end

    it 'does by force what does not go properly' do
      write('stand-in/deployments', 'remount')
      modes('delete_fails')
      expect(run('clear', 'environment').last).to eq(0)
      expect(calls).to include('-n -d remount delete-deployment --force')
    end
  end

  describe 'deploy' do
    def deploy(**more)
      run('deploy', 'environment', Release.path('manifests'), 'release', 'stemcell', 'bpm',
          'VARS' => '{"store":{"secret_access_key":"store-secret"}}', 'POSTGRES_OPS' => 'ops/use-postgres-tls.yml ops/use-file-share.yml', **more)
    end

    it 'deploys the version of the tarball, databases first' do
      expect(deploy.last).to eq(0)
      expect(calls.filter_map { |call| call[/-n (upload-\S+|-d \S+ deploy)/, 1] })
        .to eq(['upload-stemcell', 'upload-release', 'upload-release', '-d pg-ci-1 deploy', '-d remount deploy'])
      expect(calls.grep(/ deploy /)).to all(include('--var=release_version=1.3.0-rc.4', '--var=deployment_name=pg-ci-1', 'pin-release.yml'))
      expect(calls.grep(/-d pg-ci-1 deploy/).first).to match(%r{ops/use-postgres-tls.yml .*ops/use-file-share.yml .*pin-release.yml})
    end

    it 'pins a version that both manifests have' do
      pin = Release.yaml('ci', 'ops', 'pin-release.yml')
      %w[remount.yml postgres.yml].each do |file|
        pinned = OpsFile.apply(Release.yaml('manifests', file), pin)['releases'].find { |release| release['name'] == 'remount' }
        expect(pinned['version']).to eq('((release_version))')
      end
    end

    it 'keeps secrets out of arguments and output, and leaves no file behind' do
      output, = deploy
      expect(noted('vars-file')).to eq("600 {\"store\":{\"secret_access_key\":\"store-secret\"}}\n")
      expect(calls.join + output).not_to match(/store-secret|bosh-secret/)
      expect(Dir.children(path('tmp'))).to eq([])
    end

    it 'refuses a folder with more than one tarball' do
      write('release/other.tgz', '')
      expect(deploy).to match([include('release has to hold one .tgz'), 2])
    end
  end

  describe 'the rehearsal' do
    def backup = run('backup', 'environment', 'rehearsal')

    def restore = run('restore', 'environment', 'rehearsal')

    def requests = calls.grep(/-d remount/).map { |call| call[/run-errand \w+|manifest\z|deploy(?!.*restore-to-time)|restore-to-time/] }

    it 'writes before and after the backup, and notes the time and the rows' do
      expect(backup.last).to eq(0)
      expect(File.read(path('rehearsal', 'time'))).to eq("2026-11-23T10:15:00.000001Z\n")
      expect(File.read(path('rehearsal', 'rows'))).to eq("2000 rows, md5\n")
    end

    it 'asks the primary, and only it, for anything but its role' do
      backup
      expect(noted('sql').lines.grep_v(/pg_is_in_recovery|^insert|^$/)).to all(start_with('postgres/c: '))
    end

    it 'restores by the properties, takes them out again, and checks' do
      backup
      output, code = restore
      expect([output.lines.last, code]).to eq(
        ["restore: restored to 2026-11-23T10:15:00.000001Z: 2000 rows, md5; it can be written, 1 standby streams\n", 0],
      )
      expect(requests).to eq(['run-errand backup', 'manifest', 'restore-to-time', 'run-errand restore', 'deploy'])
      expect(calls.grep(/restore-to-time/).first).to include('--var=restore_deployment=pg-ci-1', "--var=restore_time='2026-11-23T10:15:00.000001Z'")
      expect(Dir.children(path('tmp'))).to eq([])
    end

    {
      'wrong_rows' => 'wrong rows: 1 rows, md5, not 2000 rows, md5',
      'no_standby' => 'no standby streams',
      'no_damage' => 'the damage cannot be seen',
      'restore_fails' => 'the errand failed',
      'sql_fails' => 'postgres/a',
      'two_primaries' => 'not one primary',
    }.each do |mode, message|
      it "fails where it has to: #{mode}" do
        backup
        modes(mode)
        expect(restore).to match([include(message), 1])
      end
    end

    it 'takes the request out also where the errand fails: a later run would restore once more' do
      backup
      modes('restore_fails')
      restore
      expect(requests.last(2)).to eq(['run-errand restore', 'deploy'])
    end

    it 'ends where the backup fails' do
      modes('backup_fails')
      expect(backup.last).to eq(1)
      expect(File.exist?(path('rehearsal', 'time'))).to be(false)
    end
  end

  describe 'published-source' do
    it 'takes the manifests of the version, and says what to do in a checkout from before its tag' do
      FileUtils.mkdir_p(path('checkout', 'manifests'))
      write('checkout/manifests/remount.yml', "name: then\n")
      FileUtils.cp_r(Release.path('ci'), path('checkout'))
      git(path('checkout'), 'init', '--quiet')
      git(path('checkout'), 'add', '-A')
      git(path('checkout'), 'commit', '--quiet', '-m', 'then')
      expect(run('published-source', 'release', 'source', from: path('checkout')))
        .to match([include('has no tag v1.3.0-rc.4', 'fetch it again'), 2])
      git(path('checkout'), 'tag', 'v1.3.0-rc.4')
      write('checkout/manifests/remount.yml', "name: now\n")
      git(path('checkout'), 'commit', '--quiet', '-am', 'now')
      expect(run('published-source', 'release', 'source', from: path('checkout')).last).to eq(0)
      expect(File.read(path('source', 'manifests', 'remount.yml'))).to eq("name: then\n")
    end
  end

  describe 'finalize' do
    let(:final) { { 'name' => 'remount', 'blobstore' => { 'provider' => 's3', 'options' => { 'bucket_name' => 'b' } } } }

    # From a repository of its own: the task clones the one that it lies in, and commits.
    def finalize
      FileUtils.mkdir_p(path('checkout', 'config'))
      FileUtils.cp([Release.path('.gitignore')], path('checkout'))
      File.write(path('checkout', 'config', 'final.yml'), YAML.dump(final))
      FileUtils.cp_r(Release.path('ci'), path('checkout'))
      git(path('checkout'), 'init', '--quiet')
      git(path('checkout'), 'add', '-A')
      git(path('checkout'), 'commit', '--quiet', '-m', 'all')
      run('finalize', 'release', 'finalized', 'final', from: path('checkout'),
                                                       'BLOBSTORE_OPTIONS' => '{"secret_access_key":"blob-secret"}',
                                                       'GIT_NAME' => 'CI', 'GIT_EMAIL' => 'ci@example.com')
    end

    it 'makes the tested tarball final, commits it, and names the tag' do
      expect(finalize.last).to eq(0)
      expect(calls.grep(/finalize-release/)).to eq(["finalize-release #{path('release/remount-1.3.0-rc.4.tgz')} --version=1.3.0"])
      expect(git(path('finalized'), 'log', '-1', '--format=%an <%ae> %s')).to eq("CI <ci@example.com> release: 1.3.0, of candidate 1.3.0-rc.4\n")
      expect(git(path('finalized'), 'show', '--name-only', '--format=').split).to eq(%w[.final_builds/jobs/index.yml releases/remount/remount-1.3.0.yml])
      expect(File.read(path('final', 'tag'))).to eq("v1.3.0\n")
      expect(File).to be_file(path('final', 'remount-1.3.0.tgz'))
    end

    [[], ['finalize_fails']].each do |going_wrong|
      it "gives the blobstore's secrets to bosh alone, and removes them#{' when it fails' if going_wrong.any?}" do
        modes(*going_wrong)
        output, code = finalize
        expect(code).to eq(going_wrong.length)
        expect(noted('private')).to eq("600\n---\nblobstore:\n  options:\n    secret_access_key: blob-secret\n")
        expect(File.exist?(path('finalized', 'config', 'private.yml'))).to be(false)
        expect(calls.join + output).not_to include('blob-secret')
      end
    end

    it 'refuses where no blobstore was chosen, before anything is changed' do
      final.delete('blobstore')
      expect(finalize).to match([include('config/final.yml names no blobstore', 'ci/README.md'), 2])
      expect(calls.grep(/finalize-release/)).to be_empty
      expect(File.exist?(path('finalized'))).to be(false)
    end

    it 'refuses what is no candidate' do
      FileUtils.mv(path('release/remount-1.3.0-rc.4.tgz'), path('release/remount-1.3.0.tgz'))
      expect(finalize).to match([include('is 1.3.0, which is no candidate'), 2])
    end
  end
end
