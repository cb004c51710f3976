# frozen_string_literal: true

# A landscape with fixed names, addresses and secrets: the manifests with their variables filled in,
# and a request to the renderer for any instance of them.
module Landscape
  VARIABLES = {
    'deployment_name' => 'pg-0001',
    'persistent_disk_mib' => 10_240,
    'backup_deployments' => %w[pg-0001 pg-0002],
    'director' => {
      'url' => 'https://10.0.0.6:25555', 'ca' => 'DIRECTOR CA',
      'client_id' => 'remount', 'client_secret' => 'uaa-secret'
    },
    'cloud' => { 'type' => 'local', 'local' => { 'root' => '/lab/cloud' } },
    'store' => {
      'type' => 's3', 'bucket' => 'backups', 'prefix' => 'eu', 'region' => 'eu-central-1',
      'access_key_id' => 'AKIA', 'secret_access_key' => 's3-secret'
    },
    'postgres_replication_password' => 'replication-secret',
    'postgres_app_password' => 'app-secret',
    'remount_agent' => { 'certificate' => 'AGENT CERTIFICATE', 'private_key' => 'AGENT KEY' },
    # Those of the tests' landscape: the programs' own tests read the golden files, and want keys that are keys.
    '/remount_signing' => { 'private_key' => File.read(Release.path('src/sim/src/keys/one.pem')),
                            'public_key' => File.read(Release.path('src/sim/src/keys/one.pub.pem')) },
    '/remount_agent_ca' => { 'certificate' => 'AGENT CA' },
    '/remount_agent_client' => { 'certificate' => 'CLIENT CERTIFICATE', 'private_key' => 'CLIENT KEY' },
  }.freeze

  INSTANCES = [
    { 'name' => 'postgres', 'id' => '0a1b2c3d-0000-4000-8000-000000000001', 'index' => 0, 'az' => 'z1',
      'address' => '10.0.1.10', 'bootstrap' => true },
    { 'name' => 'postgres', 'id' => '0a1b2c3d-0000-4000-8000-000000000002', 'index' => 1, 'az' => 'z2',
      'address' => '10.0.1.11', 'bootstrap' => false },
  ].freeze

  # Of each cloud the sources of credentials, and the properties that each of them needs, as the template has them.
  def self.credentials
    table = Release.template_text(Release.job('remount'), 'cloud.json.erb')[/^clouds = (\{.*?^\})/m, 1]
    eval(table).reject { |type, _| type == 'local' }.transform_values { |row| row[1] }
  end

  def self.manifest(file) = interpolate(Release.yaml('manifests', file))

  # `((name))` and `((name.part))`, alone (then any type) or inside of text.
  def self.interpolate(value, variables = VARIABLES)
    case value
    when Hash then value.transform_values { |inner| interpolate(inner, variables) }
    when Array then value.map { |inner| interpolate(inner, variables) }
    when /\A\(\(([^()]+)\)\)\z/ then variable(Regexp.last_match(1), variables)
    when String then value.gsub(/\(\(([^()]+)\)\)/) { variable(Regexp.last_match(1), variables).to_s }
    else value
    end
  end

  def self.variable(path, variables)
    name, *parts = path.split('.')
    parts.reduce(variables.fetch(name)) { |at, part| at.fetch(part) }
  end

  # Properties that the manifest gives a job.
  def self.properties(file, job)
    document = manifest(file)
    parts = document.fetch('instance_groups') + document.fetch('addons', [])
    jobs = parts.flat_map { |part| part.fetch('jobs') }
    jobs.find { |found| found['name'] == job }.fetch('properties', {})
  end

  def self.spec(deployment, instance)
    instance.merge(
      'deployment' => deployment, 'ip' => instance['address'],
      'networks' => { 'default' => { 'ip' => instance['address'] } },
    )
  end

  # The link `postgres` as the Director makes it of the provider's properties.
  def self.postgres_link(instances = INSTANCES, port: 5432)
    { 'postgres' => { 'instances' => instances,
                      'properties' => { 'port' => port, 'bin_directory' => '/var/vcap/packages/postgres-15/bin' } } }
  end

  # Renders one job and returns destination => content; raises Renderer::Failed.
  def self.render(job, properties, spec:, consumes: {})
    request = { 'jobs' => [{ 'name' => job, 'dir' => Release.path('jobs', job),
                             'properties' => properties, 'consumes' => consumes }], 'spec' => spec }
    Renderer.render(request)['jobs'].first['files'].transform_values { |file| file['content'] }
  end

  # A job of manifests/postgres.yml on one of its instances; the block may change its properties.
  def self.database(job, instance = INSTANCES.first, consumes: postgres_link)
    properties = Marshal.load(Marshal.dump(self.properties('postgres.yml', job)))
    yield properties if block_given?
    render(job, properties, spec: spec('pg-0001', instance), consumes: consumes)
  end

  # A job of manifests/remount.yml; the block may change its properties.
  def self.control_plane(job)
    properties = Marshal.load(Marshal.dump(self.properties('remount.yml', job)))
    yield properties if block_given?
    control(job, properties)
  end

  # A job of the control plane.
  def self.control(job, properties, consumes: {})
    instance = { 'name' => 'remount', 'id' => '0a1b2c3d-0000-4000-8000-00000000000f', 'index' => 0, 'az' => 'z1',
                 'address' => '10.0.0.20', 'bootstrap' => true }
    render(job, properties, spec: spec('remount', instance), consumes: consumes)
  end
end
