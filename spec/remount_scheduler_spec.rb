# frozen_string_literal: true

RSpec.describe 'jobs/remount-scheduler' do
  external = { 'database' => { 'host' => 'catalog.example.com', 'password' => 'catalog-secret', 'ca' => 'CATALOG CA' } }

  def rendered(properties, consumes: {}) = Landscape.control('remount-scheduler', properties, consumes: consumes)

  def config(...) = JSON.parse(rendered(...)['config/scheduler.json'])

  it 'renders as it always did' do
    expect(rendered(external)).to match_golden('remount-scheduler')
  end

  it 'names the file of the job `remount`, and looks for it before it starts' do
    expect(config(external)['remount_file']).to eq('/var/vcap/jobs/remount/config/remount.json')
    expect(rendered(external)['bin/pre-start']).to include('remount-scheduler --check --config /var/vcap/jobs/remount-scheduler/config/scheduler.json')
  end

  it 'finds its database by a link where no host is given' do
    given = config({ 'database' => { 'password' => 'catalog-secret' } },
                   consumes: { 'database' => Landscape.postgres_link(port: 5433)['postgres'] })
    expect(given['database'].values_at('host', 'port')).to eq(['10.0.1.10', 5433])
  end

  it 'takes the host that is given before the one of the link' do
    given = config(external, consumes: { 'database' => Landscape.postgres_link(port: 5433)['postgres'] })
    expect(given['database'].values_at('host', 'port')).to eq(['catalog.example.com', 5432])
  end

  it 'says so where it has neither' do
    expect { rendered({ 'database' => { 'password' => 'x' } }) }
      .to raise_error(Renderer::Failed, /property `database.host` is not set, and the link `database` finds no job/)
  end

  it 'says that the password is missing' do
    expect { rendered({ 'database' => { 'host' => 'catalog' } }) }
      .to raise_error(Renderer::Failed, /Can't find property '\["database.password"\]'/)
  end

  it 'leaves the authority out where there is none' do
    expect(config({ 'database' => { 'host' => 'a', 'password' => 'b' } })['database']).not_to have_key('ca_file')
  end
end
