import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { sendDatagrams } from '../../../../test/harness/datagrams.ts'
import { freePort } from '../../../../test/harness/peers.ts'
import { startPipeline, type TestPipeline } from '../../../../test/harness/pipeline.ts'
import { seededRandom } from '../../../../test/harness/random.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { decodeEvents } from '../../../record/event.ts'
import { PacketDecoder } from './packet_decoder.ts'
import { loadTypes } from './types_db.ts'

/** As in collectd's own file. */
const TYPES = `# comment
absolute                value:ABSOLUTE:0:U
counter                 value:COUNTER:U:U
cpu                     value:DERIVE:0:U

gauge                   value:GAUGE:U:U
if_octets               rx:DERIVE:0:U, tx:DERIVE:0:U
load                    shortterm:GAUGE:0:5000, midterm:GAUGE:0:5000, longterm:GAUGE:0:5000
`

function part(type: number, content: Uint8Array): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt16BE(type, 0)
  head.writeUInt16BE(content.length + 4, 2)
  return Buffer.concat([head, content])
}

/** A text part; the characters are bytes. */
function text(type: number, latin1: string): Buffer {
  return part(type, Buffer.from(`${latin1}\0`, 'latin1'))
}

function number(type: number, value: bigint): Buffer {
  const content = Buffer.alloc(8)
  content.writeBigUInt64BE(value)
  return part(type, content)
}

type Value =
  | readonly [kind: 'counter' | 'derive' | 'absolute', value: bigint]
  | readonly ['gauge', number]
const KINDS = ['counter', 'gauge', 'derive', 'absolute']

function values(...list: readonly Value[]): Buffer {
  const content = Buffer.alloc(2 + list.length * 9)
  content.writeUInt16BE(list.length)
  for (const [index, [kind, value]] of list.entries()) {
    const at = 2 + list.length + index * 8
    content[2 + index] = KINDS.indexOf(kind)
    if (kind === 'gauge') content.writeDoubleLE(value, at)
    else content.writeBigUInt64BE(BigInt.asUintN(64, value), at)
  }
  return part(6, content)
}

const hosted = [text(0, 'host1'), number(1, 1_700_000_000n), number(7, 10n)]
const HEAD = Buffer.concat([...hosted, text(2, 'cpu'), text(3, '0')])
const GAUGE = text(4, 'gauge')
const HEAD_JSON =
  '"time":1700000000.0,"interval":10.0,"plugin":"cpu","plugin_instance":"0","host":"host1"'
const HR = 2n ** 30n
/** One gauge: what 0 divided by 0 gives on x86. */
const NEGATIVE_NAN = Buffer.from('000101000000000000f8ff', 'hex')

