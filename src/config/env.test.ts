/** Expansions were compared with Fluent Bit 5.1.1 (dummy to stdout with the text as the tag). */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Diagnostics } from './diagnostics.ts'
import { Environment, hasVariables } from './env.ts'
import type { EnvEntry } from './model.ts'

const DIRECTORY = mkdtempSync(join(tmpdir(), 'env-'))
const AT = { file: 'main.yaml', line: 2, column: 3 }

after(() => rmSync(DIRECTORY, { recursive: true }))

interface Setup {
  readonly entries?: readonly Partial<EnvEntry>[]
  readonly process?: Record<string, string>
  readonly now?: () => number
  readonly onRefreshFailure?: (message: string) => void
}

function environment(setup: Setup, diagnostics = new Diagnostics()): Environment {
  const base = { name: 'X', value: '', refreshSeconds: 0, required: true, at: AT }
  return new Environment({
    entries: (setup.entries ?? []).map(entry => ({ ...base, ...entry })),
    processEnvironment: setup.process ?? {},
    hostname: 'machine',
    now: setup.now ?? (() => 0),
    diagnostics,
    ...(setup.onRefreshFailure && { onRefreshFailure: setup.onRefreshFailure })
  })
}

const EXPANSIONS: readonly (readonly [text: string, expanded: string, unset: string[]])[] = [
  ['plain', 'plain', []],
  ['${A}', 'aa', []],
  ['${A}${B}', 'aabb', []],
  ['x${A}y', 'xaay', []],
  ['$${A}', '$aa', []],
  ['${A:-d}', 'aa', []],
  ['${NOPE:-d}e', 'de', []],
  ['${NOPE:-}', '', []],
  ['${EMPTY:-d}', 'd', []],
  ['${BLANK:-d}', 'd', []],
  ['${BLANK}', '', []],
  ['${:-d}', 'd', []],
  ['${NOPE}x${EMPTY}', 'x', ['NOPE', 'EMPTY']],
  ['${A:B:-c}', '', ['A:B:-c']],
  ['${ A }', '', [' A ']],
  ['${A:-${B}}', 'aa}', []],
  ['${NESTED}', '${A}', []],
  ['x${}y', 'x${}y', []],
  ['${B', '${B', []],
  ['${A} ${B', 'aa ${B', []],
  ['} ${A}', '} aa', []],
  ['{"a":{"b":1},"c":"${A}"}', '{"a":{"b":1},"c":"aa"}', []],
  ['$A {A}', '$A {A}', []],
  ['${HOSTNAME}', 'machine', []]
]

test('variables expand as in Fluent Bit', () => {
  const entries = [
    { name: 'B', value: 'bb' },
    { name: 'NESTED', value: '${A}' },
    { name: 'BLANK', value: '' }
  ]
  const variables = environment({ entries, process: { A: 'aa', B: 'process', EMPTY: '' } })
  const found = EXPANSIONS.map(([text]) => {
    const { text: expanded, unset } = variables.expand(text)
    return [text, expanded, unset]
  })
  assert.deepEqual(found, EXPANSIONS)
})

test('a text has variables when expanding would touch it', () => {
  const texts = ['', 'a', '$A', '${', '${}', '${A', '${A}', 'x${}${B:-c}']
  assert.deepEqual(texts.map(hasVariables), [false, false, false, false, false, false, true, true])
})

test('names of 4095 characters are the longest', () => {
  const longest = 'N'.repeat(4095)
  const variables = environment({ process: { [longest]: 'v', [`${longest}N`]: 'w' } })
  assert.deepEqual(variables.expand(`\${${longest}}`), { text: 'v', unset: [] })
  assert.deepEqual(variables.expand(`\${${longest}N}`).text, `\${${longest}N}`)
})

test('a later entry replaces an earlier one, HOSTNAME of the process the preset', () => {
  const entries = [{ value: '1' }, { value: '2' }]
  const variables = environment({ entries, process: { HOSTNAME: 'other' } })
  assert.deepEqual([variables.get('X'), variables.get('HOSTNAME')], ['2', 'other'])
})

test('an empty HOSTNAME of the process is unset and not preset', () => {
  assert.equal(environment({ process: { HOSTNAME: '' } }).get('HOSTNAME'), undefined)
})

test('a file value loses one line end', () => {
  const values = ['a', 'a\n', 'a\n\n', 'a\r\n', '\r', ' '].map(content => {
    const path = join(DIRECTORY, 'value')
    writeFileSync(path, content)
    return environment({ entries: [{ value: `file://${path}` }] }).get('X')
  })
  assert.deepEqual(values, ['a', 'a', 'a\n', 'a\r', undefined, ' '])
})

test('file:// alone is a value like any other', () => {
  assert.equal(environment({ entries: [{ value: 'file://' }] }).get('X'), 'file://')
})

test('an unreadable file is an error in YAML and a warning for @SET', () => {
  const missing = join(DIRECTORY, 'missing')
  const empty = join(DIRECTORY, 'empty')
  writeFileSync(empty, '\n')
  const diagnostics = new Diagnostics()
  const entries = [
    { value: `file://${missing}` },
    { name: 'Y', value: `file://${empty}`, required: false }
  ]
  const variables = environment({ entries }, diagnostics)
  assert.deepEqual(
    diagnostics.list.map(({ severity, code, message, at }) => [severity, code, message, at]),
    [
      [
        'error',
        'CFG_ENV_FILE',
        `Cannot set variable "X" from file "${missing}": it does not exist`,
        AT
      ],
      [
        'warning',
        'CFG_ENV_FILE',
        `Cannot set variable "Y" from file "${empty}": it is empty, it must hold the value`,
        AT
      ]
    ]
  )
  assert.deepEqual([variables.get('X'), variables.get('Y')], [undefined, undefined])
})

test('a file value is read again when its interval is over, and kept when that fails', () => {
  const path = join(DIRECTORY, 'token')
  const failures: string[] = []
  let now = 1000
  writeFileSync(path, 'one')
  const variables = environment({
    entries: [{ value: `file://${path}`, refreshSeconds: 60 }],
    now: () => now,
    onRefreshFailure: message => failures.push(message)
  })
  writeFileSync(path, 'two')
  now += 59_999
  assert.equal(variables.get('X'), 'one')
  now += 1
  assert.equal(variables.get('X'), 'two')
  rmSync(path)
  now += 60_000
  assert.equal(variables.get('X'), 'two')
  // It is not looked at again with each record that uses it.
  assert.equal(variables.get('X'), 'two')
  assert.deepEqual(failures, [`Cannot read file "${path}" again: it does not exist`])
})

test('a file value without an interval is read once', () => {
  const path = join(DIRECTORY, 'once')
  let now = 0
  writeFileSync(path, 'one')
  const variables = environment({ entries: [{ value: `file://${path}` }], now: () => now })
  writeFileSync(path, 'two')
  now = 1e12
  assert.equal(variables.get('X'), 'one')
})
