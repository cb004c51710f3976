# frozen_string_literal: true

# The pages for people, and what they name: links, headings, files, commands, phrases of messages.
class Page
  FENCE = /^```.*?^```$/m

  attr_reader :path, :text

  def self.all
    Dir.glob(['*.md', '{docs,ci,errands,src,manifests,jobs}/**/*.md'], base: Release::ROOT).sort
       .map { |path| new(path, File.read(Release.path(path))) }
  end

  def initialize(path, text)
    @path = path
    @text = text
  end

  def headings = text.gsub(FENCE, '').scan(/^#+ (.+)$/).flatten

  # As GitHub makes them.
  def anchors = headings.map { |heading| heading.downcase.gsub(/[^\p{Alnum}\p{Mn} _-]/, '').tr(' ', '-') }

  # [target, anchor] of every link within the repository.
  def links
    text.gsub(FENCE, '').scan(/\]\(([^()\s]+)\)/).flatten.grep_v(%r{\A\w+://}).map { |link| link.split('#', 2) }
  end

  # What stands in backticks, and each line of a fenced or indented block.
  def code
    fenced = text.scan(FENCE).flat_map { |block| block.lines[1..-2].map(&:strip) }
    indented = text.scan(/^ {4}(\S.*)$/).flatten
    text.gsub(FENCE, '').scan(/`([^`\n]+)`/).flatten + fenced + indented
  end

  # The messages that the page explains: the headings and first cells that quote one.
  def phrases
    cells = text.gsub(FENCE, '').split(/\n\n/).select { |block| block.start_with?('| what it says') }
                .flat_map { |table| table.lines[2..].map { |row| row.split('|')[1] } }
    quoted = headings.select { |heading| heading.include?('`') }
    (cells + quoted).flat_map { |place| place.scan(/`([^`]+)`/).flatten }
  end
end
