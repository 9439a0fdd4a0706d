import assert from 'node:assert/strict'
import { hostname, release, version } from 'node:os'
import { test } from 'node:test'
import { filterRecords, section } from '../../../test/harness/filter_run.ts'

const SYSTEM = process.platform === 'darwin' ? 'macos' : process.platform

test('sysinfo appends the values in its own order, behind keys of the same name', async () => {
  const filters = section(
    'sysinfo',
    'kernel_version_key kv',
    'os_version_key ov',
    'hostname_key h',
    'os_name_key o',
    'fluentbit_version_key v'
  )
  const { records } = await filterRecords(filters, [{ a: 1, v: 2 }])
  const system = [hostname(), version(), release()].map(value => JSON.stringify(value))
  assert.deepEqual(records, [
    `{"a"=>1, "v"=>2, "v"=>"5.1.1", "o"=>"${SYSTEM}", "h"=>${system[0]}, "ov"=>${system[1]}, "kv"=>${system[2]}}`
  ])
})

test('sysinfo appends only what has a key', async () => {
  const variants = [
    [[], '{"a"=>1}'],
    [['os_name_key o'], `{"a"=>1, "o"=>"${SYSTEM}"}`]
  ] as const
  for (const [properties, expected] of variants) {
    const { records } = await filterRecords(section('sysinfo', ...properties), [{ a: 1 }])
    assert.deepEqual(records, [expected])
  }
})
