import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'

test('stdout prints records as Fluent Bit does and passes them on', async () => {
  const input = [ODD.filter(([key]) => key !== 'bad'), {}, { a: 'é"q"\n', f: 1.25 }]
  const { records, stdout } = await filterRecords(section('stdout'), input)
  assert.equal(
    stdout,
    '[0] app: [1700000000.000000000, {}, {"a"=>"x", "a"=>"y", "i"=>5, "f"=>1.000000, "n"=>nil, "t"=>true, ' +
      '"m"=>{"k"=>"v", "l"=>{"z"=>1}}, "l"=>[1, "two", nil], "b"=>"bin", "bky"=>"binkey", 5=>"intkey"}]\n' +
      '[1] app: [1700000001.000000000, {}, {}]\n' +
      '[2] app: [1700000002.000000000, {}, {"a"=>"é"q"\n", "f"=>1.250000}]\n'
  )
  assert.deepEqual(records, [odd(['bad']), '{}', '{"a"=>"\u00c3\u00a9\\"q\\"\\n", "f"=>f64:1.25}'])
})

test('stdout prints a batch as it is at its place in the chain, without mixing batches of lines', async () => {
  const filters =
    section('stdout') +
    section('grep', 'exclude a ^k') +
    section('record_modifier', 'record b 1') +
    section('stdout')
  const { stdout } = await filterRecords(filters, [{ a: 'k' }, { a: 'l' }])
  assert.equal(
    stdout,
    '[0] app: [1700000000.000000000, {}, {"a"=>"k"}]\n' +
      '[1] app: [1700000001.000000000, {}, {"a"=>"l"}]\n' +
      '[0] app: [1700000001.000000000, {}, {"a"=>"l", "b"=>"1"}]\n'
  )
})

test('stdout prints metadata and nanoseconds, and numbers each batch from 0', async () => {
  const run = await startPipeline(withEnds(section('stdout')))
  for (const nanoseconds of [5, 999_999_999]) {
    run.pushEvents('t.é', { time: [1, nanoseconds], metadata: { m: [1, {}] }, body: { a: 1 } })
  }
  assert.equal(
    run.stdout,
    '[0] t.é: [1.000000005, {"m"=>[1, {}]}, {"a"=>1}]\n[0] t.é: [1.999999999, {"m"=>[1, {}]}, {"a"=>1}]\n'
  )
  await run.stop()
})

test('stdout prints a whole batch before the next filter does, however large it is', async () => {
  const text = 'x'.repeat(40_000)
  const records = [{ a: text }, { a: text }, { a: text }]
  const { stdout } = await filterRecords(section('stdout') + section('stdout'), records)
  const lines = records.map(
    (_, index) => `[${index}] app: [170000000${index}.000000000, {}, {"a"=>"${text}"}]\n`
  )
  assert.equal(stdout, [...lines, ...lines].join(''))
})

test('stdout has no keys of its own', async () => {
  const { errors } = await checkConfiguration(withEnds(section('stdout', 'foo bar')))
  assert.deepEqual(errors, [
    'fluent-bit.conf:6:5: Cannot set "foo" on filter stdout: it has no keys of its own'
  ])
})
