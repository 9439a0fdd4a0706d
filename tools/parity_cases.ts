/** Runs the cases of test/parity/cases through Spillway, and through Fluent Bit where it is there. */
import {
  type ParityCase,
  readExpected,
  type RunResult,
  writeExpected
} from '../test/parity/case.ts'
import { describePart, differingParts } from '../test/parity/compare.ts'
import { runProgram } from '../test/parity/run_program.ts'

export interface CaseOptions {
  /** Path of each program. */
  readonly spillway: string
  readonly fluentBit: string | undefined
  /** Write what Fluent Bit gives to the repository. */
  readonly record: boolean
}

/** Cases that run at a time. */
const PARALLEL = 2

/** Prints a table with a row for each case, then what differs; gives the number of cases that differ. */
export async function compareCases(
  cases: readonly ParityCase[],
  options: CaseOptions
): Promise<number> {
  const waiting = [...cases]
  const descriptions: string[] = []
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { row, description } = await compareCase(next, options)
      console.log(row)
      if (description !== '') descriptions.push(description)
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
  console.log(`\n${descriptions.join('\n\n')}\n`)
  return descriptions.length
}

async function compareCase(
  parityCase: ParityCase,
  { spillway, fluentBit, record }: CaseOptions
): Promise<{ row: string; description: string }> {
  const recorded = readExpected(parityCase)
  const reference = fluentBit === undefined ? recorded : await runProgram(fluentBit, parityCase)
  if (reference === undefined) return report(parityCase, 'was never recorded', ['it'], '')
  if (record) writeExpected(parityCase, reference)
  const isComplete = (result: RunResult): boolean =>
    differingParts(parityCase, reference, result).length === 0
  const actual = await runProgram(spillway, parityCase, isComplete)
  const parts = differingParts(parityCase, reference, actual)
  const note = recordingNote(parityCase, recorded, reference)
  const text = parts.map(part => `${part}\n${describePart(reference, actual, part)}`)
  return report(parityCase, note, parts, text.join('\n'))
}

/** Says when the record no longer is what the program gives. */
function recordingNote(
  parityCase: ParityCase,
  recorded: RunResult | undefined,
  reference: RunResult
): string {
  if (recorded === undefined) return 'new'
  const changed = differingParts(parityCase, recorded, reference)
  return changed.length === 0 ? '' : `Fluent Bit gave another ${changed.join(', ')} than recorded`
}

function report(
  { name }: ParityCase,
  note: string,
  parts: readonly string[],
  text: string
): { row: string; description: string } {
  const verdict = parts.length === 0 ? 'same' : `differs: ${parts.join(', ')}`
  return {
    row: `${name.padEnd(40)} ${verdict}${note === '' ? '' : ` (${note})`}`,
    description: parts.length === 0 ? '' : `--- ${name}: ${text}`
  }
}
