# frozen_string_literal: true

# Ops files as `bosh deploy -o` applies them: `replace` alone, with `name=value`, `-` and `?` in paths.
module OpsFile
  def self.apply(document, ops)
    ops.each do |op|
      raise "unknown type #{op['type']}" unless op['type'] == 'replace'

      *parents, last = op.fetch('path').delete_prefix('/').split('/')
      at = parents.reduce(document) { |inner, token| step(inner, token) }
      put(at, last, op.fetch('value'))
    end
    document
  end

  def self.step(at, token)
    key, value = token.split('=')
    found = value ? at.find { |item| item[key] == value } : at[key]
    found or raise "no `#{token}` to step into"
  end
  private_class_method :step

  def self.put(at, token, value)
    return at << value if token == '-'

    key = token.delete_suffix('?')
    raise "no `#{key}` to replace" unless token.end_with?('?') || at.key?(key)

    at[key] = value
  end
  private_class_method :put
end
