import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { checkConfiguration } from '../../../test/harness/pipeline.ts'

const recordModifier = (...properties: string[]): string =>
  section('record_modifier', ...properties)

test('record_modifier appends record pairs in file order, behind keys of the same name', async () => {
  const filters = recordModifier('record a 1', 'record b "two words"', 'Record a 2')
  const { records } = await filterRecords(filters, [ODD])
  assert.deepEqual(records, [odd([], '"a"=>"1"', '"b"=>"two words"', '"a"=>"2"')])
})

test('record_modifier skips a record property with three words and says so', async () => {
  const { records, log } = await filterRecords(recordModifier('record b 1 2', 'record c 3'), [
    { a: 1 }
  ])
  assert.deepEqual(records, ['{"a"=>1, "c"=>"3"}'])
  assert.deepEqual(log, [
    "[error] [filter:record_modifier:record_modifier.0] invalid record parameters, expects 'KEY VALUE'"
  ])
})

test('record_modifier removes keys whatever their case, binary keys too', async () => {
  const filters = recordModifier('remove_key A', 'remove_key BKY', 'remove_key 5')
  const { records } = await filterRecords(filters, [ODD])
  assert.deepEqual(records, [odd(['a', 'bky'])])
})

test('record_modifier takes a final * of remove_key for any rest', async () => {
  const { records } = await filterRecords(recordModifier('remove_key B*', 'record z 1'), [ODD])
  assert.deepEqual(records, [odd(['bad', 'b', 'bky'], '"z"=>"1"')])
})

test('record_modifier removes all keys but those that are no text with remove_key *', async () => {
  const { records } = await filterRecords(recordModifier('remove_key *', 'record q 1'), [ODD])
  assert.deepEqual(records, ['{5=>"intkey", "q"=>"1"}'])
})

test('record_modifier keeps the keys of allowlist_key and whitelist_key only', async () => {
  const filters = recordModifier('allowlist_key B*', 'whitelist_key A')
  const { records } = await filterRecords(filters, [ODD])
  assert.deepEqual(records, [odd(['i', 'f', 'n', 't', 'm', 'l', '5'])])
})

test('record_modifier appends a different UUID to each record', async () => {
  const { records } = await filterRecords(recordModifier('uuid_key u'), [{ a: 1 }, { a: 2 }])
  const uuids = records.map(record => /"u"=>"([^"]*)"/.exec(record)?.[1] ?? '')
  for (const uuid of uuids) {
    assert.match(uuid, /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
  }
  assert.notEqual(uuids[0], uuids[1])
  assert.equal(records[0], `{"a"=>1, "u"=>"${uuids[0]}"}`)
})

test('record_modifier drops a record that has no key left', async () => {
  for (const property of ['remove_key a', 'allowlist_key b']) {
    const { records } = await filterRecords(recordModifier(property), [{ a: 1 }, { a: 1, b: 2 }])
    assert.deepEqual(records, ['{"b"=>2}'])
  }
})

test('record_modifier passes records unchanged without properties', async () => {
  const { records } = await filterRecords(recordModifier(), [ODD, {}])
  assert.deepEqual(records, [odd(), '{}'])
})

test('record_modifier refuses remove_key together with allowlist_key', async () => {
  const filters = recordModifier('allowlist_key a', 'remove_key b')
  const { errors } = await checkConfiguration(withEnds(filters))
  assert.deepEqual(errors, [
    'fluent-bit.conf:7:16: Cannot set "remove_key" on filter record_modifier: it excludes "allowlist_key", and both are given'
  ])
})