/** Packets and what Fluent Bit 5.1.1 printed for them. */
const PACKETS: readonly (readonly [packet: readonly Buffer[], ...json: string[]])[] = [
  [
    [HEAD, text(4, 'cpu'), text(5, 'idle'), values(['derive', 5n])],
    `{"type":"cpu","type_instance":"idle",${HEAD_JSON},"value":5}`
  ],
  [
    [HEAD, text(4, 'cpu'), text(5, 'idle'), values(['derive', -5n])],
    `{"type":"cpu","type_instance":"idle",${HEAD_JSON},"value":-5}`
  ],
  [
    [
      text(0, 'h'),
      number(8, 1_700_000_000n * HR + HR / 2n),
      number(9, 10n * HR),
      text(2, 'load'),
      text(3, ''),
      text(4, 'load'),
      text(5, ''),
      values(['gauge', 0.5], ['gauge', 1], ['gauge', Number.NaN])
    ],
    '{"type":"load","type_instance":"","time":1700000000.5,"interval":10.0,"plugin":"load","plugin_instance":"","host":"h","shortterm":0.5,"midterm":1.0,"longterm":nan}'
  ],
  [
    [
      HEAD,
      text(4, 'counter'),
      values(['counter', 2n ** 64n - 1n]),
      GAUGE,
      values(['gauge', 7]),
      text(4, 'absolute'),
      values(['absolute', 2n ** 63n])
    ],
    `{"type":"counter",${HEAD_JSON},"value":18446744073709551615}`,
    `{"type":"gauge",${HEAD_JSON},"value":7.0}`,
    `{"type":"absolute",${HEAD_JSON},"value":9223372036854775808}`
  ],
  [[GAUGE, values(['gauge', 1.5])], '{"type":"gauge","value":1.5}'],
  // Up to three bytes at the end are no part.
  [
    [HEAD, GAUGE, values(['gauge', 5.5]), Buffer.from([0, 6, 0])],
    `{"type":"gauge",${HEAD_JSON},"value":5.5}`
  ],
  // A signature is not checked.
  [
    [part(0x200, Buffer.from(`${'x'.repeat(32)}user`)), HEAD, GAUGE, values(['gauge', 7.5])],
    `{"type":"gauge",${HEAD_JSON},"value":7.5}`
  ],
  [[part(0, Buffer.from('nonul')), GAUGE, values(['gauge', 8.5])], '{"type":"gauge","value":8.5}'],
  [[text(0, 'a\0b'), GAUGE, values(['gauge', 9.5])], '{"type":"gauge","host":"a","value":9.5}'],
  [[number(1, 0n), GAUGE, values(['gauge', 9.25])], '{"type":"gauge","value":9.25}'],
  [[part(1, Buffer.alloc(10)), GAUGE, values(['gauge', 10.5])], '{"type":"gauge","value":10.5}'],
  [
    [HEAD, GAUGE, number(1, 2n ** 64n - 1n), values(['gauge', 11.5])],
    `{"type":"gauge",${HEAD_JSON.replace('1700000000.0', '1.844674407370955e+19')},"value":11.5}`
  ],
  [
    [GAUGE, part(4, Buffer.from('gaugex')), values(['gauge', 13.5])],
    '{"type":"gauge","value":13.5}'
  ],
  [
    [
      text(0, '\xff\xe9'),
      text(4, 'if_octets'),
      values(['derive', 2n ** 53n + 1n], ['derive', -(2n ** 63n)])
    ],
    '{"type":"if_octets","host":"","rx":9007199254740993,"tx":-9223372036854775808}'
  ],
  [[GAUGE, values(['gauge', -0])], '{"type":"gauge","value":-0.0}'],
  [[GAUGE, values(['derive', 1n])], '{"type":"gauge","value":1}'],
  [[GAUGE, values(['gauge', Number.POSITIVE_INFINITY])], '{"type":"gauge","value":inf}'],
  [[GAUGE, part(6, NEGATIVE_NAN)], '{"type":"gauge","value":-nan}']
]

