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
      .to eq(["job x: bin/a: line 1: Can't find property 'secret'"])
  end

  it 'names all the names it looked for' do
    expect(problems("<%= p(['a', 'b']) %>")).to eq(["job x: bin/a: line 1: Can't find property 'a', or 'b'"])
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
