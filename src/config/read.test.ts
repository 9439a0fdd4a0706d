/** How files are found, and that nothing throws; what files hold is tested by test/golden/config. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { Diagnostics, formatLocation } from './diagnostics.ts'
import type { ConfigDocument, Section } from './model.ts'
import {
  baseDirectoryOf,
  configFormat,
  readConfiguration,
  readParsersFile,
  readUpstreamFile
} from './read.ts'

const ROOT = mkdtempSync(join(tmpdir(), 'read-'))
let directoryCount = 0

after(() => rmSync(ROOT, { recursive: true }))

function directoryWith(files: Readonly<Record<string, string | Buffer>>): string {
  const directory = join(ROOT, String(directoryCount++))
  mkdirSync(directory)
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), content)
  }
  return directory
}

interface Outcome {
  readonly document: ConfigDocument
  readonly problems: readonly string[]
}

function read(path: string, workingDirectory: string): Outcome {
  const diagnostics = new Diagnostics()
  const document = readConfiguration(path, { workingDirectory, diagnostics })
  return { document, problems: problemsOf(diagnostics) }
}

function problemsOf(diagnostics: Diagnostics): string[] {
  return diagnostics.list.map(
    ({ at, severity, message, code }) => `${formatLocation(at)} ${severity} ${message} [${code}]`
  )
}

/** The value of every section's first key. */
function namesOf(sections: readonly Section[]): string[] {
  return sections.map(({ entries: [{ value }] }) => (value.kind === 'scalar' ? value.text : ''))
}

test('the format follows the suffix', () => {
  const paths = ['a.yaml', 'a.YML', 'a.conf', 'a', 'a.yaml.conf', 'd.yaml/a', 'yaml']
  assert.deepEqual(paths.map(configFormat), [
    'yaml',
    'yaml',
    'classic',
    'classic',
    'classic',
    'classic',
    'classic'
  ])
})

test('a missing main file, a directory and a broken path are errors without a place', () => {
  const directory = directoryWith({ 'file.conf': '' })
  assert.deepEqual(
    ['nope.conf', '.', 'file.conf/x', ''].map(path => read(path, directory).problems),
    [
      [' error Cannot read "nope.conf": it does not exist [CFG_FILE_UNREADABLE]'],
      [' error Cannot read ".": it is a directory, it must be a file [CFG_FILE_UNREADABLE]'],
      [
        ' error Cannot read "file.conf/x": a part of its path is not a directory [CFG_FILE_UNREADABLE]'
      ],
      [' error Cannot read "": it is a directory, it must be a file [CFG_FILE_UNREADABLE]']
    ]
  )
})

test('keys and values know their places', () => {
  const directory = directoryWith({
    'main.conf': '[INPUT]\n  Näme   Name n\n',
    'main.yaml': 'pipeline:\n  inputs: [{näme:   "n", l: [a, b]}]\n'
  })
  const places = ['main.conf', 'main.yaml'].map(path => {
    const [{ at, entries }] = read(path, directory).document.inputs
    const items = entries.flatMap(({ value }) => (value.kind === 'list' ? value.items : []))
    const nodes = [{ at }, ...entries, ...entries.map(({ value }) => value), ...items]
    return nodes.map(node => formatLocation(node.at))
  })
  assert.deepEqual(places, [
    ['main.conf:1:1', 'main.conf:2:3', 'main.conf:2:10'],
    [
      'main.yaml:2:12',
      'main.yaml:2:13',
      'main.yaml:2:26',
      'main.yaml:2:21',
      'main.yaml:2:29',
      'main.yaml:2:30',
      'main.yaml:2:33'
    ]
  ])
})

test('a classic include is looked for where we run, then beside the main file', () => {
  const directory = directoryWith({
    'run/here.conf': '[INPUT]\n  Name here\n',
    'conf/here.conf': '[INPUT]\n  Name beside\n',
    'conf/there.conf': '[INPUT]\n  Name there\n',
    'conf/main.conf': '@INCLUDE here.conf\n@INCLUDE there.conf\n'
  })
  const { document, problems } = read('../conf/main.conf', join(directory, 'run'))
  assert.deepEqual([namesOf(document.inputs), problems], [['here', 'there'], []])
})

test('an include of a path that no file can have is an error at its place', () => {
  const directory = directoryWith({ 'main.conf': '@INCLUDE a\0b.conf\n' })
  const { problems } = read('main.conf', directory)
  assert.equal(problems.length, 1)
  assert.match(problems[0], /^main\.conf:1:10 error Cannot (read|include) /)
})

test('a file under a second name is still the same file', () => {
  const directory = directoryWith({
    'a.conf': '[INPUT]\n  Name a\n',
    'main.conf': '@INCLUDE a.conf\n@INCLUDE link.conf\n'
  })
  symlinkSync('a.conf', join(directory, 'link.conf'))
  const { document, problems } = read('main.conf', directory)
  assert.deepEqual(namesOf(document.inputs), ['a'])
  assert.deepEqual(problems, [
    'main.conf:2:10 error Cannot include "link.conf": it is already part of this configuration [CFG_INCLUDED_TWICE]'
  ])
})

test('a thousand files may be read and no more', () => {
  const files = Array.from({ length: 1000 }, (_, index) => [`d/${1000 + index}.conf`, ''])
  const directory = directoryWith({
    ...Object.fromEntries(files),
    'main.conf': '@INCLUDE d/*.conf\n'
  })
  assert.deepEqual(read('main.conf', directory).problems, [
    'main.conf:1:10 error Cannot include "d/1999.conf": 1000 files are read, no more may follow [CFG_TOO_MANY_FILES]'
  ])
})

