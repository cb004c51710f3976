# frozen_string_literal: true

require_relative 'support/commands'
require_relative 'support/errors'
require_relative 'support/pages'

# What the pages and the messages tell an operator to read or type has to be there: nobody looks twice at night.
RSpec.describe 'docs' do
  pages = Page.all

  def broken_links(page, pages)
    page.links.reject do |target, anchor|
      file = target.empty? ? page.path : File.expand_path(target, "/#{File.dirname(page.path)}").delete_prefix('/')
      linked = pages.find { |other| other.path == file }
      linked || File.exist?(Release.path(file)) ? anchor.nil? || linked&.anchors&.include?(anchor) : false
    end
  end

  # Files and folders of the repository that a text names, from its top or from the page's own folder.
  def missing_files(page)
    page.code.flat_map { |code| code.scan(%r{(?<![\w/.:$<>~-])[\w.*{},-]+(?:/[\w.*{},-]+)+/?}) }.uniq.select do |path|
      bases = [Release::ROOT, Release.path(File.dirname(page.path))].select { |base| Dir.exist?(File.join(base, path.split('/').first)) }
      bases.any? && bases.none? { |base| Dir.glob(path.chomp('/').gsub('…', '*'), base: base).any? }
    end
  end

  pages.each do |page|
    describe page.path do
      it 'links to pages and sections that exist' do
        expect(broken_links(page, pages)).to eq([])
      end

      # The reference names the files of other projects.
      unless page.path.start_with?('docs/reference/')
        it 'names files that exist' do
          expect(missing_files(page)).to eq([])
        end
      end

      it 'names commands that exist' do
        expect(page.code.filter_map { |line| Commands.fault(line) }).to eq([])
      end
    end
  end

  describe 'messages' do
    # Everything in backticks within a literal, and commands of ours or of bosh wherever they stand.
    def named(kind) = Errors.sources.flat_map { |path, source| source.scan(Errors::LITERAL).flatten.flat_map { |literal| literal.gsub(/\\\n\s*/, '').scan(kind) }.flatten.map { |found| [path, found] } }

    it 'name commands that exist' do
      faults = named(/`((?:remount|bosh) [^`]+)`/).filter_map { |path, line| (fault = Commands.fault(line)) && "#{path}: #{fault}" }
      expect(faults).to eq([])
    end

    it 'name pages and sections that exist' do
      faults = named(%r{((?:docs|errands|manifests)/[\w./-]+\w(?:, section [A-Z][\w ]*\w)?)}).reject do |_, found|
        path, section = found.split(', section ')
        File.exist?(Release.path(path)) && (section.nil? || pages.find { |page| page.path == path }&.headings&.include?(section))
      end
      expect(faults).to eq([])
    end

    it 'name properties that exist' do
      properties = Release.jobs.flat_map { |job| job.properties.keys }
      # The Director's own, and keys of agent.json that the job derives.
      others = %w[director.disks.max_orphaned_age_in_days directories.store postgres.data_directory]
      prefixes = properties.map { |name| name.split('.').first }.uniq
      faults = named(/`([a-z_]+\.[a-z_.]+)`/).reject do |_, name|
        !prefixes.include?(name.split('.').first) || (properties + others).any? { |known| known == name.delete_suffix('_file') || known.start_with?("#{name}.") }
      end
      expect(faults).to eq([])
    end

    it 'never tell to attach a disk without its properties, or to start or stop with a deploy of all the rest' do
      commands = named(/`?(bosh (?:[^`"]*? )?(?:attach-disk|start|stop)\b[^`"]*)/).map(&:last)
      expect(commands).not_to be_empty
      careless = commands.reject { |line| line.include?(line.include?('attach-disk') ? '--disk-properties=copy' : '--no-converge') }
      expect(careless).to eq([])
    end
  end

  describe 'docs/runbook.md' do
    let(:runbook) { pages.find { |page| page.path == 'docs/runbook.md' } }

    it 'has a place for every error that tells an operator what to do' do
      texts = Errors.texts
      expect(texts.length).to be > 60
      expect(texts.reject { |text| runbook.phrases.any? { |phrase| Errors.words(phrase) > 1 && Errors.says?(text, phrase) } }).to eq([])
    end

    it 'has a place for every failure of the command line' do
      texts = Errors.failures
      expect(texts.length).to be > 8
      expect(texts.reject { |text| runbook.phrases.any? { |phrase| Errors.words(phrase) > 1 && Errors.says?(text, phrase) } }).to eq([])
    end

    it 'has a place for everything that was being done when something failed' do
      texts = Errors.actions
      expect(texts.length).to be > 60
      expect(texts.reject { |text| runbook.phrases.any? { |phrase| Errors.words(phrase) > 1 && Errors.says?(text, phrase) } }).to eq([])
    end

    it 'explains no message that nobody says' do
      literals = Errors.literals.map(&:last)
      expect(runbook.phrases.reject { |phrase| Errors.words(phrase) < 2 || literals.any? { |literal| Errors.says?(literal, phrase) } }).to eq([])
    end
  end

  describe 'what is wrong' do
    def page(text) = Page.new('docs/planted.md', text)

    it 'is found: links to no page, to no section' do
      planted = page("# A\n\n[a](#a) [b](#b) [c](gone.md) [d](runbook.md#stuck) [e](runbook.md#unstuck)\n")
      expect(broken_links(planted, pages + [planted])).to eq([['', 'b'], ['gone.md'], ['runbook.md', 'unstuck']])
    end

    it 'is found: files that are not there' do
      planted = page('`docs/gone.md`, `runbook.md`, `manifests/*.yml`, `scripts/gone`, `/etc/hosts`, `bosh -d pg/0 ssh`')
      expect(missing_files(planted)).to eq(%w[docs/gone.md scripts/gone])
    end

    it 'is found: commands and flags that are not there, in text and in blocks' do
      planted = page("`remount dance` `remount list --all-of-it`\n\n```\nbosh -d pg dance\nremount disks burn   # all\n```\n\n    remount-lab dance\n")
      expect(planted.code.filter_map { |line| Commands.fault(line) })
        .to eq(['`remount dance` is no command', '`remount` has no `--all-of-it`', '`bosh dance`: not a command that we know',
                '`remount disks burn` is no command', '`remount-lab dance` is no command'])
    end

    it 'is found: an error of an enum that tells what to do, and only of such' do
      source = <<~'RUST'
        enum Error {
            #[error("the {what} is \
                     gone")]
            Gone,
            #[error("{0}")]
            Other,
        }
        enum Cause {
            #[error("it has no legs")]
            Legs,
        }
        impl OperatorError for Error {
            fn next_step(&self) {}
        }
      RUST
      texts = Errors.texts({ 'src/x.rs' => source })
      expect(texts).to eq(['src/x.rs: the … is gone'])
      expect([Errors.says?(texts.first, '`the … is gone`'), Errors.says?(texts.first, 'the … is lost')]).to eq([true, false])
    end
  end
end
