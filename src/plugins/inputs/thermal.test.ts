import assert from 'node:assert/strict'
import { test } from 'node:test'
import { float, startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const ZONES = {
  'sys/class/thermal/cooling_device0/type': 'Processor\n',
  'sys/class/thermal/thermal_zone0/type': 'x86_pkg_temp\n',
  'sys/class/thermal/thermal_zone0/temp': '48500\n',
  'sys/class/thermal/thermal_zone1/type': 'acpitz\n',
  'sys/class/thermal/thermal_zone1/temp': '-1000\n',
  'sys/class/thermal/thermal_zone2/type': '\n',
  'sys/class/thermal/thermal_zone2/temp': '1\n',
  'sys/class/thermal/thermal_zone3/type': 'no figure\n',
  'sys/class/thermal/thermal_zone3/temp': 'unknown\n',
  'sys/class/hwmon/hwmon0/name': 'not read while there are zones\n',
  'sys/class/hwmon/hwmon0/temp1_input': '1\n'
}

const MONITORS = {
  'sys/class/thermal/cooling_device0/type': 'Processor\n',
  'sys/class/hwmon/hwmon0/name': 'gpu_thermal\n',
  'sys/class/hwmon/hwmon0/temp1_input': '41250\n',
  'sys/class/hwmon/hwmon0/temp2_input': '39000\n',
  'sys/class/hwmon/hwmon0/temp10_input': '1\n',
  'sys/class/hwmon/hwmon1/name': 'nvme\n',
  'sys/class/hwmon/hwmon1/temp1_input': '30000\n'
}

const PACKAGE = { name: 'thermal_zone0', type: 'x86_pkg_temp', temp: 48.5 }
const BOARD = { name: 'thermal_zone1', type: 'acpitz', temp: float(-1) }
const GPU_1 = { name: 'hwmon0_temp1_input', type: 'gpu_thermal', temp: 41.25 }
const GPU_2 = { name: 'hwmon0_temp2_input', type: 'gpu_thermal', temp: float(39) }
const NVME = { name: 'hwmon1_temp1_input', type: 'nvme', temp: float(30) }

function configuration(keys = ''): string {
  return `
[INPUT]
    name  thermal
    tag   heat
${keys}
[OUTPUT]
    name  collect
    match *
`
}

/** What the plugin itself says, after the two lines that every input starts with. */
function ownLines(log: readonly string[]): readonly string[] {
  return log.filter(line => line.includes('[input:thermal')).slice(2)
}

test('thermal sends a record for each thermal zone', async t => {
  const root = new SystemRoot(t, ZONES)
  const run = await startPipeline(configuration(), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(run.taken, [
    {
      tag: 'heat',
      events: [PACKAGE, BOARD].map(body => ({ time: [1700000001, 0], metadata: {}, body }))
    }
  ])
  assert.deepEqual(Object.keys(run.bodies[0] as object), ['name', 'type', 'temp'])
  await run.stop()
})

const TABLE: readonly [
  title: string,
  files: Record<string, string>,
  keys: string,
  bodies: object[]
][] = [
  ['zones by name', ZONES, '    name_regex zone1$', [BOARD]],
  ['zones by type', ZONES, '    type_regex ^x86', [PACKAGE]],
  ['no zone', ZONES, '    type_regex ^arm', []],
  ['monitors where there are no zones', MONITORS, '', [GPU_1, GPU_2, NVME]],
  ['monitors by name', MONITORS, '    name_regex hwmon1', [NVME]],
  ['monitors by type', MONITORS, '    type_regex gpu', [GPU_1, GPU_2]],
  ['nothing of a machine without sensors', {}, '', []]
]

for (const [title, files, keys, bodies] of TABLE) {
  test(`thermal sends ${title}`, async t => {
    const root = new SystemRoot(t, { ...files, 'sys/class/net/lo': '' })
    if (bodies.length === 0) root.write('sys/class/hwmon/hwmon0/name', '')
    const run = await startPipeline(configuration(keys), { root: root.path })
    run.clock.advance(1000)
    assert.deepEqual(run.bodies, bodies)
    await run.stop()
  })
}

test('thermal reads 32 devices at most', async t => {
  const files: Record<string, string> = {}
  for (let zone = 10; zone < 50; zone++) {
    files[`sys/class/thermal/thermal_zone${zone}/type`] = 'x\n'
    files[`sys/class/thermal/thermal_zone${zone}/temp`] = '1000'
  }
  const root = new SystemRoot(t, files)
  const run = await startPipeline(configuration(), { root: root.path })
  run.clock.advance(1000)
  assert.equal(run.bodies.length, 32)
  await run.stop()
})

test('thermal says when there is nothing to read, and when that changes', async t => {
  const root = new SystemRoot(t, {
    'sys/class/thermal/cooling_device0/type': '',
    'sys/class/hwmon/other': ''
  })
  const run = await startPipeline(configuration(), { root: root.path })
  run.clock.advance(1000)
  root.write('sys/class/thermal/thermal_zone3/type', 't\n')
  root.write('sys/class/thermal/thermal_zone3/temp', '1234\n')
  run.clock.advance(2000)
  assert.deepEqual(ownLines(run.log), [
    '[ warn] [input:thermal:thermal.0] thermal device file not found',
    '[ info] [input:thermal:thermal.0] the number of thermal devices changed 0 -> 1'
  ])
  assert.deepEqual(run.bodies, [
    { name: 'thermal_zone3', type: 't', temp: 1.234 },
    { name: 'thermal_zone3', type: 't', temp: 1.234 }
  ])
  await run.stop()
})

test('thermal runs without a pattern that is not valid', async t => {
  const root = new SystemRoot(t, ZONES)
  const run = await startPipeline(configuration('    type_regex ('), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(ownLines(run.log), [
    "[error] [input:thermal:thermal.0] invalid 'type_regex' config value"
  ])
  assert.deepEqual(run.bodies, [PACKAGE, BOARD])
  await run.stop()
})

test('thermal leaves out a device whose type it cannot read, and says so', async t => {
  const root = new SystemRoot(t, { ...ZONES, 'sys/class/thermal/thermal_zone4/temp': '1' })
  const run = await startPipeline(configuration('    name_regex zone[04]'), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(run.log.slice(-1), [
    `[error] [input:thermal:thermal.0] cannot read ${root.path}/sys/class/thermal/thermal_zone4/type`
  ])
  assert.deepEqual(run.bodies, [PACKAGE])
  await run.stop()
})
