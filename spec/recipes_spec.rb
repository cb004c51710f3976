# frozen_string_literal: true

require 'fileutils'
require 'tmpdir'

# The recipes of src/ARCHITECTURE.md: the files that a change touches are those, and no others.
RSpec.describe 'recipes' do
  recipes = File.read(Release.path('src/ARCHITECTURE.md'))[/^## Recipes$.*/m].scan(/^\| (a [^|]+) \| ([^|]+) \| (\d) \| ([^|]+) \|$/)

  # A copy of the jobs, to be changed and rendered.
  around do |example|
    Dir.mktmpdir do |folder|
      @copy = folder
      FileUtils.cp_r(Release.path('jobs'), folder)
      example.run
    end
  end

  def edit(file, pattern, text)
    path = File.join(@copy, file)
    before = File.read(path)
    expect(before).to match(pattern), file
    File.write(path, before.sub(pattern) { |found| "#{found}#{text}" })
  end

  def render(job, manifest, change = {})
    properties = Landscape.properties(manifest, job).merge(change)
    request = { 'jobs' => [{ 'name' => job, 'dir' => File.join(@copy, 'jobs', job), 'properties' => properties, 'consumes' => Landscape.postgres_link }],
                'spec' => Landscape.spec('pg-0001', Landscape::INSTANCES.first) }
    Renderer.render(request)['jobs'].first['files'].transform_values { |file| file['content'] }
  end

  it 'are told for the five changes that come next, and for properties of other jobs' do
    expect(recipes.map(&:first)).to eq(['a property of the store', 'a cloud', 'a property of a job', 'a step of a restore', 'a command', 'a metric'])
  end

  recipes.each do |name, _, count, files|
    it "count the files that #{name} touches, and keep to the limit" do
      always = files.split('; with an SDK').first.split('; a number').first.scan(/`((?:src|jobs|docs)[^` ]+)`/).flatten
      always = [] if count == '0'
      expect(always.length).to eq(count.to_i)
      limit = { 'a property of the store' => 4, 'a cloud' => 6 }.fetch(name, 6)
      whole = count == '0' ? [] : files.scan(%r{`((?:src|jobs|docs)/[^` ]+\.[a-z]+|jobs/[a-z-]+/spec)`}).flatten
      expect(whole.length).to be <= limit
      whole.each { |file| expect(File).to exist(Release.path(file)), file }
    end
  end

  it 'add a property of the store by two files below jobs/, for control plane and agents alike' do
    edit('jobs/remount/spec', /^  store\.region:\n/, "    description: Planted.\n  store.storage_class:\n")
    edit('jobs/remount/templates/store.json.erb', /^texts = %w\[/, 'storage_class ')
    given = Landscape::VARIABLES['store'].merge('storage_class' => 'STANDARD_IA')
    [%w[remount remount.yml], %w[remount-agent postgres.yml]].each do |job, manifest|
      store = JSON.parse(render(job, manifest, 'store' => given)['config/store.json'])
      expect(store['storage_class']).to eq('STANDARD_IA'), job
    end
  end

  it 'add a cloud by two files below jobs/' do
    edit('jobs/remount/spec', /^properties:\n/, "  cloud.moon.crater:\n    description: Planted.\n  cloud.moon.credentials_source:\n    description: Planted.\n    default: static\n" \
                                               "  cloud.moon.key:\n    description: Planted.\n")
    edit('jobs/remount/templates/cloud.json.erb', /^clouds = \{\n/, "  'moon' => [%w[crater], { 'static' => %w[key] }, [], {}],\n")
    moon = ->(values) { render('remount', 'remount.yml', 'cloud' => { 'type' => 'moon', 'moon' => values })['config/cloud.json'] }
    expect(JSON.parse(moon.call({ 'crater' => 'Tycho', 'key' => 'k' })))
      .to eq('type' => 'moon', 'crater' => 'Tycho', 'credentials_source' => 'static', 'key' => 'k')
    expect { moon.call({ 'crater' => 'Tycho' }) }.to raise_error(Renderer::Failed, /are missing: `cloud.moon.key`/)
  end

  # What stands about each cloud of today, outside of its own folders and of the tests.
  Release.clouds.each do |cloud|
    it "name the files that speak of the cloud #{cloud}" do
      files = Dir.glob('{jobs,errands,packages,manifests,scripts,ci,src}/**/*', base: Release::ROOT).reject do |file|
        !File.file?(Release.path(file)) || file.match?(%r{/(tests|target)/|\.md\z|/Cargo\.lock\z|\Asrc/(lab|sim)/|#{cloud}/})
      end
      # By name, not as a part of another: a store in the same cloud is another matter.
      name = /\bcloud\.#{cloud}\b|['"`\[ ]#{cloud}['"`\]]|\bmod #{cloud}\b|#{cloud}::/
      spoken = files.select { |file| File.binread(Release.path(file)).split('#[cfg(test)]').first.to_s.match?(name) }
      expect(spoken).to match_array(%w[jobs/remount/spec jobs/remount/templates/cloud.json.erb src/cloud/src/config.rs src/cloud/src/lib.rs])
    end
  end
end
