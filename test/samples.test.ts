/**
 * Runs the configurations of conf/sample, as a new user does, and compares with what Fluent Bit
 * prints.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const ROOT = join(import.meta.dirname, '..')

/** Configuration and the recorded output of Fluent Bit (test/parity/sample). */
const samples = [
  ['fluent-bit.conf', 'fluent-bit.jsonl'],
  ['fluent-bit.yaml', 'fluent-bit.jsonl'],
  ['containers.conf', 'containers.jsonl'],
  ['hostile.conf', 'hostile.jsonl']
]

/** Log lines of the samples are older than this; later dates are those of the run. */
const NEWEST_SECONDS = Date.UTC(2026, 9, 11) / 1000

for (const [config, recorded] of samples) {
  test(`the sample ${config} prints what Fluent Bit prints, and ends by itself`, async () => {
    const { stdout } = await promisify(execFile)(
      join(ROOT, 'bin/spillway'),
      ['-q', '-c', `conf/sample/${config}`],
      { cwd: ROOT, encoding: 'latin1', timeout: 60_000 }
    )
    const expected = readFileSync(join(ROOT, 'test/parity/sample', recorded), 'latin1')
    assert.deepEqual(withoutNow(stdout), withoutNow(expected))
  })
}

/** The lines, with `now` in place of the time of a run. */
function withoutNow(text: string): string[] {
  return text
    .split('\n')
    .map(line =>
      line.replace(/^\{"date":([\d.]+)/, (whole, seconds: string) =>
        Number(seconds) > NEWEST_SECONDS ? '{"date":now' : whole
      )
    )
}
