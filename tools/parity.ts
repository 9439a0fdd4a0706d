/**
 * Compares Spillway with Fluent Bit.
 *
 *     npm run parity                                  with what was recorded from Fluent Bit 5.1.1
 *     FLUENT_BIT=/path npm run parity                 with that program, which is run beside Spillway
 *     FLUENT_BIT=/path npm run parity -- --record     records its results and option tables first
 *     npm run parity -- --only cases tail json        a part (options, cases or golden), and of the cases
 *                                                     those whose name has one of the words
 *
 * Compared are the option tables of the shipped plugins, what the cases of test/parity/cases write, and, where the
 * program is there, whether it accepts the same configurations of test/golden/config.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readCases } from '../test/parity/case.ts'
import { OPTIONS } from '../test/parity/differences.ts'
import { compareCases } from './parity_cases.ts'
import { compareVerdicts } from './parity_golden.ts'
import { compareOptions, readRecord, renewRecord } from './parity_record.ts'
import { loadShippedPlugins } from './shipped.ts'

const SPILLWAY = join(import.meta.dirname, '../bin/spillway')

const { values, positionals } = parseArgs({
  options: { record: { type: 'boolean', default: false }, only: { type: 'string' } },
  allowPositionals: true
})
const program = process.env['FLUENT_BIT'] === '' ? undefined : process.env['FLUENT_BIT']
if (values.record && program === undefined) {
  throw new Error('Cannot record: FLUENT_BIT is not set, it must be the path of Fluent Bit 5.1.1')
}
const wants = (part: string): boolean => values.only === undefined || values.only === part
let differences = 0
if (wants('options')) differences += await compareAllOptions()
if (wants('cases')) {
  const options = { spillway: SPILLWAY, fluentBit: program, record: values.record }
  differences += await compareCases(readCases(positionals), options)
}
if (wants('golden') && program !== undefined) {
  differences += compareVerdicts(SPILLWAY, program, positionals)
}
console.log(`${differences} differences`)
process.exitCode = differences === 0 ? 0 : 1

async function compareAllOptions(): Promise<number> {
  if (values.record && program !== undefined) renewRecord(program)
  const recorded = readRecord()
  let count = 0
  for (const plugin of await loadShippedPlugins()) {
    const { kind, name } = plugin
    const theirs = recorded[kind][name]
    const lines = theirs === undefined ? ["is Spillway's own"] : compareOptions(plugin, theirs)
    for (const line of lines.map(text => `${kind} ${name}: ${text}`)) {
      if (OPTIONS.some(meant => meant.line === line)) continue
      console.log(line)
      count++
    }
  }
  return count
}
