# frozen_string_literal: true

# What the programs say when they fail, read from the sources: the texts of the error enums, with `…` where a
# value stands, and all other literals.
module Errors
  # An operator meets the errors of every crate but these.
  ELSEWHERE = %w[lab xtask workspace vendor].freeze
  ATTRIBUTE = /#\[error\(\s*"((?:[^"\\]|\\.)*)"/m
  # After the attribute of an error that is no enum: its type.
  STRUCT = /\A[^#"{}]{0,20}\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([^)]*\))? )?struct (\w+)/m
  FAILURE = /\bFailure::(?:(?:because|summary|with)\(\s*[\w.:]+(?:\([\w.:]*\))?,|(?:missing|unchanged|usage)\()\s*(?:format!\(\s*)?"((?:[^"\\]|\\.)*)"/m
  # What a flow was doing, which stands after `error:`.
  ACTION = /\bFlowError::(?:cloud|director|server|store)\(\s*(?:&?format!\(\s*)?"((?:[^"\\]|\\.)*)"/m
  LITERAL = /"((?:[^"\\]|\\.)*)"/m

  # The code without its tests and comments, by path.
  def self.sources
    crates = Dir.children(Release.path('src')) - ELSEWHERE
    files = crates.flat_map { |crate| Dir.glob(Release.path('src', crate, 'src', '**', '*.rs')) }.sort
    files.to_h { |file| [file.delete_prefix("#{Release::ROOT}/"), code(File.read(file))] }
  end

  def self.code(source) = source.split(/^#\[cfg\(test\)\]\nmod \w+ \{/).first.gsub(%r{^\s*//.*$}, '').gsub("'\"'", "' '")

  # The texts of every error type that tells an operator what to do (`fn next_step`): what may stand after
  # `error:`. Other errors are only ever a `cause:`. A text that is all values (`{0}`) is its source's.
  def self.texts(sources = self.sources)
    sources.flat_map do |path, source|
      source.to_enum(:scan, ATTRIBUTE).filter_map do
        found = Regexp.last_match
        type = found.post_match[STRUCT, 1] || found.pre_match[/.*\benum (\w+)/m, 1]
        text = plain(found[1])
        "#{path}: #{text}" if source.include?('fn next_step') && source.match?(/^\s*impl (OperatorError for )?#{type} \{/) && words(text) > 1
      end
    end
  end

  # What the command line says by itself, in the place of an error enum.
  def self.failures(sources = self.sources) = found(FAILURE, sources)

  # What was being done when something else failed.
  def self.actions(sources = self.sources) = found(ACTION, sources)

  def self.found(kind, sources)
    sources.flat_map do |path, source|
      source.scan(kind).flatten.map { |text| "#{path}: #{plain(text)}" }
    end
  end

  # Every literal of the sources, as [path, text].
  def self.literals(sources = self.sources)
    sources.flat_map { |path, source| source.scan(LITERAL).flatten.map { |literal| [path, plain(literal)] } }
  end

  # As an operator reads it: `…` for values, one line, without the quotes around names.
  def self.plain(format)
    format.gsub(/\\\n\s*/, '').gsub('\"', '"').gsub('\n', ' ').gsub(/\{[^{}]*\}/, '…').delete('`')
  end

  # Whether a phrase of a page is in a text: its parts between the `…`, in order.
  def self.says?(text, phrase)
    parts = phrase.delete('`').split('…').map(&:strip).reject(&:empty?)
    parts.any? && text.match?(Regexp.new(parts.map { |part| Regexp.escape(part) }.join('.*'), Regexp::MULTILINE))
  end

  def self.words(text) = text.scan(/[[:alpha:]]+/).length
end
