# frozen_string_literal: true

require 'yaml'

require_relative 'fingerprint'

# A job as `bosh create-release` packs and fingerprints it.
#
# # Source
# bosh-cli, release/job/dir_reader.go: links are followed, for the job's folder and for each template.
class JobArchive
  ROOT = File.expand_path('../..', __dir__)

  attr_reader :name

  def initialize(name, root = ROOT)
    @name = name
    @folder = File.join(root, 'jobs', name)
    @spec = YAML.safe_load_file(File.join(@folder, 'spec'))
  end

  def packages = @spec.fetch('packages', [])

  # Where the archive has it => where the repository has it.
  def files
    named = %w[monit properties_schema.json] + @spec.fetch('templates', {}).keys.map { |file| "templates/#{file}" }
    named.to_h { |file| [file, File.join(@folder, file)] }.select { |_, path| File.exist?(path) }
         .merge('job.MF' => File.join(@folder, 'spec'))
  end

  def fingerprint = Fingerprint.of(files, follow_links: true)
end
