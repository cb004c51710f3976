# frozen_string_literal: true

require 'open3'
require 'stringio'
require 'tmpdir'

RSpec.describe Renderer do
  # A job of one template, in a folder of its own.
  def render(template, properties: {}, declared: {}, consumes: {}, links: [], spec: { 'ip' => '10.0.0.1' })
    Dir.mktmpdir do |dir|
      Dir.mkdir(File.join(dir, 'templates'))
      File.write(File.join(dir, 'templates', 'a.erb'), template)
      File.write(File.join(dir, 'monit'), '')
      File.write(File.join(dir, 'spec'), YAML.dump('name' => 'x', 'templates' => { 'a.erb' => 'bin/a' },
                                                   'properties' => declared, 'consumes' => links))
      job = { 'name' => 'x', 'dir' => dir, 'properties' => properties, 'consumes' => consumes }
      described_class.render('jobs' => [job], 'spec' => spec)['jobs'].first['files']['bin/a']
    end
  end

  def content(...) = render(...)['content']

  def problems(...)
    render(...)
    []
  rescue Renderer::Failed => e
    e.sentences
  end

  it 'gives the default of the spec where the manifest gives nothing' do
    expect(content("<%= p('a.b') %>", declared: { 'a.b' => { 'default' => 3 } })).to eq('3')
  end

  it 'takes false for a value' do
    declared = { 'a' => { 'default' => true } }
    expect(content("<%= p('a') %>", declared: declared, properties: { 'a' => false })).to eq('false')
  end

  it 'takes the first of several names that has a value' do
    expect(content("<%= p(['a', 'b']) %>", declared: { 'a' => {}, 'b' => { 'default' => 2 } })).to eq('2')
  end

  it 'takes the default argument where no name has a value' do
    expect(content("<%= p(['a', 'b'], 'c') %>", declared: { 'a' => {} })).to eq('c')
  end

  it 'hides properties that the spec does not declare' do
    expect(problems("<%= p('secret') %>", properties: { 'secret' => 1 }))
      .to eq(["job x: bin/a: line 1: Can't find property '[\"secret\"]'"])
  end

  it 'names all the names it looked for' do
    expect(problems("<%= p(['a', 'b']) %>")).to eq(["job x: bin/a: line 1: Can't find property '[\"a\", \"b\"]'"])
  end

  it 'refuses a value that is no mapping where properties are declared below it' do
    expect(problems('', declared: { 'a.b' => {} }, properties: { 'a' => 'text' }))
      .to eq(["job x: Property 'a.b' expects a hash, but received 'String'"])
  end

  it 'shows hashes sorted by key, at every depth' do
    given = { 'a' => { 'z' => 1, 'b' => { 'y' => 2, 'x' => 3 } } }
    expect(content("<%= p('a').to_json %>", declared: { 'a' => {} }, properties: given)).to eq('{"b":{"x":3,"y":2},"z":1}')
  end

  it 'gives each template its own copy of the properties' do
    mutating = "<% p('a') << 1 %><%= p('a') %>"
    Dir.mktmpdir do |dir|
      Dir.mkdir(File.join(dir, 'templates'))
      %w[one two].each { |name| File.write(File.join(dir, 'templates', name), mutating) }
      File.write(File.join(dir, 'monit'), '')
      File.write(File.join(dir, 'spec'), YAML.dump('name' => 'x', 'templates' => { 'one' => 'bin/one', 'two' => 'bin/two' },
                                                   'properties' => { 'a' => { 'default' => [] } }))
      files = described_class.render('jobs' => [{ 'name' => 'x', 'dir' => dir }], 'spec' => {})['jobs'].first['files']
      expect(files.slice('bin/one', 'bin/two').values.map { |file| file['content'] }).to eq(%w[[1] [1]])
    end
  end

  it 'reports a template that tries to end the program' do
    expect(problems('<% exit 0 %>')).to eq(['job x: bin/a: line 1: exit'])
  end

  it 'names the line of a problem' do
    expect(problems("one\ntwo\n<%= p('a') %>\n").first).to include('line 3:')
  end

  it 'reports a template that is not Ruby' do
    expect(problems('<%= if %>').first).to start_with('job x: bin/a: ')
  end

  it 'runs the branch of if_p whose properties all have values' do
    template = "<% if_p('a', 'b') { |a, b| %><%= a + b %><% }.else_if_p('a') { |a| %>only <%= a %><% }.else { %>none<% } %>"
    declared = { 'a' => {}, 'b' => {} }
    expect(content(template, declared: declared, properties: { 'a' => 1, 'b' => 2 })).to eq('3')
    expect(content(template, declared: declared, properties: { 'a' => 1 })).to eq('only 1')
    expect(content(template, declared: declared)).to eq('none')
  end

  describe 'links' do
    let(:links) { [{ 'name' => 'db', 'type' => 'db', 'optional' => true }] }
    let(:consumes) do
      { 'db' => { 'properties' => { 'port' => 5 },
                  'instances' => [{ 'name' => 'g', 'id' => 'u', 'index' => 0, 'az' => 'z', 'address' => '10.0.0.9',
                                    'bootstrap' => true }] } }
    end

    it 'have instances and properties' do
      template = "<% db = link('db') %><%= db.instances.first.address %>:<%= db.p('port') %><%= db.p('x', '!') %>"
      expect(content(template, links: links, consumes: consumes)).to eq('10.0.0.9:5!')
    end

    it 'have properties as a hash, without methods' do
      expect(content("<%= link('db').properties['port'] %>", links: links, consumes: consumes)).to eq('5')
      expect(problems("<%= link('db').properties.port %>", links: links, consumes: consumes).first).to include('undefined method `port')
    end

    it 'are missing where they have no instances, not even an empty list' do
      expect(content("<% if_link('db') { %>yes<% }.else { %>no<% } %>", links: links, consumes: { 'db' => {} })).to eq('no')
    end

    it 'have conditions' do
      template = "<% link('db').if_p('port') { |port| %><%= port %><% } %>"
      expect(content(template, links: links, consumes: consumes)).to eq('5')
    end

    it 'have an address' do
      expect(content("<%= link('db').address %>", links: links, consumes: consumes)).to eq('10.0.0.9')
    end

    it 'may be missing where they are optional' do
      template = "<% if_link('db') { |db| %>yes<% }.else { %>no<% } %>"
      expect(content(template, links: links)).to eq('no')
      expect(content(template, links: links, consumes: consumes)).to eq('yes')
    end

    it 'are errors where a template insists on a missing one' do
      expect(problems("<%= link('db') %>", links: links)).to eq(["job x: bin/a: line 1: Can't find link 'db'"])
    end

    it 'must have a provider unless they are optional' do
      expect(problems('', links: [{ 'name' => 'db', 'type' => 'db' }])).to eq(['job x: the link `db` has no provider'])
    end

    it 'are hidden unless the spec consumes them' do
      expect(problems("<%= link('db') %>", consumes: consumes).first).to end_with("Can't find link 'db'")
    end
  end

  it 'shows spec and properties as objects' do
    template = '<%= spec.ip %> <%= spec.networks.default.ip %> <%= properties.a.b %>'
    spec = { 'ip' => '10.0.0.1', 'networks' => { 'default' => { 'ip' => '10.0.0.2' } } }
    expect(content(template, spec: spec, declared: { 'a.b' => { 'default' => 'c' } })).to eq('10.0.0.1 10.0.0.2 c')
  end

  it 'marks what lies below bin/ as executable' do
    expect(render('')['executable']).to be(true)
  end

  it 'reports every problem of every job at once' do
    request = { 'jobs' => [{ 'name' => 'a', 'dir' => '/nowhere/a' }, { 'name' => 'b', 'dir' => '/nowhere/b' }], 'spec' => {} }
    expect { described_class.render(request) }.to raise_error(Renderer::Failed) { |e| expect(e.sentences.length).to eq(2) }
  end

  describe 'properties_schema.json' do
    def job(schema, properties)
      Dir.mktmpdir do |dir|
        File.write(File.join(dir, 'monit'), '')
        File.write(File.join(dir, 'spec'), YAML.dump('name' => 'x', 'properties' => { 'a.b' => {}, 'c' => { 'default' => [] } }))
        File.write(File.join(dir, 'properties_schema.json'), schema.is_a?(String) ? schema : JSON.dump(schema))
        described_class.render('jobs' => [{ 'name' => 'x', 'dir' => dir, 'properties' => properties }], 'spec' => {})
      end
      []
    rescue Renderer::Failed => e
      e.sentences
    end

    let(:draft) { { '$schema' => 'https://json-schema.org/draft/2020-12/schema' } }

    def schema(of_b, of_c = {})
      draft.merge('type' => 'object', 'properties' => { 'a' => { 'properties' => { 'b' => of_b } }, 'c' => of_c })
    end

    it 'is checked before anything is rendered, and every value that does not fit is told' do
      given = { 'a' => { 'b' => 'text' }, 'c' => [1, 'two'] }
      expect(job(schema({ 'type' => 'integer' }, { 'items' => { 'type' => 'string' } }), given))
        .to eq(['job x: value at `/a/b` is not integer', 'job x: value at `/c/0` is not string'])
    end

    it 'sees what is not given as null' do
      expect(job(schema({ 'type' => 'string' }), {})).to eq(['job x: value at `/a/b` is not string'])
      expect(job(schema({ 'type' => %w[string null] }), {})).to eq([])
    end

    it 'limits words, numbers and patterns' do
      of = ->(rule, value) { job(schema(rule), 'a' => { 'b' => value }).map { |sentence| sentence.delete_prefix('job x: ') } }
      expect(of.call({ 'enum' => ['s3', nil] }, 's4')).to eq(['value at `/a/b` is not one of: s3'])
      expect(of.call({ 'minimum' => 1 }, 0)).to eq(['value at `/a/b` is less than 1'])
      expect(of.call({ 'maximum' => 1 }, 2)).to eq(['value at `/a/b` is more than 1'])
      expect(of.call({ 'pattern' => '^[0-9]+$' }, 'x')).to eq(['value at `/a/b` does not match ^[0-9]+$'])
      expect(of.call({ 'minimum' => 1, 'pattern' => '^1$' }, '1')).to eq([])
    end

    it 'may have one rule for all other members, or none of them' do
      of = ->(rule, value) { job(schema(rule), 'a' => { 'b' => value }).map { |sentence| sentence.delete_prefix('job x: ') } }
      texts = { 'type' => 'object', 'properties' => { 'n' => { 'type' => 'integer' } }, 'additionalProperties' => { 'type' => 'string' } }
      expect(of.call(texts, { 'n' => 1, 'c' => 'x', 'd' => 2 })).to eq(['value at `/a/b/d` is not string'])
      expect(of.call(texts.merge('additionalProperties' => false), { 'n' => 1, 'c' => 'x' })).to eq(['value at `/a/b/c` is unknown'])
    end

    it 'must be of the one draft that the Director knows, and use no rule that is not checked here' do
      expect(job({ 'type' => 'object' }, {}).first).to include('has to declare `$schema`')
      expect(job(draft.merge('oneOf' => []), {}).first).to include('uses `oneOf`')
      expect(job('{', {}).first).to include('is not JSON')
    end
  end

  describe 'as a program' do
    def run(input) = Open3.capture3(Release.path('spec', 'renderer', 'render.rb'), stdin_data: input)

    it 'answers with JSON' do
      job = { 'name' => 'postgres', 'dir' => Release.path('jobs', 'postgres'), 'consumes' => Landscape.postgres_link,
              'properties' => Landscape.properties('postgres.yml', 'postgres') }
      spec = Landscape.spec('pg-0001', Landscape::INSTANCES.first)
      output, errors, status = run(JSON.dump('jobs' => [job], 'spec' => spec))
      expect([status.exitstatus, errors]).to eq([0, ''])
      expect(JSON.parse(output).dig('jobs', 0, 'files', 'bin/pre-start', 'executable')).to be(true)
    end

    it 'prints problems on standard error only and ends with 1' do
      output, errors, status = run('{"jobs": [{"name": "a", "dir": "/nowhere"}], "spec": {}}')
      expect([status.exitstatus, output]).to eq([1, ''])
      expect(errors.lines.length).to eq(1)
    end

    it 'says so where its input is no request' do
      expect(run('{')[1]).to start_with('the request on standard input is not JSON')
      expect(run('{}')[1]).to eq("the request has no `jobs`\n")
    end
  end
end
