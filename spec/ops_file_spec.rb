# frozen_string_literal: true

require_relative 'support/ops_file'

# Each expectation is what `bosh int` prints, or refuses, for the same operation.
RSpec.describe OpsFile do
  let(:document) { { 'name' => 'd', 'groups' => [{ 'name' => 'a', 'n' => 1 }, { 'name' => 'b', 'n' => 2 }], 'empty' => nil } }

  def replaced(path, value) = described_class.apply(document, [{ 'type' => 'replace', 'path' => path, 'value' => value }])
  def removed(path) = described_class.apply(document, [{ 'type' => 'remove', 'path' => path }])

  it 'replaces what is there, and leaves the document it was given alone' do
    expect(replaced('/name', 'e')['name']).to eq('e')
    expect(replaced('/groups/name=b/n', 3)['groups'].last).to eq('name' => 'b', 'n' => 3)
    expect(replaced('/groups/0/n', 3)['groups'].first['n']).to eq(3)
    expect(replaced('/groups/-1/n', 3)['groups'].last['n']).to eq(3)
    expect(document['groups'].map { |group| group['n'] }).to eq([1, 2])
  end

  it 'shares no value between two places' do
    shared = { 'x' => 1 }
    ops = [{ 'type' => 'replace', 'path' => '/one?', 'value' => shared }, { 'type' => 'replace', 'path' => '/two?', 'value' => shared },
           { 'type' => 'replace', 'path' => '/one/x', 'value' => 2 }]
    expect(described_class.apply(document, ops).values_at('one', 'two')).to eq([{ 'x' => 2 }, { 'x' => 1 }])
  end

  it 'refuses what is missing, and says what there is' do
    expect { replaced('/nome', 'e') }.to raise_error(described_class::Misfit, '/nome: there is no `nome`; there are name, groups, empty')
    expect { replaced('/a/b', 1) }.to raise_error(described_class::Misfit, /no `a`/)
    expect { replaced('/groups/name=c/n', 1) }.to raise_error(described_class::Misfit, /`name=c` fits 0 items/)
    expect { replaced('/groups/2', 1) }.to raise_error(described_class::Misfit, /no item 2/)
    expect { replaced('/groups/name', 1) }.to raise_error(described_class::Misfit, /not in a mapping/)
    expect { replaced('/name/-', 1) }.to raise_error(described_class::Misfit, /a list is expected/)
  end

  it 'refuses a match that fits several' do
    document['groups'] << { 'name' => 'a' }
    expect { replaced('/groups/name=a/n', 1) }.to raise_error(described_class::Misfit, /fits 2 items/)
  end

  it 'makes what is missing from the first `?` on, to suit what follows' do
    expect(replaced('/a?/b/c', 1)['a']).to eq('b' => { 'c' => 1 })
    expect(replaced('/a?/-', 1)['a']).to eq([1])
    expect(replaced('/a?/name=x/n', 1)['a']).to eq([{ 'name' => 'x', 'n' => 1 }])
    expect(replaced('/groups/name=c?/n', 3)['groups'].last).to eq('name' => 'c', 'n' => 3)
    expect(replaced('/groups/name=c?', { 'name' => 'c' })['groups'].length).to eq(3)
    expect { replaced('/a?/0', 1) }.to raise_error(described_class::Misfit, /an index needs a list/)
  end

  it 'appends, and inserts before and after' do
    names = ->(path) { replaced(path, { 'name' => 'x' })['groups'].map { |group| group['name'] } }
    expect(names.call('/groups/-')).to eq(%w[a b x])
    expect(names.call('/groups/name=b:before')).to eq(%w[a x b])
    expect(names.call('/groups/name=a:after')).to eq(%w[a x b])
    expect(names.call('/groups/0:before')).to eq(%w[x a b])
    expect(names.call('/groups/-1:after')).to eq(%w[a b x])
    expect(names.call('/groups/name=a:next')).to eq(%w[a x])
    expect(names.call('/groups/name=b:prev:before')).to eq(%w[x a b])
    expect { names.call('/groups/name=b:next') }.to raise_error(described_class::Misfit, /no item 2/)
    expect { names.call('/groups/name=b:beside') }.to raise_error(described_class::Misfit, /unknown modifier `beside`/)
  end

  it 'removes what is there, and what may be there' do
    expect(removed('/empty').keys).to eq(%w[name groups])
    expect(removed('/groups/name=a')['groups'].length).to eq(1)
    expect(removed('/groups/0/n')['groups'].first).to eq('name' => 'a')
    expect(removed('/absent?')).to eq(document)
    expect(removed('/absent?/deeper')).to eq(document)
    expect(removed('/groups/name=c?')).to eq(document)
    expect { removed('/absent') }.to raise_error(described_class::Misfit, /no `absent`/)
    expect { removed('/groups/name=c') }.to raise_error(described_class::Misfit, /fits 0/)
    expect { removed('/groups/-') }.to raise_error(described_class::Misfit, /nothing to remove/)
    expect { removed('/groups/name=a:after') }.to raise_error(described_class::Misfit, /say where to insert/)
  end

  it 'reads escapes' do
    document['a/b:c~'] = 1
    expect(replaced('/a~1b~7c~0', 2)['a/b:c~']).to eq(2)
  end

  it 'refuses operations that are none' do
    expect { described_class.apply(document, [{ 'type' => 'move', 'path' => '/name' }]) }.to raise_error(described_class::Misfit, /unknown type `move`/)
    expect { described_class.apply(document, [{ 'type' => 'replace', 'path' => '/name' }]) }.to raise_error(described_class::Misfit, /no value/)
    expect { described_class.apply(document, [{ 'type' => 'remove', 'path' => '/name', 'value' => 1 }]) }.to raise_error(described_class::Misfit, /has a value/)
    expect { replaced('name', 1) }.to raise_error(described_class::Misfit, %r{begins with `/`})
    expect { described_class.apply(document, [{ 'type' => 'remove' }]) }.to raise_error(described_class::Misfit, /no path/)
  end
end
