# frozen_string_literal: true

require 'fileutils'
require 'open3'
require 'tmpdir'

# PostgreSQL itself as the check of the files we render for it. Its programs refuse root, so they run
# as vcap, the user they have on a VM.
class PostgresServer
  BIN = Dir.glob('/usr/lib/postgresql/*/bin').max_by { |folder| folder[/\d+/].to_i }

  # The value PostgreSQL gives a setting after reading this postgresql.conf.
  def self.setting(name, conf)
    in_folder do |folder|
      file = File.join(folder, 'postgresql.conf')
      File.write(file, conf)
      run('postgres', '-C', name, '-D', folder, '-c', "config_file=#{file}").chomp
    end
  end

  # Runs one statement on a new cluster in single-user mode, with this pg_hba.conf and pg_ident.conf.
  def self.query(statement, hba:, ident: '')
    in_folder do |folder|
      data = File.join(folder, 'data')
      run('initdb', '--pgdata', data, '--no-sync', '--username', 'vcap', '--auth', 'reject', '--no-instructions')
      File.write(File.join(data, 'pg_hba.conf'), hba)
      File.write(File.join(data, 'pg_ident.conf'), ident)
      # -j: the statement may have several lines; each row comes back as `1: name = "value"`.
      run('postgres', '--single', '-D', data, 'postgres', input: "#{statement};\n")
    end
  end

  def self.in_folder
    Dir.mktmpdir do |folder|
      FileUtils.chmod(0o700, folder)
      FileUtils.chown('vcap', 'vcap', folder) if Process.uid.zero?
      yield folder
    end
  end
  private_class_method :in_folder

  def self.run(program, *arguments, input: '')
    raise 'no PostgreSQL below /usr/lib/postgresql: apt-get install postgresql-15' unless BIN

    user = Process.uid.zero? ? ['setpriv', '--reuid=vcap', '--regid=vcap', '--clear-groups'] : []
    output, errors, status = Open3.capture3(*user, File.join(BIN, program), *arguments, stdin_data: input, chdir: '/')
    raise "#{program} #{arguments.join(' ')}: #{errors}#{output}" unless status.success?

    output
  end
  private_class_method :run
end
