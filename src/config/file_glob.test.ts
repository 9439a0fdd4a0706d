/** Expectations are those of glob(3), sorted. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { matchFiles } from './file_glob.ts'

const DIRECTORY = mkdtempSync(join(tmpdir(), 'glob-'))
const FILES = [
  '!.conf',
  'a.conf',
  'b.conf',
  'c1.conf',
  'c.yaml',
  '.h.conf',
  'x*y',
  'd/e.conf',
  'd2/e.conf'
]

before(() => {
  mkdirSync(join(DIRECTORY, 'd'))
  mkdirSync(join(DIRECTORY, 'd2'))
  for (const file of FILES) writeFileSync(join(DIRECTORY, file), '')
})

after(() => rmSync(DIRECTORY, { recursive: true }))

const PATTERNS: readonly (readonly [pattern: string, files: string[]])[] = [
  ['*.conf', ['!.conf', 'a.conf', 'b.conf', 'c1.conf']],
  ['.*.conf', ['.h.conf']],
  ['?.conf', ['!.conf', 'a.conf', 'b.conf']],
  ['[a-b].conf', ['a.conf', 'b.conf']],
  ['[!a]*.conf', ['!.conf', 'b.conf', 'c1.conf']],
  ['[z-a]*', []],
  ['[*', []],
  ['*/e.conf', ['d/e.conf', 'd2/e.conf']],
  ['d*/*', ['d/e.conf', 'd2/e.conf']],
  ['./d/*', ['./d/e.conf']],
  ['d/../*.yaml', ['d/../c.yaml']],
  ['x\\*y', ['x*y']],
  ['a.conf*', ['a.conf']],
  ['nope/*', []],
  ['a.conf/*', []],
  ['{a,b}.conf*', []]
]

test('patterns match as in glob(3), sorted', () => {
  assert.deepEqual(
    PATTERNS.map(([pattern]) => [pattern, matchFiles(pattern, DIRECTORY)]),
    PATTERNS
  )
})

test('an absolute pattern gives absolute paths', () => {
  assert.deepEqual(matchFiles(`${DIRECTORY}/d/*`, '/'), [`${DIRECTORY}/d/e.conf`])
})
