# frozen_string_literal: true

# What `bosh create-release` demands beside the jobs.
RSpec.describe 'the release' do
  it 'has a name' do
    expect(Release.yaml('config', 'final.yml')['name']).to eq('remount')
  end

  it 'has a licence, which the CLI packs' do
    expect(File.read(Release.path('LICENSE'))).to include('Apache License')
  end

  it 'keeps private.yml out of git' do
    expect(File.readlines(Release.path('.gitignore'), chomp: true)).to include('/config/private.yml')
  end
end
