/** Runs all cases of the comparison with Fluent Bit against what it wrote when it was recorded. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { type ParityCase, readCases, readExpected, type RunResult } from './case.ts'
import { differingParts, isRefusal, partOf } from './compare.ts'
import { runInProcess } from './run_in_process.ts'
import { runProgram } from './run_program.ts'

const SPILLWAY = join(import.meta.dirname, '../../bin/spillway')

for (const parityCase of readCases()) {
  test(`the case ${parityCase.name} writes what Fluent Bit writes`, () => checkCase(parityCase))
}

async function checkCase(parityCase: ParityCase): Promise<void> {
  const expected = readExpected(parityCase)
  assert.ok(expected, 'the case was recorded')
  assert.equal(isRefusal(expected), parityCase.name.startsWith('refused_'), expected.log)
  const isComplete = (result: RunResult): boolean =>
    differingParts(parityCase, expected, result).length === 0
  const actual = parityCase.needsProgram
    ? await runProgram(SPILLWAY, parityCase, isComplete)
    : await runInProcess(parityCase, isComplete)
  for (const part of differingParts(parityCase, expected, actual)) {
    assert.equal(partOf(actual, part), partOf(expected, part), part)
  }
}
