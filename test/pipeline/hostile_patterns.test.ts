/** Patterns that backtrack for ever must not stop the pipeline. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPipeline } from '../harness/pipeline.ts'

/** How long all records of a test may take together; without a guard, one takes longer than the universe has. */
const LIMIT_MS = 5_000

for (const pattern of ['^(a+)+$', '^(a|aa)+$', '^(?:a+b?)+$', '(?=a)(a+)+\\1$', '(?i)^(A+)+$']) {
  test(`records that ${pattern} could match for ever pass in time`, async () => {
    const run = await startPipeline(`
[INPUT]
    name  lib
    tag   app
[FILTER]
    name     grep
    match    *
    exclude  log ${pattern}
[OUTPUT]
    name   collect
    match  *
`)
    const evil = `${'a'.repeat(60)}!`
    const start = performance.now()
    run.push('app', { log: evil }, { log: 'other' }, { log: evil })
    run.flush()
    assert.ok(performance.now() - start < LIMIT_MS)
    assert.deepEqual(run.bodies, [{ log: evil }, { log: 'other' }, { log: evil }])
    await run.stop()
  })
}
