# frozen_string_literal: true

require 'digest'
require 'fileutils'
require 'open3'
require 'tmpdir'

require_relative 'support/job_archive'
require_relative 'support/manifests'
require_relative 'support/package'

# What the packages say, without compiling them: ci/compile-packages does that.
RSpec.describe 'packages' do
  # A copy of the release to change, with an empty file for each blob: a clean clone has none.
  around do |example|
    Dir.mktmpdir do |folder|
      @copy = folder
      %w[errands jobs packages src].each { |part| FileUtils.cp_r(Release.path(part), folder) }
      FileUtils.mkdir(File.join(folder, 'blobs'))
      blobs.each_key { |name| FileUtils.touch(File.join(folder, 'blobs', name)) }
      example.run
    end
  end

  def blobs = Release.yaml('config', 'blobs.yml')
  def package(name) = Package.new(name, @copy)
  def copied(*parts) = File.join(@copy, *parts)

  it 'has the packages that jobs ask for' do
    asked = Release.jobs.flat_map { |job| Release.yaml('jobs', File.basename(job.dir), 'spec').fetch('packages', []) }
    expect(asked.uniq - Dir.children(Release.path('packages'))).to eq([])
  end

  # The Director installs what the specs name, and nothing else.
  it 'has for each job the packages that its files speak of' do
    Release.jobs.each do |job|
      spec = Release.yaml('jobs', File.basename(job.dir), 'spec')
      texts = Release.template_files(job).map { |file| Release.template_text(job, file) }
      texts += spec.fetch('properties', {}).values.filter_map { |property| property['default'] }.grep(String)
      spoken_of = texts.join("\n").scan(%r{/var/vcap/packages/([a-z0-9-]+)/}).flatten.uniq
      expect(spec.fetch('packages', [])).to include(*spoken_of), "jobs/#{File.basename(job.dir)}: #{spoken_of}"
    end
  end

  it 'has no package that no job asks for, directly or to compile another' do
    asked = Release.jobs.flat_map { |job| Release.yaml('jobs', File.basename(job.dir), 'spec').fetch('packages', []) }
    expect(Package.order(asked.uniq)).to match_array(Dir.children(Release.path('packages')))
  end

  Dir.children(Release.path('packages')).sort.each do |name|
    describe "packages/#{name}" do
      it 'is named as its folder' do
        expect(Release.yaml('packages', name, 'spec')['name']).to eq(name)
      end

      it 'finds a file for each of its patterns' do
        expect(package(name).files).to include('packaging')
      end

      it 'depends on packages that are there, and not on itself' do
        expect(Package.order([name], @copy).last).to eq(name)
      end

      it 'has a packaging script that stops at the first error' do
        expect(File.read(Release.path('packages', name, 'packaging'))).to match(/^set -euo pipefail$/)
      end

      it 'has a packaging script that shellcheck has nothing to say about' do
        script = Release.path('packages', name, 'packaging')
        output, status = Open3.capture2e('shellcheck', '--shell=bash', '--exclude=SC1091', script)
        expect(status).to be_success, output
      end
    end
  end

  describe 'fingerprints' do
    # Changes the copy; the fingerprints must tell which packages that touched.
    def changed_by
      before = Package.all(@copy).to_h { |package| [package.name, package.fingerprint] }
      yield
      Package.all(@copy).reject { |package| package.fingerprint == before[package.name] }.map(&:name)
    end

    it 'change with the lock file that a package is compiled with' do
      expect(changed_by { File.write(copied('src/packages/remount/Cargo.lock'), "# changed\n", mode: 'a') }).to eq(['remount'])
    end

    it 'change with a source file, for each package that has it' do
      expect(changed_by { File.write(copied('src/core/src/lib.rs'), "// changed\n", mode: 'a') }).to eq(%w[remount remount-agent])
      expect(changed_by { File.write(copied('src/scheduler/src/main.rs'), "// changed\n", mode: 'a') }).to eq(['remount'])
    end

    it 'do not change with a test' do
      expect(changed_by { File.write(copied('src/cli/tests/reading.rs'), "// changed\n", mode: 'a') }).to eq([])
    end

    it 'change with a blob' do
      blob = blobs.keys.find { |name| name.start_with?('icu_') }
      expect(changed_by { File.write(copied('blobs', blob), 'changed') }).to eq(['postgres-libraries'])
    end

    it 'change with the packaging script, whatever its mode' do
      script = copied('packages/postgres-15/packaging')
      expect(changed_by { File.chmod(0o755, script) }).to eq([])
      expect(changed_by { File.write(script, "true\n", mode: 'a') }).to eq(['postgres-15'])
    end

    it 'change when a file becomes executable, and not with other bits of its mode' do
      file = copied('src/cli/src/main.rs')
      expect(changed_by { File.chmod(0o600, file) }).to eq([])
      expect(changed_by { File.chmod(0o755, file) }).to eq(['remount'])
    end

    it 'leave out the dependencies, which the key of a compiled package has' do
      before = package('postgres-15').key
      expect(changed_by { File.write(copied('packages/postgres-libraries/packaging'), "true\n", mode: 'a') })
        .to eq(['postgres-libraries'])
      expect(package('postgres-15').key).not_to eq(before)
    end

    # A made-up package with all that counts: the expected value is what the CLI itself gave for it.
    it 'are those of the CLI' do
      FileUtils.rm_rf([copied('src'), copied('blobs'), copied('packages')])
      FileUtils.mkdir_p([copied('src/a/deep'), copied('blobs'), copied('packages/sample'), copied('packages/other')])
      { 'src/a/deep/.hidden' => 'hidden', 'src/a/run' => 'run', 'src/a/both' => 'of src', 'blobs/data.tgz' => 'blob',
        'packages/other/spec' => "name: other\n", 'packages/other/packaging' => "true\n",
        'packages/sample/packaging' => "true\n",
        'packages/sample/spec' => "name: sample\ndependencies: [other]\nfiles: ['*/**/*', 'data.*']\n" }
        .each { |file, content| File.write(copied(file), content) }
      File.chmod(0o755, copied('src/a/run'))
      File.symlink('run', copied('src/a/link'))
      expect(package('sample').files.keys).to eq(%w[a/both a/deep/.hidden a/link a/run data.tgz packaging])
      expect(package('sample').fingerprint).to eq('b4ad2c2ac69d432b45967a6b988355192fe5de7a16dfa875e0b066bb019b02d4')
      expect(package('other').fingerprint).to eq('9d24f2d034c3514b13f7faf52b9d644ee72dbfad2785472e4e8cf1168f4d04c3')
    end
  end

  it 'refuse a pattern without a file' do
    FileUtils.rm(copied('blobs', blobs.keys.find { |name| name.start_with?('lz4_') }))
    expect { package('postgres-libraries').files }
      .to raise_error(Package::Invalid, /`postgres-libraries`: no file matches lz4_\*/)
  end

  # The packages that cargo compiles, and the folders that each takes of src/.
  compiled = Dir.children(Release.path('src/packages')).sort

  compiled.each do |name|
    describe "packages/#{name}" do
      def libraries(*path) = File.read(Release.path(*path)).split("\n\n").select { |part| part.include?("\nchecksum = ") }
                                 .map { |part| part.split("\ndependencies = ").first.strip }

      let(:members) { File.read(Release.path('src/packages', name, 'Cargo.toml'))[/^members = \[(.*?)\]/m, 1].scan(/"([^"]+)"/).flatten }

      it 'takes the crates of its manifest and no other' do
        taken = package(name).files.keys.grep(/\.rs\z/).map { |file| file.split('/').first }.uniq
        expect(taken.map { |folder| "src/#{folder}" }).to match_array(members)
      end

      it 'arranges its files into a workspace' do
        package(name).stage(copied('vm'))
        arranges = File.readlines(Release.path('packages', name, 'packaging')).grep(/\Amv /).first
        output, status = Open3.capture2e('bash', '-euc', arranges, chdir: copied('vm'))
        expect(status).to be_success, output
        expect(members.map { |member| copied('vm', member, 'Cargo.toml') }).to all(satisfy { |manifest| File.file?(manifest) })
        expect(members.map { |member| copied('vm', member, 'src') }).to all(satisfy { |sources| File.directory?(sources) })
        expect(File).to be_file(copied('vm/Cargo.lock'))
      end

      it 'installs every program that a job runs, and builds no other' do
        scripts = Release.jobs.flat_map { |job| Release.template_files(job).map { |file| Release.template_text(job, file) } }
        called = scripts.flat_map { |text| text.scan(%r{packages/#{name}/bin/([a-z-]+)}) }.flatten.uniq
        packaging = File.read(Release.path('packages', name, 'packaging'))
        built = packaging.scan(/--bin ([a-z-]+)/).flatten
        prefix, suffixes = packaging.match(%r{target/release/([a-z-]+)\{(.*?)\}}).captures
        expect(suffixes.split(',').map { |suffix| "#{prefix}#{suffix}" }).to match_array(built)
        expect(called).to match_array(built)
      end

      it 'has nothing that only tests need' do
        files = package(name).files
        expect(files.keys.grep(%r{(\A|/)(lab|sim|faultproxy|xtask|tests|workspace)/})).to eq([])
        manifests = files.select { |file, _| file.end_with?('Cargo.toml') }.values.map { |path| File.read(path) }
        expect(manifests.grep(/dev-dependencies|remount-(lab|sim|faultproxy)/)).to eq([])
        tools = %w[proptest rcgen serde-saphyr]
        expect(libraries('Cargo.lock').map { |part| part[/^name = "(.*)"/, 1] }).to include(*tools)
        expect(libraries('src/packages', name, 'Cargo.lock').map { |part| part[/^name = "(.*)"/, 1] } & tools).to eq([])
      end

      it 'is compiled with the versions that the tests run with' do
        expect(libraries('src/packages', name, 'Cargo.lock') - libraries('Cargo.lock'))
          .to eq([]), 'run `cargo xtask packages` and `scripts/vendor --record`'
      end
    end
  end

  # A release of the control plane, or of the tests, must restart no database: the Director updates an instance when
  # the fingerprint of one of its jobs or packages differs.
  describe 'what a database VM runs' do
    def database
      jobs = Manifests.ours(Release.yaml('manifests', 'postgres.yml')).map { |job| JobArchive.new(job['name'], @copy) }
      packages = Package.order(jobs.flat_map(&:packages).uniq, @copy).map { |name| package(name) }
      jobs.to_h { |job| ["jobs/#{job.name}", job.fingerprint] }.merge(packages.to_h { |found| ["packages/#{found.name}", found.fingerprint] })
    end

    def changed
      before = database
      yield
      database.reject { |name, fingerprint| before[name] == fingerprint }.keys
    end

    def edit(*path) = File.write(copied(*path), "\n", mode: 'a')

    # Raises the version of a library in a lock file, as `cargo update` does.
    def update(lock, library)
      text = File.read(copied(lock))
      expect(text.sub!(/(name = "#{library}"\nversion = ")[^"]+/, '\199.0.0')).not_to be_nil, "#{lock} has no #{library}"
      File.write(copied(lock), text)
    end

    def blob(name) = blobs.keys.find { |blob| blob.start_with?("#{name}-crates-") }

    it 'is four packages and two jobs' do
      expect(database.keys).to contain_exactly('jobs/postgres', 'jobs/remount-agent', 'packages/postgres-15', 'packages/postgres-17',
                                               'packages/postgres-libraries', 'packages/remount-agent', 'packages/rust-1-linux')
    end

    it 'stays as it is when the control plane, a cloud or the lab changes' do
      crates = Dir.children(Release.path('src')) - %w[ARCHITECTURE.md agent core host packages postgres store wal workspace]
      expect(crates).to include('cli', 'cloud', 'director', 'flow', 'lab', 'scheduler', 'sim', 'xtask')
      crates.each do |crate|
        files = Dir.glob('**/*', base: copied('src', crate)).select { |file| File.file?(copied('src', crate, file)) }
        expect(changed { files.each { |file| edit('src', crate, file) } }).to eq([]), crate
      end
      expect(changed { Release.errands.each { |errand| edit('errands', errand, 'spec') } }).to eq([])
      expect(changed { edit('jobs/remount-scheduler/templates/bpm.yml') }).to eq([])
      expect(changed { %w[spec packaging].each { |file| edit('packages/remount', file) } }).to eq([])
    end

    it 'stays as it is when a test of its own crates changes, or what only such a test needs' do
      expect(changed { Dir.glob('src/{agent,store,wal}/tests/**/*.rs', base: @copy).each { |file| edit(file) } }).to eq([])
      expect(changed { %w[agent core host postgres store wal].each { |crate| edit('src', crate, 'Cargo.toml') } }).to eq([])
      expect(changed { update('src/workspace/Cargo.lock', 'proptest') }).to eq([])
    end

    it 'stays as it is when a library changes that only the control plane or the lab links' do
      expect(changed { update('src/workspace/Cargo.lock', 'serde-saphyr') }).to eq([])
      expect(changed { edit('src/workspace/Cargo.toml') }).to eq([])
      # The packages' lock files part when the control plane links a cloud's SDK.
      library = "\n[[package]]\nname = \"aws-sdk-ec2\"\nversion = \"1.0.0\"\n"
      %w[src/workspace/Cargo.lock src/packages/remount/Cargo.lock].each { |lock| File.write(copied(lock), library, mode: 'a') }
      expect(changed { %w[src/workspace/Cargo.lock src/packages/remount/Cargo.lock].each { |lock| update(lock, 'aws-sdk-ec2') } }).to eq([])
      expect(changed { edit('blobs', blob('remount')) }).to eq([])
    end

    it 'changes with a crate, a library, a template or a toolchain of its own: these tests can fail' do
      ours = ['packages/remount-agent']
      expect(changed { edit('src/wal/src/push.rs') }).to eq(ours)
      expect(changed { edit('src/core/src/lib.rs') }).to eq(ours)
      expect(changed { update('src/packages/remount-agent/Cargo.lock', 'tokio') }).to eq(ours)
      expect(changed { edit('blobs', blob('remount-agent')) }).to eq(ours)
      expect(changed { edit('jobs/postgres/templates/postgresql.conf.erb') }).to eq(['jobs/postgres'])
      expect(changed { edit('jobs/remount-agent/properties_schema.json') }).to eq(['jobs/remount-agent'])
      expect(changed { edit('blobs', blobs.keys.find { |name| name.start_with?('rust-') }) }).to eq(['packages/rust-1-linux'])
    end
  end

  describe 'config/blobs.yml' do
    it 'names each blob with size and digest' do
      expect(blobs.values).to all(include('size' => be_positive, 'sha' => match(/\Asha256:\h{64}\z/)))
    end

    # packages/remount takes every file of every folder; a blob in a folder would be packed into it.
    it 'has blobs at the top of blobs/ only' do
      expect(blobs.keys.grep(%r{/})).to eq([])
    end

    it 'names a blob once for each pattern, and none that nothing packs' do
      taken = Package.all(@copy).flat_map { |package| package.files.keys }.tally
      expect(blobs.keys.to_h { |blob| [blob, taken[blob]] }.values).to all(eq(1))
    end

    compiled.each do |package|
      it "has the crates of #{package}'s lock file" do
        checksums = File.readlines(Release.path('src/packages', package, 'Cargo.lock')).grep(/\Achecksum = /).sort.join
        name = "#{package}-crates-#{Digest::SHA256.hexdigest(checksums)[0, 12]}.tgz"
        expect(blobs).to have_key(name), "the lock file of #{package} has other crates than the blob: run `scripts/vendor --record` " \
                                         "and commit config/blobs.yml (it has no #{name})"
      end
    end

    it 'has the toolchain of this rust-toolchain.toml' do
      channel = File.read(Release.path('rust-toolchain.toml'))[/^channel = "(.*)"/, 1]
      expect(blobs).to have_key("rust-#{channel}-x86_64-unknown-linux-gnu.tar.gz"),
                       "the toolchain is #{channel} now: run `scripts/vendor --record` and commit config/blobs.yml"
    end
  end

  # With every blob there but PostgreSQL 17's, a mirror that no longer has it, and an apt that knows its successor.
  describe 'scripts/vendor, where Debian has replaced a minor release' do
    def executable(name, script)
      File.write(copied('bin', name), "#!/bin/bash\n#{script}\n")
      File.chmod(0o755, copied('bin', name))
    end

    before do
      %w[config scripts bin].each { |folder| FileUtils.mkdir(copied(folder)) }
      %w[rust-toolchain.toml scripts/vendor].each { |file| FileUtils.cp(Release.path(file), copied(file)) }
      index = blobs.keys.to_h { |name| [name, { 'size' => 0, 'sha' => "sha256:#{Digest::SHA256.hexdigest('')}" }] }
      index[replaced]['sha'] = "sha256:#{Digest::SHA256.hexdigest('the replaced one')}"
      File.write(copied('config/blobs.yml'), YAML.dump(index).delete_prefix("---\n"))
      FileUtils.rm(copied('blobs', replaced))
      executable('apt-get', 'case "$*" in source*) printf successor > postgresql-17_17.99.orig.tar.bz2 ;; esac')
      executable('apt-cache', 'echo "Version: 17.99-1"; echo " sum 9 postgresql-17_17.99.orig.tar.bz2"')
    end

    def replaced = blobs.keys.find { |name| name.start_with?('postgresql-17_') }

    def vendor(*arguments)
      environment = { 'PATH' => "#{copied('bin')}:#{ENV.fetch('PATH')}", 'REMOUNT_CACHE' => copied('cache'),
                      'DEBIAN_MIRROR' => "file:#{copied('no-mirror')}" }
      Open3.capture2e(environment, copied('scripts/vendor'), *arguments)
    end

    it 'takes the successor, says so and records it' do
      output, status = vendor
      expect(status).to be_success, output
      expect(output).to include("WARNING: Debian no longer carries #{replaced}; taking its successor postgresql-17_17.99")
      index = YAML.load_file(copied('config/blobs.yml'))
      sha = "sha256:#{Digest::SHA256.hexdigest('successor')}"
      expect(index.fetch('postgresql-17_17.99.orig.tar.bz2')).to eq('size' => 9, 'sha' => sha)
      expect(index.keys).not_to include(replaced)
      expect(index.keys.length).to eq(blobs.length)
      expect(Dir.children(copied('blobs'))).to match_array(index.keys)
    end

    it 'refuses another where it is told to keep to what is recorded' do
      output, status = vendor('--locked')
      expect(status.exitstatus).to eq(1), output
      expect(output).to include("error: #{replaced} cannot be had", 'it has postgresql-17_17.99', 'scripts/vendor --newest')
      expect(YAML.load_file(copied('config/blobs.yml'))).to have_key(replaced)
    end
  end

  describe 'scripts/create-release' do
    it 'says where operators get the CLI, and exits 2, where there is none' do
      # Just enough to run the script itself.
      Dir.mktmpdir do |bin|
        File.symlink('/usr/bin/dirname', File.join(bin, 'dirname'))
        output, status = Open3.capture2e({ 'PATH' => bin }, Release.path('scripts/create-release'))
        expect(output).to include('no `bosh` on the PATH', 'https://bosh.io/docs/cli-v2-install/')
        expect(status.exitstatus).to eq(2)
      end
    end
  end

  %w[scripts/vendor scripts/create-release ci/compile-packages].each do |script|
    it "has a #{script} that explains itself and that shellcheck has nothing to say about" do
      output, status = Open3.capture2e(Release.path(script), '--help')
      expect(status).to be_success
      expect(output).to include(script)
      output, status = Open3.capture2e('shellcheck', '--external-sources', script, chdir: Release::ROOT)
      expect(status).to be_success, output
    end
  end
end
