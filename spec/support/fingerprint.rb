# frozen_string_literal: true

require 'digest'

# By what `bosh create-release` knows a package or a job again.
#
# # Source
# bosh-cli, release/resource/fingerprint.go
module Fingerprint
  # Of the files (path in the archive => path in the repository), in the order of their names. Names in `without_mode`
  # count by their content alone. A link counts as a link, or, where links are followed, as what it leads to.
  def self.of(files, chunks: [], without_mode: [], follow_links: false)
    parts = files.sort.map do |file, path|
      link = File.symlink?(path) && !follow_links
      file + digest(path, link) + (without_mode.include?(file) ? '' : mode(path, link))
    end
    parts << chunks.sort.join(',') unless chunks.empty?
    Digest::SHA256.hexdigest(['v2', *parts].join)
  end

  def self.digest(path, link)
    "sha256:#{link ? Digest::SHA256.hexdigest(File.readlink(path)) : Digest::SHA256.file(path).hexdigest}"
  end
  private_class_method :digest

  # A link that is followed has the mode of the link: it is executable.
  def self.mode(path, link)
    return 'symlink' if link

    (File.lstat(path).mode & 0o111).zero? ? '100644' : '100755'
  end
  private_class_method :mode
end
