# frozen_string_literal: true

require 'fileutils'

# Compares rendered files with spec/golden/<name>/; `UPDATE=1` writes them.
module Golden
  FOLDER = Release.path('spec', 'golden')

  def self.update(name, files)
    FileUtils.rm_rf(File.join(FOLDER, name))
    files.each do |destination, content|
      target = File.join(FOLDER, name, destination)
      FileUtils.mkdir_p(File.dirname(target))
      File.write(target, content)
    end
  end

  def self.read(name)
    folder = File.join(FOLDER, name)
    Dir.glob('**/*', base: folder).select { |file| File.file?(File.join(folder, file)) }
       .to_h { |file| [file, File.read(File.join(folder, file))] }
  end
end

RSpec::Matchers.define :match_golden do |name|
  match do |files|
    Golden.update(name, files) if ENV['UPDATE'] == '1'
    @actual = files
    @expected = Golden.read(name)
    @actual == @expected
  end

  failure_message do
    changed = (@actual.keys | @expected.keys).reject { |file| @actual[file] == @expected[file] }
    changed.map do |file|
      "#{name}/#{file} differs from spec/golden/ (UPDATE=1 rspec writes it anew):\n" \
        "#{RSpec::Support::ObjectFormatter.format(@expected[file])}\n#{@actual[file]}"
    end.join("\n")
  end
end
