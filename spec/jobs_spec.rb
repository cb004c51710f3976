# frozen_string_literal: true

require 'open3'

# Rules that hold for every job: those of `bosh create-release` (reference: Director, section 13) and the house's.
RSpec.describe 'jobs' do
  Release.jobs.each do |job|
    describe job.name do
      let(:files) { Release.template_files(job) }
      let(:texts) { files.map { |file| Release.template_text(job, file) } + [File.read(File.join(job.dir, 'monit'))] }

      it 'is named as its folder, with a legal name' do
        expect(job.name).to eq(File.basename(job.dir)).and match(/\A[a-z][a-z0-9-]*\z/)
      end

      it 'says what it is' do
        expect(job.spec['description'].to_s.strip).not_to be_empty
      end

      it 'names only keys that a job spec has' do
        expect(job.spec.keys - %w[name description templates packages properties consumes provides]).to eq([])
      end

      it 'names every template that exists and no other' do
        expect(job.templates.keys).to match_array(files)
      end

      it 'renders no two templates to one destination' do
        expect(job.templates.values).to eq(job.templates.values.uniq)
      end

      it 'renders to bin/ and config/ only' do
        expect(job.templates.values).to all(match(%r{\A(bin|config)/[a-z0-9_.-]+\z}))
      end

      it 'has a monit file' do
        expect(File).to be_file(File.join(job.dir, 'monit'))
      end

      it 'needs packages that exist' do
        expect(job.spec['packages']).to all(satisfy { |package| File.directory?(Release.path('packages', package)) })
      end

      it 'describes every property, and nothing but description, default and example' do
        job.properties.each do |name, definition|
          expect(definition['description'].to_s.strip).not_to be_empty, "#{name} has no description"
          expect(definition.keys - %w[description default example]).to eq([]), name
        end
      end

      # `bosh create-release` packs the file and the Director (from March 2025 on) checks the properties against it
      # before it renders: a wrong type is told by name. Which words a property may have is told better by the
      # template, where that does so.
      describe 'properties_schema.json' do
        let(:schema) { Renderer::Schema.load(job.dir) or raise "#{job.dir}/properties_schema.json is missing: it gives every property of the spec its type" }

        it 'has a rule for each property of the spec, and names no other' do
          expect(job.properties.keys.reject { |name| schema.rule(name) }).to eq([])
          expect(schema.names - job.properties.keys).to eq([])
        end

        it 'gives each a type; what has no default may be missing, for the template says so in words of its own' do
          job.properties.each do |name, definition|
            rule = schema.rule(name)
            types = Array(rule['type'])
            expect(types).not_to be_empty, "#{name} has no type"
            # A rule for all texts of a level allows null for each.
            expect(types).to include('null'), "#{name}: has no default, so it may be null" unless definition.key?('default')
            expect(types).not_to include('null'), "#{name}: has a default, so it is never null" if definition.key?('default') && schema.names.include?(name)
            expect(rule.fetch('enum', [nil]).include?(nil)).to be(!definition.key?('default') || !rule.key?('enum')), name
          end
        end

        it 'lets every default and example of the spec pass' do
          job.properties.each do |name, definition|
            definition.slice('default', 'example').each_value do |value|
              nested = name.split('.').reverse.reduce(value) { |inner, key| { key => inner } }
              expect(schema.problems(nested)).to eq([]), name
            end
          end
        end
      end

      it 'has no property below another' do
        names = job.properties.keys
        expect(names.select { |name| names.any? { |other| other.start_with?("#{name}.") } }).to eq([])
      end

      it 'asks only for properties that its spec declares' do
        asked = texts.join.scan(/(?<!\.)\bp\(\[?['"]([^'"#]+)['"]/).flatten + texts.join.scan(/if_p\(([^)]*)\)/).flatten
                                                                              .flat_map { |list| list.scan(/'([^']+)'/).flatten }
        # A level as a whole is a mapping, and so may a property be.
        known = job.properties.keys
        expect(asked.uniq.reject { |name| known.any? { |other| other == name || other.start_with?("#{name}.") || (name.start_with?("#{other}.") && other == 'store') } }).to eq([])
      end

      it 'uses every property that its spec declares' do
        exported = (job.spec['provides'] || []).flat_map { |link| link['properties'] || [] }
        text = texts.join
        # Those of `restore.target`, of the store and of each cloud are named by a list in the template;
        # spec/errands_spec.rb and spec/remount_spec.rb set every one of them and find it in the configuration.
        unused = job.properties.keys.reject { |name| text.include?("'#{name}'") || name.match?(/\A(restore\.target|store|cloud\.[a-z]+)\./) }
        expect(unused - exported).to eq([])
      end

      it 'exports only declared properties through its links' do
        exported = (job.spec['provides'] || []).flat_map { |link| link['properties'] || [] }
        expect(exported - job.properties.keys).to eq([])
      end

      it 'keeps scripts free of ERB and of logic: one exec each' do
        job.templates.select { |_, destination| destination.start_with?('bin/') }.each_key do |file|
          code = Release.template_text(job, file).gsub("\\\n", ' ').lines.reject { |line| line.start_with?('#') }
          expect(code.length).to eq(1), file
          expect(code.first).to match(%r{\Aexec /var/vcap/packages/remount(-agent)?/bin/}), file
          expect(code.first).not_to include('<%'), file
        end
      end

      it 'has scripts that shellcheck has nothing to say about' do
        scripts = job.templates.select { |_, destination| destination.start_with?('bin/') }.keys
        paths = scripts.map { |file| File.join(job.dir, 'templates', file) }
        # A job whose processes need no hook has no script.
        next if paths.empty?

        output, status = Open3.capture2e('shellcheck', '--shell=bash', *paths)
        expect(status).to be_success, output
      end
    end
  end
end
