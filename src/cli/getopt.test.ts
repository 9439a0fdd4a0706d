import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitArguments } from './getopt.ts'
import { COMMAND_LINE_OPTIONS } from './options.ts'

/** The tokens in short: `config=a@4` for an option, `word foo@1`, or the error text. */
function split(...argv: string[]): string[] {
  return splitArguments(argv, COMMAND_LINE_OPTIONS).map(token => {
    if (token.kind === 'error') return token.message
    if (token.kind === 'word') return `word ${token.text}@${token.column}`
    return `${token.option.long[0]}=${token.value}@${token.column}`
  })
}

test('a value may be glued to its option, follow it, or come after an equals sign', () => {
  assert.deepEqual(split('-ca.conf', '-c', 'b.conf', '--config=c.conf', '--config', 'd.conf'), [
    'config=a.conf@3',
    'config=b.conf@13',
    'config=c.conf@29',
    'config=d.conf@45'
  ])
})

test('short options without a value can be written together, the last may take one', () => {
  assert.deepEqual(split('-vvqc', 'x', '-vDcy'), [
    'verbose=@2',
    'verbose=@3',
    'quiet=@4',
    'config=x@7',
    'verbose=@10',
    'dry-run=@11',
    'config=y@13'
  ])
})

test('a short option that lacks its value ends the reading after what stands before it', () => {
  assert.deepEqual(split('-vc'), ['verbose=@2', "option requires an argument -- 'c'"])
})

test('the value of an option may look like an option', () => {
  assert.deepEqual(split('-p', '-x=1', '-o', '--'), ['prop=-x=1@4', 'output=--@12'])
})

test('a long name can be shortened as long as one option is meant', () => {
  assert.deepEqual(split('--po', '1', '--st=/tmp', '--http', '--trace', 'a', '--flus=1'), [
    'port=1@6',
    'storage_path=/tmp@13',
    'http=@18',
    'trace=a@33',
    'flush=1@42'
  ])
})

test('words that belong to no option, a single dash and all after two dashes are words', () => {
  assert.deepEqual(split('a', '-', '-v', '--', '-V', '--x'), [
    'word a@1',
    'word -@3',
    'verbose=@6',
    'word -V@11',
    'word --x@14'
  ])
})

test('columns count characters, not UTF-16 units or bytes', () => {
  assert.deepEqual(split('-i', 'é😀', '-vtü'), ['input=é😀@4', 'verbose=@8', 'tag=ü@10'])
})

// Recorded from Fluent Bit 5.1.1, without the program's name; "did you mean" is ours.
const refused: [string[], string][] = [
  [['-c'], "option requires an argument -- 'c'"],
  [['-k', '-V'], "invalid option -- 'k'"],
  [['-M', '5'], "invalid option -- 'M'"],
  [['--conf'], "option '--config' requires an argument"],
  [['--http=1'], "option '--http' doesn't allow an argument"],
  [['--zzz=1'], "unrecognized option '--zzz=1'"],
  [['--cnofig=1'], "unrecognized option '--cnofig=1'; did you mean '--config'?"],
  [
    ['--disable-thread-safety-on-hot-reloading'],
    "unrecognized option '--disable-thread-safety-on-hot-reloading'; " +
      "did you mean '--disable-thread-safety-on-hot-reload'?"
  ],
  // An own option takes no part in prefixes, so that every prefix means what it means in Fluent
  // Bit.
  [['--stric'], "unrecognized option '--stric'; did you mean '--strict'?"]
]

for (const [argv, message] of refused) {
  test(`"${argv.join(' ')}" is refused with: ${message}`, () => {
    assert.deepEqual(split('-V', ...argv), ['version=@2', message])
  })
}

/** The named candidates of an ambiguous prefix; their order is that of the option table. */
const ambiguous: [string, string[]][] = [
  ['--htt', ['--http', '--http_listen', '--http_port']],
  ['--p', ['--parser', '--plugin', '--port', '--processor', '--prop']],
  ['--s', ['--sosreport', '--sp-task', '--storage_path', '--supervisor']],
  ['--enable', ['--enable-chunk-trace', '--enable-fips', '--enable-hot-reload']]
]

for (const [word, expected] of ambiguous) {
  test(`"${word}" is refused as ambiguous between the same options as in Fluent Bit`, () => {
    const [message] = split(word)
    assert.equal(message.slice(0, message.indexOf(';')), `option '${word}' is ambiguous`)
    assert.deepEqual(
      [...message.matchAll(/'(--[^']*)'/g)]
        .map(match => match[1])
        .slice(1)
        .sort(),
      expected
    )
  })
}
