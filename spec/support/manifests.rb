# frozen_string_literal: true

require_relative 'ops_file'

# manifests/ and manifests/ops/: what applies to what, and values for everything that an operator gives.
module Manifests
  DEPLOYMENTS = %w[remount.yml postgres.yml].freeze

  # What operators give for a cloud: `cloud.aws.region` is the variable `aws_region`; its value is the example.
  def self.cloud_values
    Release.job('remount').properties.filter_map do |name, definition|
      cloud, property = name[/\Acloud\.([a-z]+\..*)/, 1]&.split('.', 2)
      ["#{cloud}_#{property}", definition.fetch('example', "the #{property}")] if property
    end.to_h
  end

  # What operators give beyond Landscape::VARIABLES, by the names that the ops files document.
  VALUES = {
    's3_bucket' => 'backups', 's3_prefix' => 'eu', 's3_region' => 'eu-central-1', 's3_endpoint' => 'https://s3.example.com', 's3_ca' => 'S3 CA',
    's3_control_plane_access_key_id' => 'AKIA', 's3_control_plane_secret_access_key' => 's3-secret',
    's3_agent_access_key_id' => 'AKIA', 's3_agent_secret_access_key' => 's3-secret',
    'file_share' => '/mnt/backups',
    'director_url' => 'https://10.0.0.6:25555', 'director_ca' => 'DIRECTOR CA', 'director_client_id' => 'remount',
    'director_client_secret' => 'uaa-secret', 'director_username' => 'remount', 'director_password' => 'director-secret',
    'restore_deployment' => 'pg-0001', 'restore_target' => { 'backup' => '20261123T004500Z-k3f9' }, 'restore_time' => '2026-11-23T10:15:00Z',
    'keep_old_disks_hours' => 132, 'director_orphan_days' => 6,
    'control_plane_azs' => ['z3'], 'control_plane_network' => 'management', 'control_plane_vm_type' => 'small',
    'postgres_azs' => %w[z1 z2 z3], 'postgres_network' => 'database', 'postgres_vm_type' => 'large', 'postgres_instances' => 3,
    'persistent_disk_type' => 'ssd', 'client_cidrs' => ['10.1.0.0/16'],
    'scheduler_database_host' => 'db.example.com', 'scheduler_database_password' => 'db-secret', 'scheduler_database_ca' => 'DB CA',
    'schedulers' => 3,
    'remount_version' => '1.2.3', 'postgres_port' => 5524, 'postgres_bin_directory' => '/var/vcap/packages/postgres-15/bin',
    'postgres_data_directory' => '/var/vcap/store/postgres/postgres-15.18'
  }.merge(cloud_values).freeze

  # Values for what the Director's config server makes of `variables:`.
  MADE = { 'postgres_server' => { 'certificate' => 'SERVER CERTIFICATE', 'private_key' => 'SERVER KEY' },
           'remount_agent_addon' => { 'certificate' => 'AGENT CERTIFICATE', 'private_key' => 'AGENT KEY' } }.freeze

  # Files that say the same in different ways: a deployment takes one of each line at most.
  CLOUDS = Dir.glob('clouds/*/use-*.yml', base: Release.path('manifests')).sort.freeze
  STORES = %w[ops/use-s3.yml ops/use-s3-instance-profile.yml ops/use-s3-compatible.yml ops/use-file-share.yml].freeze
  DIRECTORS = %w[ops/use-uaa.yml ops/use-director-user.yml].freeze
  REQUESTS = %w[ops/restore-request.yml ops/restore-to-time.yml].freeze
  ARCHIVES = %w[ops/archive-to-s3.yml ops/archive-to-s3-instance-profile.yml ops/archive-to-s3-compatible.yml
                ops/archive-to-file-share.yml].freeze
  ALTERNATIVES = [CLOUDS, STORES, DIRECTORS, REQUESTS, ARCHIVES].freeze

  # Each needs another one before it.
  AFTER = { 'ops/scale-schedulers.yml' => ['ops/use-external-database.yml'] }.freeze

  # Below manifests/, as the lists above.
  def self.ops = (Dir.glob('ops/*.yml', base: Release.path('manifests')) + CLOUDS).sort

  # The comment at the head of a manifest or ops file, as one line.
  def self.head(*parts)
    File.readlines(Release.path('manifests', *parts)).take_while { |line| line.start_with?('---', '#') }
        .map { |line| line.delete_prefix('---').delete_prefix('#').strip }.join(' ').strip
  end

  # The manifest that an ops file is for, by its own first words.
  def self.base(ops) = head(ops)[%r{\AFor manifests/(\S+\.yml)[:,]}, 1]

  def self.ops_for(base) = ops.select { |file| base(file) == base }

  # The document with these ops files applied, and those that they need before them.
  def self.with(base, *files)
    files.flat_map { |file| AFTER.fetch(file, []) + [file] }.uniq
         .reduce(Release.yaml('manifests', base)) { |document, file| OpsFile.apply(document, Release.yaml('manifests', file)) }
  end

  # Combinations of ops files that an operator may want: every cloud with every store, the Directors and
  # requests in turn, each with none and with all of the others.
  def self.combinations(base)
    of = ops_for(base)
    crossed, turns = ALTERNATIVES.map { |files| [nil] + (files & of) }.partition { |files| files.intersect?(CLOUDS + STORES + ARCHIVES) }
    others = of - ALTERNATIVES.flatten
    crossed.reduce([[]]) { |picks, files| picks.product(files).map(&:flatten) }.each_with_index.flat_map do |pick, n|
      whole = (pick + turns.map { |files| files[n % files.length] }).compact
      [whole, whole + others]
    end
  end

  # With every variable filled in, as by `-l` and the config server.
  def self.interpolated(document) = Landscape.interpolate(document, Landscape::VARIABLES.merge(VALUES).merge(MADE))

  # Names of all `((variables))` of a value, without the parts behind a dot.
  def self.references(value)
    YAML.dump(value).scan(/\(\(([^()]+)\)\)/).flatten.map { |path| path.split('.').first }.uniq
  end

  # Dotted paths of all leaves; a list is a leaf.
  def self.leaves(value, path = [])
    return [path.join('.')] unless value.is_a?(Hash) && !value.empty?

    value.flat_map { |key, inner| leaves(inner, path + [key]) }
  end

  # The jobs of this release that a deployment with this manifest has; an addon's are in each of its groups.
  def self.ours(manifest)
    (manifest['instance_groups'] + manifest.fetch('addons', [])).flat_map { |part| part['jobs'] }.select { |job| job['release'] == 'remount' }
  end

  # Of properties with their variables filled in: those that the job's spec does not have.
  def self.unknown_properties(job)
    given = job.fetch('properties', {})
    return [] if given.empty?

    known = Release.job(job['name']).properties.keys
    leaves(given).reject { |leaf| known.any? { |name| leaf == name || leaf.start_with?("#{name}.") } }
  end

  # Renders every job of ours on every instance's place, as a deploy does.
  def self.render(manifest)
    instance = Landscape::INSTANCES.first
    jobs = ours(manifest).map do |job|
      links = Release.job(job['name']).consumed_links.key?('postgres') ? Landscape.postgres_link : {}
      { 'name' => job['name'], 'dir' => Release.path('jobs', job['name']), 'properties' => job.fetch('properties', {}), 'consumes' => links }
    end
    answer = Renderer.render('jobs' => jobs, 'spec' => Landscape.spec(manifest['name'], instance))
    answer['jobs'].to_h { |job| [job['name'], job['files'].transform_values { |file| file['content'] }] }
  end
end
