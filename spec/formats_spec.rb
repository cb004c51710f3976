# frozen_string_literal: true

# The examples of docs/formats.md have the keys that the templates render: whoever reads the page can write such a file.
RSpec.describe 'docs/formats.md' do
  page = File.read(Release.path('docs/formats.md'))

  # The examples of a section, one JSON value each: a block may have several.
  define_method(:examples) do |number|
    section = page[/^### #{Regexp.escape(number)} .*?(?=^##|\z)/m]
    section.scan(/^```json\n(.*?)^```$/m).flatten.flat_map { |block| block.split(/^(?=\{)/).map { |text| JSON.parse(text) } }
  end

  def golden(*path) = JSON.parse(File.read(Release.path('spec/golden', *path)))

  # Every key, with those above it: `postgres.port`. A list counts by what its elements have.
  def keys(value, above = '')
    case value
    when Hash then value.flat_map { |key, inner| ["#{above}#{key}", *keys(inner, "#{above}#{key}.")] }.uniq
    when Array then value.flat_map { |inner| keys(inner, above) }.uniq
    else []
    end
  end

  # What the page has and the golden files lack is allowed only where it is named: properties that they leave out.
  {
    '4.2' => [[%w[remount-agent config/agent.json]], []],
    '4.3' => [[%w[postgres-primary config/postgres.json], %w[postgres-standby config/postgres.json]], %w[roles.attributes superuser_password]],
    '4.4' => [[%w[remount config/remount.json]], %w[director.username director.password]],
    '4.5' => [[%w[backup config/errand.json], %w[restore config/errand.json], %w[remount-scheduler config/scheduler.json]],
              %w[restore.group restore.target restore.target.target restore.target.target.time restore.target.timeline restore.target.exclusive
                 restore.target.accept_unverified]]
  }.each do |number, (files, optional)|
    it "shows in section #{number} the keys that the templates render, and no others" do
      rendered = files.flat_map { |file| keys(golden(*file)) }.uniq
      shown = examples(number).flat_map { |example| keys(example) }.uniq
      expect(rendered - shown).to eq([]), "the page lacks #{rendered - shown}"
      expect(shown - rendered - optional).to eq([]), "no template renders #{shown - rendered - optional}"
    end
  end

  it 'shows in section 4.1 properties of the store alone' do
    declared = Release.job('remount').properties.keys.grep(/\Astore\./).map { |name| name.delete_prefix('store.') }
    signing = Release.job('remount').properties.keys.grep(/\Asigning\./).map { |name| name.delete_prefix('signing.') }
    expect(examples('4.1').flat_map(&:keys) - declared - ['signing']).to eq([])
    expect(examples('4.1').flat_map { |example| example.fetch('signing').keys } - signing).to eq([])
  end
end
