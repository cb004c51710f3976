# frozen_string_literal: true

require 'open3'

require 'fileutils'
require 'tmpdir'

# What `bosh create-release` demands beside the jobs.
RSpec.describe 'the release' do
  it 'has a name' do
    expect(Release.yaml('config', 'final.yml')['name']).to eq('remount')
  end

  it 'lists blobs as a mapping, with size, object id and checksum each' do
    blobs = Release.yaml('config', 'blobs.yml')
    expect(blobs).to be_a(Hash)
    blobs.each_value { |blob| expect(blob.keys).to include('size', 'sha') }
  end

  it 'keeps private.yml out of git' do
    expect(File.readlines(Release.path('.gitignore'), chomp: true)).to include('/config/private.yml')
  end

  Dir.children(Release.path('packages')).sort.each do |package|
    describe "packages/#{package}" do
      let(:spec) { Release.yaml('packages', package, 'spec') }

      it 'is named as its folder' do
        expect(spec['name']).to eq(package)
      end

      it 'has a packaging script that shellcheck has nothing to say about' do
        script = Release.path('packages', package, 'packaging')
        output, status = Open3.capture2e('shellcheck', '--shell=bash', '--exclude=SC1091', script)
        expect(status).to be_success, output
      end

      it 'finds something for each of its files' do
        blobs = Release.yaml('config', 'blobs.yml').keys
        spec['files'].reject { |glob| glob.start_with?('vendor/') }.each do |glob|
          found = Dir.glob(Release.path('src', glob)) + blobs.select { |blob| File.fnmatch(glob, blob) }
          expect(found).not_to be_empty, glob
        end
      end
    end
  end

  # The first lines of the packaging script, up to the blob that only a release has.
  def arranged(folder)
    script = File.read(Release.path('packages', 'remount', 'packaging'))
    moves = script.lines.grep(/\Amkdir /).first
    output, status = Open3.capture2e('bash', '-euc', moves, chdir: folder)
    raise output unless status.success?
  end

  it 'packs files that packaging can arrange into a workspace' do
    Dir.mktmpdir do |folder|
      Release.yaml('packages', 'remount', 'spec')['files'].flat_map { |glob| Dir.glob(glob, base: Release.path('src')) }.each do |file|
        next unless File.file?(Release.path('src', file))

        FileUtils.mkdir_p(File.join(folder, File.dirname(file)))
        FileUtils.cp(Release.path('src', file), File.join(folder, file))
      end
      arranged(folder)
      members = File.read(File.join(folder, 'Cargo.toml'))[/^members = \[(.*?)\]/m, 1].scan(/"([^"]+)"/).flatten
      expect(members).not_to be_empty
      expect(members.map { |member| File.join(folder, member, 'Cargo.toml') }).to all(satisfy { |manifest| File.file?(manifest) })
      expect(File).to be_file(File.join(folder, 'Cargo.lock'))
    end
  end

  it 'packs every crate of the workspace, or --locked would refuse' do
    crates = Dir.children(Release.path('src')).select { |name| File.file?(Release.path('src', name, 'Cargo.toml')) } - ['workspace']
    packed = Release.yaml('packages', 'remount', 'spec')['files'].map { |glob| glob.split('/').first }
    expect(crates - packed).to eq([])
  end
end