test('a line must be shorter than 32 MiB', () => {
  const limit = 32 * 1024 * 1024
  const longest = Buffer.concat([
    Buffer.from('[INPUT]\n'),
    Buffer.alloc(limit - 1, '#'),
    Buffer.from('\n')
  ])
  const longer = Buffer.concat([
    Buffer.from('[INPUT]\n'),
    Buffer.alloc(limit, '#'),
    Buffer.from('\n')
  ])
  const directory = directoryWith({ 'longest.conf': longest, 'longer.conf': longer })
  assert.deepEqual(read('longest.conf', directory).problems, [])
  assert.deepEqual(read('longer.conf', directory).problems, [
    'longer.conf:2:1 error Cannot read line 2: it is too long, it must be shorter than 32 MiB [CFG_LINE_TOO_LONG]'
  ])
})

test('bytes that are not UTF-8 are replaced with a warning', () => {
  const directory = directoryWith({
    'main.conf': Buffer.from('[INPUT]\n  Name \xe4\n', 'latin1')
  })
  const { document, problems } = read('main.conf', directory)
  assert.deepEqual(namesOf(document.inputs), ['\ufffd'])
  assert.deepEqual(problems, [
    'main.conf:1:1 warning Replacing bytes of "main.conf" that are not UTF-8 [CFG_NOT_UTF8]'
  ])
})

test('a parsers file is looked for where we run, then beside the main configuration', () => {
  const directory = directoryWith({
    'conf/main.conf': '',
    'conf/p.conf': '[PARSER]\n  Name p\n',
    'run/q.yaml': 'parsers: [{name: q}]'
  })
  const workingDirectory = join(directory, 'run')
  const diagnostics = new Diagnostics()
  const baseDirectory = baseDirectoryOf('../conf/main.conf', workingDirectory)
  const at = { file: 'main.conf', line: 1, column: 2 }
  const options = { workingDirectory, diagnostics, baseDirectory, at }
  const counts = ['p.conf', 'q.yaml', 'r.conf', '/nope'].map(
    path => readParsersFile(path, options).parsers.length
  )
  assert.deepEqual(counts, [1, 1, 0, 0])
  assert.deepEqual(problemsOf(diagnostics), [
    `main.conf:1:2 error Cannot read "${baseDirectory}/r.conf": it does not exist [CFG_FILE_UNREADABLE]`,
    'main.conf:1:2 error Cannot read "/nope": it does not exist [CFG_FILE_UNREADABLE]'
  ])
})

test('the parsers file that is shipped defines the parsers of Fluent Bit', () => {
  const workingDirectory = join(import.meta.dirname, '../../conf')
  const diagnostics = new Diagnostics()
  const options = { workingDirectory, diagnostics, baseDirectory: '', at: undefined }
  const { parsers } = readParsersFile('parsers.conf', options)
  assert.deepEqual(namesOf(parsers).sort(), [
    'apache',
    'apache2',
    'apache_error',
    'cri',
    'docker',
    'docker-daemon',
    'envoy',
    'istio-envoy-proxy',
    'json',
    'k8s-nginx-ingress',
    'kmsg-netfilter-log',
    'kube-custom',
    'logfmt',
    'mongodb',
    'nginx',
    'syslog-rfc3164',
    'syslog-rfc3164-local',
    'syslog-rfc5424'
  ])
  assert.deepEqual(problemsOf(diagnostics), [])
})

test('the base directory is that of the main file behind its links', () => {
  const directory = directoryWith({ 'real/main.conf': '' })
  symlinkSync('real/main.conf', join(directory, 'link.conf'))
  assert.equal(baseDirectoryOf('link.conf', directory), join(directory, 'real'))
  assert.equal(baseDirectoryOf('x/nope.conf', directory), join(directory, 'x'))
})

test('an upstream file that cannot be read causes one error', () => {
  const workingDirectory = directoryWith({})
  const diagnostics = new Diagnostics()
  const options = { workingDirectory, diagnostics, baseDirectory: workingDirectory, at: undefined }
  assert.deepEqual(readUpstreamFile('nope.conf', options), [])
  assert.equal(diagnostics.list.length, 1)
})

test('brackets within brackets without end are an error', () => {
  const directory = directoryWith({ 'main.yaml': `a: ${'['.repeat(200_000)}` })
  const problems = read('main.yaml', directory).problems.map(text => text.replace(/:\d+ /, ' '))
  assert.deepEqual(problems, [
    'main.yaml:1 error Cannot read YAML: it is nested too deeply [CFG_YAML_SYNTAX]'
  ])
})

const PIECES = [
  '[INPUT]',
  '[',
  ']',
  '@INCLUDE ',
  '@SET ',
  '*',
  ' ',
  '  ',
  '\t',
  '\n',
  '\r\n',
  'Name x',
  '='
]
const YAML_PIECES = [
  'pipeline:',
  'inputs:',
  '- ',
  'name: x',
  '{',
  '}',
  '[',
  ']',
  '"',
  '&a ',
  '*a',
  '? ',
  '|'
]

for (const [file, pieces] of [
  ['main.conf', PIECES],
  ['main.yaml', [...PIECES, ...YAML_PIECES]]
] as const) {
  test(`no text makes the reader of ${file} throw`, () => {
    const directory = directoryWith({})
    const part = fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'binary', maxLength: 3 }))
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), parts => {
        writeFileSync(join(directory, file), parts.join(''))
        const { problems } = read(file, directory)
        for (const problem of problems) assert.match(problem, /^\S+:\d+:\d+ (error|warning) [A-Z]/)
      }),
      { numRuns: 200 }
    )
  })
}
