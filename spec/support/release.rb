# frozen_string_literal: true

# What the repository holds, as `bosh create-release` sees it.
module Release
  ROOT = File.expand_path('../..', __dir__)

  def self.path(*parts) = File.join(ROOT, *parts)

  def self.jobs
    Dir.children(path('jobs')).sort.map { |name| Renderer::Job.load(path('jobs', name)) }
  end

  def self.job(name) = Renderer::Job.load(path('jobs', name))

  def self.errands = Dir.children(path('errands')).sort

  # Those that drive a cloud: all that have something to do, and so a configuration.
  def self.driving_errands = errands.select { |errand| job(errand).templates.value?('config/errand.json') }

  # The clouds that an operator can choose, apart from the one on this machine.
  def self.clouds = job('remount').properties.keys.filter_map { |name| name[/\Acloud\.([a-z]+)\./, 1] }.uniq - ['local']

  # Files below templates/, as the spec has to name them.
  def self.template_files(job)
    folder = File.join(job.dir, 'templates')
    Dir.glob('**/*', base: folder).select { |file| File.file?(File.join(folder, file)) }
  end

  def self.template_text(job, file) = File.read(File.join(job.dir, 'templates', file))

  def self.yaml(*parts) = YAML.safe_load_file(path(*parts), aliases: true)
end