function folder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const path = mkdtempSync(join(tmpdir(), 'spillway-collectd-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content)
  return path
}

function configuration(port: number, typesdb: string, keys = ''): string {
  return `
[SERVICE]
    flush 1
[INPUT]
    name    collectd
    listen  127.0.0.1
    port    ${port}
    typesdb ${typesdb}
${keys}
[OUTPUT]
    match *
    name stdout
    format json_lines
    json_date_key false
`
}

async function start(
  t: TestContext,
  keys?: string
): Promise<{
  run: TestPipeline
  port: number
  send(...packets: (readonly Buffer[])[]): Promise<void>
}> {
  const port = await freePort()
  const typesdb = join(folder(t, { 'types.db': TYPES }), 'types.db')
  const run = await startPipeline(configuration(port, typesdb, keys))
  t.after(() => run.stop())
  return {
    run,
    port,
    send: (...packets) =>
      sendDatagrams(
        port,
        packets.map(parts => Buffer.concat(parts))
      )
  }
}

/** What the plugin itself says, after the two lines that every input starts with. */
function ownLines(run: TestPipeline): string[] {
  const prefix = '[input:collectd:collectd.0] '
  return run.log
    .filter(line => line.includes(prefix))
    .slice(2)
    .map(line => line.replace(prefix, ''))
}

function events(run: TestPipeline): number {
  return run.counter('fluentbit_input_records_total', { name: 'collectd.0' })
}

function dropped(run: TestPipeline, reason: string): [records: number, bytes: number] {
  const labels = { kind: 'input', name: 'collectd.0', reason }
  return [
    run.counter('spillway_dropped_records_total', labels),
    run.counter('spillway_dropped_bytes_total', labels)
  ]
}

test('collectd makes the records that Fluent Bit makes', async t => {
  const { run, send } = await start(t)
  const expected = PACKETS.flatMap(([, ...json]) => json)
  await send(...PACKETS.map(([packet]) => packet))
  await run.until(() => events(run) === expected.length)
  run.flush()
  assert.deepEqual(run.stdout.trimEnd().split('\n'), expected)
})

test('collectd says where it listens', async t => {
  const { run, port } = await start(t)
  assert.deepEqual(ownLines(run), [`[ info] start listening to 127.0.0.1:${port}`])
})

/** Parts that are no values; the packet has a value before and, where it can be found, one after them. */
const REFUSED: readonly (readonly [
  title: string,
  parts: readonly Buffer[],
  goesOn: boolean,
  reason: string,
  bytes: number,
  ...log: string[]
])[] = [
  [
    'an unknown type',
    [text(4, 'no\nsuch'), values(['gauge', 2]), GAUGE],
    true,
    'unknown_type',
    11,
    "[error] no such type found 'no.such'"
  ],
  [
    'more values than the type has',
    [values(['gauge', 2], ['gauge', 3])],
    true,
    'unknown_type',
    20,
    "[error] invalid value for 'gauge' (1 != 2)"
  ],
  [
    'a count that does not fit',
    [part(6, Buffer.from([0, 1, 1, 0, 0]))],
    true,
    'malformed',
    5,
    '[error] data corrupted (size=5, count=1)'
  ],
  [
    'values without a count',
    [part(6, Buffer.from([0]))],
    true,
    'malformed',
    1,
    '[error] data corrupted (size=1, count=0)'
  ],
  [
    'an unknown kind',
    [part(6, Buffer.from([0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0]))],
    true,
    'malformed',
    11,
    '[error] unknown data type 9'
  ],
  [
    'a part that is too short',
    [Buffer.from([0, 6, 0, 3])],
    false,
    'malformed',
    19,
    '[error] invalid part length (3, remaining 19)'
  ],
  [
    'a part that is too long',
    [Buffer.from([0, 6, 0, 200])],
    false,
    'malformed',
    19,
    '[error] invalid part length (200, remaining 19)'
  ],
  [
    'a time that is cut',
    [part(1, Buffer.from([1, 2]))],
    false,
    'malformed',
    21,
    '[error] data truncated (2 < 8)'
  ],
  ['a notification', [part(0x101, Buffer.alloc(8)), text(0x100, 'hello')], true, 'notification', 6],
  [
    'encrypted data',
    [part(0x210, Buffer.from('\0\x04userxxxxxxxx'))],
    true,
    'encrypted',
    14,
    '[error] encrypted data is passed over'
  ]
]
for (const [title, parts, goesOn, reason, bytes, ...log] of REFUSED) {
  test(`collectd counts ${title} and takes what it can`, async t => {
    const { run, send } = await start(t)
    await send(
      [GAUGE, values(['gauge', 1]), ...parts, values(['gauge', 4])],
      [GAUGE, values(['gauge', 5])]
    )
    await run.until(() => events(run) === (goesOn ? 3 : 2))
    run.flush()
    assert.equal(
      run.stdout,
      (goesOn ? [1, 4, 5] : [1, 5]).map(value => `{"type":"gauge","value":${value}.0}\n`).join('')
    )
    assert.deepEqual(dropped(run, reason), [1, bytes])
    assert.deepEqual(ownLines(run).slice(1), log)
  })
}

test('collectd counts values that have no type', async t => {
  const { run, send } = await start(t)
  await send([HEAD, values(['gauge', 1])], [GAUGE, values(['gauge', 5])], [values(['gauge', 6])])
  await run.until(() => dropped(run, 'malformed')[0] === 2)
  run.flush()
  assert.equal(run.stdout, '{"type":"gauge","value":5.0}\n')
  assert.deepEqual(ownLines(run).slice(1), ['[error] invalid data (type is NULL)'])
})

test('collectd counts what comes while it is paused', async t => {
  const { run, send } = await start(t, '    mem_buf_limit 1')
  await send([GAUGE, values(['gauge', 1])])
  await run.until(() => events(run) === 1)
  await send([GAUGE, values(['gauge', 2]), values(['gauge', 3])])
  await run.until(() => dropped(run, 'paused')[0] === 2)
  assert.deepEqual(dropped(run, 'paused'), [2, 40])
  assert.equal(events(run), 1)
})

/** Files of types, and the values that `probe` has by them; undefined where Fluent Bit refuses the file. */
const TYPE_FILES: readonly (readonly [title: string, file: string, names: string[] | string])[] = [
  ['values of one type', 'probe a:GAUGE:0:U\n', ['a']],
  ['values without commas', 'probe a:GAUGE:0:U b:GAUGE:0:U\n', ['a', 'b']],
  ['a last line without its end', 'probe a:GAUGE:0:U, b:GAUGE:0:U', ['a', 'b']],
  ['tabs', 'probe\t\ta:GAUGE:0:U,\tb:GAUGE:0:U\n', ['a', 'b']],
  ['CR LF', '# x\r\nprobe a:GAUGE:0:U\r\n', ['a']],
  ['a type that comes twice', 'probe a:G\nprobe b:G\n', ['b']],
  ['a last line without values', 'probe a:GAUGE:0:U\nfoo\n', ['a']],
  ['a last line with half a value', 'probe a:GAUGE:0:U\nfoo value\n', ['a']],
  ['a line without values', 'foo\nprobe a:G\n', "type 'foo' has no values"],
  ['a line with half a value', 'foo value\nprobe a:G\n', "cannot add value 'value'"]
]
for (const [title, file, names] of TYPE_FILES) {
  test(`collectd reads a file of types with ${title}`, t => {
    const path = join(folder(t, { db: file }), 'db')
    if (typeof names === 'string') {
      assert.throws(() => loadTypes(path), { message: `failed to parse '${path}': ${names}` })
      return
    }
    const read = loadTypes(path).get('probe')
    assert.deepEqual(
      read?.values.map(name => name.toString('latin1', 1)),
      names
    )
  })
}

test('collectd reads several files, the last one counts', async t => {
  const files = folder(t, { one: 'a x:G\nb x:G\n', two: 'b y:G\n' })
  const types = loadTypes(`${join(files, 'one')},${join(files, 'two')}`)
  const names = [...types].map(([type, data]) => [type, data.values[0]?.toString('latin1', 1)])
  assert.deepEqual(names, [
    ['a', 'x'],
    ['b', 'y']
  ])
})

test('collectd does not start without its types', async () => {
  await assert.rejects(startPipeline(configuration(1, '/nonexistent')), {
    message: "failed to load '/nonexistent'"
  })
})

test('collectd makes whole events of any bytes, or counts them', t => {
  const types = loadTypes(join(folder(t, { 'types.db': TYPES }), 'types.db'))
  let refused = 0
  const decoder = new PacketDecoder(types, { add: () => refused++ })
  const random = seededRandom(25826)
  const below = (limit: number): number => Math.floor(random() * limit)
  const packets = PACKETS.map(([packet]) => Buffer.concat(packet))
  for (let round = 0; round < 20_000; round++) {
    const packet = Buffer.concat([
      packets[below(packets.length)] ?? Buffer.alloc(0),
      packets[below(packets.length)] ?? Buffer.alloc(0)
    ])
    for (let change = below(4); change > 0; change--) packet[below(packet.length)] = below(256)
    const start = random() < 0.2 ? below(packet.length) : 0
    const cut = random() < 0.3 ? start + below(packet.length - start) : packet.length
    const out = new MsgpackWriter(64)
    const count = decoder.decode(packet.subarray(start, cut), 1_700_000_000_000, out)
    const written = [...decodeEvents(out.written())]
    assert.equal(written.length, count, `round ${round}`)
    assert.ok(written.every(({ body }) => body instanceof Map))
  }
  assert.ok(refused > 1000)
})

test('collectd takes a packet that is cut at any byte', t => {
  const types = loadTypes(join(folder(t, { 'types.db': TYPES }), 'types.db'))
  const decoder = new PacketDecoder(types, { add: () => undefined })
  const packet = Buffer.concat([HEAD, GAUGE, values(['gauge', 1]), values(['gauge', 2])])
  const first = packet.length - 15
  for (let length = 0; length <= packet.length; length++) {
    const out = new MsgpackWriter(64)
    const count = decoder.decode(packet.subarray(0, length), 1_700_000_000_000, out)
    assert.equal(count, length === packet.length ? 2 : length >= first ? 1 : 0)
    assert.equal([...decodeEvents(out.written())].length, count)
  }
})
