import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPipeline } from '../../../test/harness/pipeline.ts'

async function logOf(properties: string): Promise<string[]> {
  const run = await startPipeline(
    `[INPUT]\n    name lib\n[OUTPUT]\n    name null\n    match *\n    log_level debug\n${properties}`
  )
  run.push('app', { log: 'x' })
  run.flush()
  assert.equal(run.counter('fluentbit_output_proc_records_total', { name: 'null.0' }), 1)
  assert.equal(run.stdout, '')
  await run.stop()
  return run.log.filter(line => line.includes('output:null'))
}

const DISCARDED = '[debug] [output:null:null.0] discarding 20 bytes'

test('null takes everything and prints nothing', async () => {
  assert.deepEqual(await logOf(''), [DISCARDED])
})

test('null makes JSON when asked to, and prints nothing either', async () => {
  for (const format of ['msgpack', 'json', 'json_lines', 'JSON_stream']) {
    assert.deepEqual(
      await logOf(`    format ${format}\n    json_date_format epoch\n`),
      [DISCARDED],
      format
    )
  }
})

test('null reports formats that it does not have', async () => {
  const reports: Readonly<Record<string, string>> = {
    '    format otlp_json\n': "format 'otlp_json' is not supported by out_null",
    '    format xx\n': "unrecognized 'format' option. Using 'msgpack'",
    '    json_date_format yy\n': "invalid json_date_format 'yy'. Using 'double' type"
  }
  for (const [properties, message] of Object.entries(reports)) {
    assert.deepEqual(await logOf(properties), [
      `[error] [output:null:null.0] ${message}`,
      DISCARDED
    ])
  }
})
