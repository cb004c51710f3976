# frozen_string_literal: true

require_relative 'support/postgres_server'

RSpec.describe 'jobs/postgres' do
  primary, standby = Landscape::INSTANCES

  def conf(...) = Landscape.database('postgres', ...)['config/postgresql.conf']

  # The setting as PostgreSQL reads it, not as we wrote it.
  def setting(name, ...) = PostgresServer.setting(name, conf(...))

  def problems
    yield
    []
  rescue Renderer::Failed => e
    e.sentences
  end

  it 'renders the primary as it always did' do
    expect(Landscape.database('postgres', primary)).to match_golden('postgres-primary')
  end

  it 'renders a standby as it always did' do
    expect(Landscape.database('postgres', standby)).to match_golden('postgres-standby')
  end

  it 'renders a cluster of one instance without any link' do
    files = Landscape.database('postgres', primary, consumes: {})
    expect(JSON.parse(files['config/postgres.json'])).not_to have_key('primary_address')
  end

  describe 'postgresql.conf' do
    it 'archives through remount-wal, with the configuration of the agent' do
      expect(setting('archive_mode')).to eq('on')
      expect(setting('archive_command'))
        .to eq('/var/vcap/packages/remount-agent/bin/remount-wal push --config /var/vcap/jobs/remount-agent/config/agent.json %p')
      expect(setting('restore_command'))
        .to eq('/var/vcap/packages/remount-agent/bin/remount-wal fetch --config /var/vcap/jobs/remount-agent/config/agent.json %f %p')
    end

    it 'listens at the address of the instance alone' do
      expect(setting('listen_addresses', standby)).to eq('10.0.1.11')
    end

    it 'takes the properties' do
      expect(setting('archive_timeout') { |properties| properties['archive_timeout_seconds'] = 300 }).to eq('300')
      expect(setting('max_connections') { |properties| properties['max_connections'] = 7 }).to eq('7')
      expect(setting('synchronous_standby_names') { |properties| properties['synchronous_standby_names'] = 'ANY 1 ("a-b")' })
        .to eq('ANY 1 ("a-b")')
    end

    it 'takes further settings, with quotes and backslashes in them' do
      value = %q(it's a \ path)
      expect(setting('log_line_prefix') { |properties| properties['settings'] = { 'log_line_prefix' => value } }).to eq(value)
    end

    it 'lets a further setting replace a default of ours that nothing rests on' do
      expect(setting('timezone') { |properties| properties['settings'] = { 'TimeZone' => 'Europe/Berlin' } }).to eq('Europe/Berlin')
    end

    it 'refuses further settings that restores rest on, all in one sentence' do
      sentences = problems do
        conf { |properties| properties['settings'] = { 'archive_mode' => 'off', 'Recovery_Target_Time' => 'now', 'work_mem' => '1MB' } }
      end
      expect(sentences.first).to end_with('may not hold `recovery_target_time`, `archive_mode`: Remount sets it')
    end

    it 'refuses further settings that would become other lines' do
      expect(problems { conf { |properties| properties['settings'] = { 'work_mem' => "1MB'\nfsync = 'off" } } }.first)
        .to end_with('the setting `work_mem` has a line break in it')
      expect(problems { conf { |properties| properties['settings'] = { "a\nfsync" => 'off' } } }.first)
        .to end_with('not the name of a setting')
    end

    it 'leaves it to the start whom to follow: that a swapped disk cannot know' do
      expect(conf(standby)).not_to match(/^primary_conninfo/)
    end

    it 'names no password' do
      expect(conf).not_to include('secret')
    end

    it 'refuses settings that hold no single value, or read another file' do
      refused = ->(settings) { problems { conf { |properties| properties['settings'] = settings } }.first }
      expect(refused.call('work_mem' => %w[a b], 'x' => nil)).to end_with('holds no single value for `work_mem`, `x`')
      expect(refused.call('include' => '/tmp/x.conf')).to end_with('may not hold `include`: Remount sets it')
    end

    it 'refuses half of a certificate: the server would talk in the clear' do
      [{ 'certificate' => 'C' }, { 'private_key' => 'K' }].each do |half|
        expect(problems { conf { |properties| properties['tls'] = half } })
          .to include(end_with('`tls.certificate` and `tls.private_key` go together: one of them is missing'))
      end
    end

    it 'encrypts where it has a certificate' do
      expect(setting('ssl')).to eq('off')
      tls = { 'certificate' => 'C', 'private_key' => 'K' }
      expect(setting('ssl') { |properties| properties['tls'] = tls }).to eq('on')
    end
  end

  describe 'pg_hba.conf' do
    def rules(&block)
      files = Landscape.database('postgres', Landscape::INSTANCES.first, &block)
      statement = "select string_agg(concat_ws(' ', type, database[1], user_name[1], address, netmask, auth_method, error), '; ' " \
                  'order by line_number) as rules from pg_hba_file_rules'
      PostgresServer.query(statement, hba: files['config/pg_hba.conf'], ident: files['config/pg_ident.conf'])[/rules = "([^"]*)"/, 1]
                    .split('; ')
    end

    it 'lets in the agent locally, the instances for replication, the clients with a password' do
      expect(rules).to eq(
        [
          'local all vcap peer',
          'local all all scram-sha-256',
          'host all vcap all reject',
          'host replication replication 10.0.1.10 255.255.255.255 scram-sha-256',
          'host replication replication 10.0.1.11 255.255.255.255 scram-sha-256',
          'host replication replication 127.0.0.0 255.0.0.0 scram-sha-256',
          'host all all 127.0.0.0 255.0.0.0 scram-sha-256',
          'host all all 10.0.0.0 255.0.0.0 scram-sha-256',
        ],
      )
    end

    it 'lets in from the network only who encrypts, where there is a certificate' do
      remote = rules { |properties| properties['tls'] = { 'certificate' => 'C', 'private_key' => 'K' } }.grep(/ 10\./)
      expect(remote.length).to eq(3)
      expect(remote).to all(start_with('hostssl '))
    end

    it 'refuses networks that are none' do
      ["10.0.0.0/8\nhost all all 0.0.0.0/0 trust", 'everywhere'].each do |cidr|
        expect(problems { Landscape.database('postgres', primary) { |properties| properties['client_cidrs'] = [cidr] } })
          .to include(include('the property `client_cidrs` holds', 'not a network'))
      end
    end

    it 'takes IPv6, and no names: PostgreSQL would look them up backwards' do
      hba = ->(address) { Landscape.database('postgres', primary, consumes: Landscape.postgres_link([primary, standby.merge('address' => address)])) }
      expect(hba.call('fd00::1')['config/pg_hba.conf']).to include('fd00::1/128')
      expect(problems { hba.call('q.postgres.default.pg.bosh') })
        .to include(include('gives names (`q.postgres.default.pg.bosh`)', 'ip_addresses: true'))
    end
  end

  primary_and_standby = { primary: primary, standby: standby }
  primary_and_standby.each do |role, instance|
    it "tells the #{role} whom to follow" do
      config = JSON.parse(Landscape.database('postgres', instance)['config/postgres.json'])
      expect(config.values_at('bootstrap', 'primary_address')).to eq(role == :primary ? [true, nil] : [false, '10.0.1.10'])
    end
  end

  it 'shows bpm the agent\'s files, the socket and a file share, and nothing else' do
    bpm = JSON.parse(Landscape.database('postgres') { |properties| properties['volumes'] = ['/mnt/backups'] }['config/bpm.yml'])
    process = bpm['processes'].first
    expect(process['additional_volumes'].map { |volume| volume['path'] }).to all(start_with('/var/vcap/'))
    expect(process['unsafe']).to eq('unrestricted_volumes' => [{ 'path' => '/mnt/backups', 'writable' => true, 'mount_only' => true }])
    expect(process['shutdown_signal']).to eq('INT')
  end

  it 'refuses roles of our own, an owner that nobody is, and a PostgreSQL that is not there' do
    refused = ->(wrong) { problems { Landscape.database('postgres', primary) { |properties| properties.merge!(wrong) } }.first }
    expect(refused.call('roles' => [{ 'name' => 'vcap' }], 'databases' => [])).to end_with("`roles` holds `vcap`: Remount's own")
    expect(refused.call('databases' => [{ 'name' => 'd', 'owner' => 'x' }]))
      .to end_with('names the owner `x`, who is not among `roles`')
    expect(refused.call('bin_directory' => '/var/vcap/packages/postgres-99/bin'))
      .to end_with('is in the package `postgres-99`, but this job has only `postgres-15` and `postgres-17`')
  end

  it 'says which property is missing' do
    expect(problems { Landscape.database('postgres') { |properties| properties.delete('replication') } })
      .to include("job postgres: config/postgres.json: line 29: Can't find property '[\"replication.password\"]'")
  end
end
