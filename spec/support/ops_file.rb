# frozen_string_literal: true

# Ops files as `bosh deploy -o` applies them (the CLI's library go-patch): `replace` and `remove`, with keys,
# indexes, `-`, `name=value`, `?`, `:before`, `:after`, `:prev` and `:next` in paths. Ours use no `test`.
module OpsFile
  # An operation does not fit the document; the message names the path up to the part that does not.
  class Misfit < StandardError; end

  Token = Struct.new(:kind, :key, :value, :optional, :modifiers, keyword_init: true)

  MODIFIERS = %w[prev next before after].freeze

  # A new document; neither the old one nor the operations' values are shared with it.
  def self.apply(document, ops)
    ops.reduce(copy(document)) do |done, op|
      path = op['path'] or raise Misfit, "an operation has no path: #{op}"
      one(done, op, tokens(path), path)
    end
  end

  def self.one(document, operation, tokens, path)
    case operation['type']
    when 'replace'
      raise Misfit, "#{path}: a replace operation has no value" if operation['value'].nil?

      replace(document, tokens, path, operation['value'])
    when 'remove'
      raise Misfit, "#{path}: a remove operation has a value" unless operation['value'].nil?

      remove(document, tokens, path)
    else raise Misfit, "#{path}: unknown type `#{operation['type']}`"
    end
  end
  private_class_method :one

  # What a path's parts mean. One `?` makes its own part and all that follow optional.
  def self.tokens(path)
    raise Misfit, "#{path}: a path begins with `/`" unless path.start_with?('/')

    optional = false
    parts = path.delete_prefix('/').split('/', -1)
    parts.each_with_index.map do |part, n|
      part, *modifiers = part.split(':', -1)
      unknown = modifiers - MODIFIERS
      raise Misfit, "#{path}: unknown modifier `#{unknown.first}`" unless unknown.empty?

      optional ||= part.end_with?('?')
      token(part.to_s.gsub('~7', ':').gsub('~1', '/').gsub('~0', '~'), n == parts.length - 1, optional, modifiers, path)
    end
  end
  private_class_method :tokens

  def self.token(part, last, optional, modifiers, path)
    return Token.new(kind: :end) if last && part == '-' && modifiers.empty?
    return Token.new(kind: :index, value: part.to_i, modifiers: modifiers) if part.match?(/\A[+-]?\d+\z/)

    key, value = part.delete_suffix('?').split('=', 2)
    return Token.new(kind: :match, key: key, value: value, optional: optional, modifiers: modifiers) if value
    raise Misfit, "#{path}: a key has no modifiers" unless modifiers.empty?

    Token.new(kind: :key, key: key, optional: optional)
  end
  private_class_method :token

  def self.replace(document, tokens, path, value)
    return copy(value) if tokens.empty?

    at = tokens[0..-2].each_with_index.reduce(document) do |inner, (token, n)|
      step(inner, token, path) { |missing| create(inner, missing, tokens[n + 1], path) }
    end
    put(at, tokens.last, path, copy(value))
    document
  end
  private_class_method :replace

  def self.remove(document, tokens, path)
    at = tokens[0..-2].reduce(document) do |inner, token|
      step(inner, token, path) { return document }
    end
    last = tokens.last
    case last.kind
    when :key
      step(at, last, path) { return document }
      at.delete(last.key)
    when :end then raise Misfit, "#{path}: `-` names nothing to remove"
    else at.delete_at(place(at, last, path) || (return document))
    end
    document
  end
  private_class_method :remove

  # The value a token leads to; yields where it is missing and optional.
  def self.step(at, token, path)
    if token.kind == :key
      raise Misfit, "#{path}: `#{token.key}` is looked for in a #{at.class}, not in a mapping" unless at.is_a?(Hash)
      return at[token.key] if at.key?(token.key)
      raise Misfit, "#{path}: there is no `#{token.key}`; there are #{at.keys.join(', ')}" unless token.optional

      return yield token
    end
    index = place(at, token, path)
    index ? at[index] : yield(token)
  end
  private_class_method :step

  # The index of an existing item; nil where it is missing and optional.
  def self.place(list, token, path, modifiers = token.modifiers)
    raise Misfit, "#{path}: a list is expected, not a #{list.class}" unless list.is_a?(Array)
    raise Misfit, "#{path}: `-` has to be the last part" if token.kind == :end

    index = token.value
    if token.kind == :match
      found = list.each_index.select { |n| list[n].is_a?(Hash) && list[n][token.key] == token.value }
      return nil if found.empty? && token.optional
      raise Misfit, "#{path}: `#{token.key}=#{token.value}` fits #{found.length} items, not one" unless found.length == 1

      index = found.first
    end
    raise Misfit, "#{path}: `before` and `after` say where to insert, and come last" if modifiers.intersect?(%w[before after])

    index += modifiers.count('next') - modifiers.count('prev')
    raise Misfit, "#{path}: there is no item #{index}" unless index.between?(-list.length, list.length - 1)

    index % list.length
  end
  private_class_method :place

  # What is missing on the way is made to suit the part that follows.
  def self.create(at, token, following, path)
    inner = token.kind == :match ? { token.key => token.value } : suited(following, path)
    token.kind == :match ? at << inner : at[token.key] = inner
    inner
  end
  private_class_method :create

  def self.suited(token, path)
    case token.kind
    when :key then {}
    when :end, :match then []
    else raise Misfit, "#{path}: an index needs a list that exists"
    end
  end
  private_class_method :suited

  def self.put(at, token, path, value)
    case token.kind
    when :key
      step(at, token, path) { nil }
      at[token.key] = value
    when :end
      raise Misfit, "#{path}: a list is expected, not a #{at.class}" unless at.is_a?(Array)

      at << value
    else put_in_list(at, token, path, value)
    end
  end
  private_class_method :put

  def self.put_in_list(list, token, path, value)
    where = token.modifiers.last
    beside = %w[before after].include?(where)
    index = place(list, token, path, beside ? token.modifiers[0..-2] : token.modifiers)
    return list << value if index.nil?
    return list.insert(where == 'before' ? index : index + 1, value) if beside

    list[index] = value
  end
  private_class_method :put_in_list

  def self.copy(value) = Marshal.load(Marshal.dump(value))
  private_class_method :copy
end
