# frozen_string_literal: true

# What can be typed: the commands of our programs, read from their `clap` definitions, and those of the real CLI
# that our pages and messages use.
module Commands
  # As `bosh --help` lists them (7.10); a command that is missing here is new in our pages: look it up, then add it.
  BOSH = %w[alias-env attach-disk cancel-task cancel-tasks clean-up config configs create-release delete-deployment
            delete-disk deploy deployments disks env environment errands events finalize-release inspect-local-release inspect-release
            instances int interpolate locks log-in logs manifest orphan-disk recreate releases restart run-errand scp
            ssh start stemcells stop task tasks unignore update-config update-cloud-config update-runtime-config
            upload-release upload-stemcell variables vendor-package vms].freeze

  def self.kebab(name) = name.gsub(/([a-z])([A-Z])/, '\1-\2').downcase.tr('_', '-')

  # The variants of an enum, as words; `file` may be a pattern.
  def self.variants(file, enum)
    body = Dir.glob(Release.path(file)).sort.map { |path| File.read(path) }.join("\n")[/enum #{enum} \{(.*?)^\}/m, 1].gsub(%r{//.*$}, '').gsub(/#\[.*?\]\n/m, '')
    body.scan(/^    ([A-Z]\w*)/).flatten.map { |name| kebab(name) }
  end

  # Every flag of a program's definitions.
  def self.flags(glob)
    text = Dir.glob(Release.path(glob)).map { |file| File.read(file) }.join
    text.scan(/#\[arg\([^\]]*?\blong\b[^\]]*\)\]\s*(?:pub )?(\w+):/m).flatten.map { |name| "--#{kebab(name)}" } +
      text.scan(/long = "([\w-]+)"/).flatten.map { |name| "--#{name}" } + %w[--help --version]
  end

  ARGUMENTS = 'src/cli/src/arguments/*.rs'

  # What is wrong with a line; nothing where it is no command of ours, or a right one. What follows `#`, or a gap,
  # is said about it.
  def self.fault(line)
    words = line.sub(%r{\A(sudo )?(/var/vcap/jobs/remount/bin/)?(?=remount )}, '').sub(/#.*|\s{2,}.*/, '').split
    case words.first
    when 'remount' then remount(words.drop(1))
    when 'remount-lab' then lab(words.drop(1))
    when 'bosh' then bosh(words.drop(1))
    end
  end

  def self.remount(words)
    words = words.drop(2) if words.first == '--config'
    return if words.empty? || words.first.match?(/\A[^a-z]/)
    return "`remount #{words.first}` is no command" unless variants(ARGUMENTS, 'Command').include?(words.first)

    inner = { 'restore' => 'RestoreCommand', 'disks' => 'DisksCommand', 'errand' => 'Errand' }[words.first]
    second = words[1]
    if inner && second&.match?(/\A[a-z][a-z-]*\z/) && !variants(ARGUMENTS, inner).include?(second)
      return "`remount #{words.first} #{second}` is no command"
    end

    unknown_flag(words, flags('src/cli/src/**/*.rs'), 'remount')
  end

  def self.lab(words)
    command = words.first
    known = variants('src/lab/src/commands/mod.rs', 'Command')
    return if command.nil? || command.start_with?('-')

    "`remount-lab #{command}` is no command" unless known.include?(command)
  end

  def self.bosh(words)
    words = words.drop(words.first.start_with?('-n') ? 1 : 2) while words.first&.match?(/\A-[ned]\z/)
    command = words.first
    "`bosh #{command}`: not a command that we know" if command && !BOSH.include?(command)
  end

  def self.unknown_flag(words, known, program)
    # What follows `--` is another program's.
    given = words.take_while { |word| word != '--' }.grep(/\A--[a-z]/).map { |word| word[/\A--[a-z-]+/] }
    unknown = given - known
    "`#{program}` has no `#{unknown.first}`" unless unknown.empty?
  end
end
