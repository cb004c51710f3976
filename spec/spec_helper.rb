# frozen_string_literal: true

# The release as an operator gets it: every job rendered from the manifests, by the renderer that the
# lab's Director uses. `UPDATE=1 rspec` writes spec/golden/ anew; read the difference before committing.

require_relative 'renderer/render'
require_relative 'support/release'
require_relative 'support/landscape'
require_relative 'support/golden'

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.order = :random
  config.expect_with(:rspec) { |expectations| expectations.max_formatted_output_length = 2000 }
end
