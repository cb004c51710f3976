# frozen_string_literal: true

require 'digest'
require 'fileutils'
require 'yaml'

require_relative 'fingerprint'

# A package as `bosh create-release` reads and fingerprints it. RSpec asks it, and so does ci/compile-packages:
#
#   ruby spec/support/package.rb order [NAME…]      the packages (all of them), each after those it depends on
#   ruby spec/support/package.rb fingerprint NAME   what the CLI names it by
#   ruby spec/support/package.rb key NAME           the same, with everything that it is compiled against
#   ruby spec/support/package.rb stage NAME FOLDER  its files, as a compile VM unpacks them
#
# # Source
# bosh-cli, release/pkg/dir_reader.go, release/resource/archive.go
class Package
  Invalid = Class.new(StandardError)
  ROOT = File.expand_path('../..', __dir__)

  attr_reader :name

  def self.all(root = ROOT) = Dir.children(File.join(root, 'packages')).sort.map { |name| new(name, root) }

  # Each after those it depends on.
  def self.order(names, root = ROOT)
    names.flat_map { |name| new(name, root).then { |package| order(package.dependencies, root) << name } }.uniq
  end

  def initialize(name, root = ROOT)
    @name = name
    @root = root
    spec = File.join(folder, 'spec')
    raise Invalid, "there is no package `#{name}`: #{spec} is missing" unless File.file?(spec)

    @spec = YAML.safe_load_file(spec)
  end

  def folder = File.join(@root, 'packages', @name)
  def dependencies = @spec.fetch('dependencies', [])
  def patterns = @spec.fetch('files', [])

  # Where the package has it => where the repository has it. What src/ has goes before what blobs/ has.
  def files
    found = patterns.reduce({}) { |all, pattern| matching(pattern).merge(all) }
    @spec.fetch('excluded_files', []).each { |pattern| glob(pattern).each_key { |file| found.delete(file) } }
    found.merge('packaging' => File.join(folder, 'packaging')).sort.to_h
  end

  def fingerprint = Fingerprint.of(files, chunks: dependencies, without_mode: ['packaging'])

  # A compiled package fits while neither its files nor those of its dependencies change.
  def key
    keys = dependencies.sort.map { |dependency| Package.new(dependency, @root).key }
    keys.empty? ? fingerprint : Digest::SHA256.hexdigest([fingerprint, *keys].join("\n"))
  end

  def stage(target)
    files.each do |file, path|
      copy = File.join(target, file)
      FileUtils.mkdir_p(File.dirname(copy))
      FileUtils.copy_entry(path, copy)
      File.chmod(File.executable?(path) ? 0o755 : 0o644, copy) unless File.symlink?(path)
    end
  end

  private

  def matching(pattern)
    found = glob(pattern)
    raise Invalid, "package `#{@name}`: no file matches #{pattern}, neither in src/ nor in blobs/" if found.empty?

    found
  end

  # A file whose name begins with a dot is one, as for the CLI; `.` and `..`, which Ruby then adds, are not.
  def glob(pattern)
    %w[blobs src].reduce({}) do |all, root|
      base = File.join(@root, root)
      names = Dir.glob(pattern, File::FNM_DOTMATCH, base: base).reject { |file| file.split('/').intersect?(%w[. ..]) }
      matches = names.to_h { |file| [file, File.join(base, file)] }
      all.merge(matches.reject { |_, path| File.lstat(path).directory? })
    end
  end
end

if $PROGRAM_NAME == __FILE__
  begin
    case ARGV
    in ['order', *names] then puts Package.order(names.empty? ? Package.all.map(&:name) : names)
    in ['fingerprint', name] then puts Package.new(name).fingerprint
    in ['key', name] then puts Package.new(name).key
    in ['stage', name, target] then Package.new(name).stage(target)
    end
  rescue NoMatchingPatternError
    abort 'usage: package.rb order [NAME…] | fingerprint NAME | key NAME | stage NAME FOLDER'
  rescue Package::Invalid => e
    abort "error: #{e.message}"
  end
end
