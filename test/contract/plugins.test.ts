/** What holds for every shipped plugin, without its author having to test it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { skipChecked } from '../../src/codec/msgpack_reader.ts'
import { defineOutput, type Plugin, type PluginKind } from '../../src/plugin/define.ts'
import { OK } from '../../src/plugin/delivery.ts'
import { FILTER_OPTIONS, INPUT_OPTIONS, OUTPUT_OPTIONS } from '../../src/plugin/generic_options.ts'
import { SHIPPED } from '../../src/plugins/all.ts'
import { EncodedInput, encodeEvent } from '../harness/odd_events.ts'
import { freePort } from '../harness/peers.ts'
import { checkConfiguration, startPipeline } from '../harness/pipeline.ts'

const KINDS: readonly PluginKind[] = ['input', 'filter', 'output']
const ROOT = join(import.meta.dirname, '../..')

/** The keys without which a plugin does not start. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  'input collectd': ['typesdb /dev/null'],
  'input exec': ['command echo hello'],
  'input head': ['file fluent-bit.conf'],
  'input health': ['host 127.0.0.1', 'port 1'],
  'input netif': ['interface lo'],
  'input proc': ['proc_name none'],
  'input syslog': ['mode tcp', 'parser any'],
  'input tail': ['path *.none'],
  'filter nest': ['operation nest', 'nest_under none', 'wildcard none*'],
  'filter parser': ['key_name none', 'parser any'],
  'filter rewrite_tag': ['rule $none ^x$ other false'],
  'filter type_converter': ['int_key none other string'],
  'filter record_modifier': ['remove_key none'],
  'filter expect': ['key_not_exists none'],
  'output plot': ['key none']
}

interface Entry {
  readonly kind: PluginKind
  readonly name: string
  readonly plugin: Plugin
  /** Where a server is to listen. */
  readonly address: readonly string[]
}

const plugins: Entry[] = []
for (const kind of KINDS) {
  for (const [name, load] of Object.entries(SHIPPED[kind])) {
    const plugin = await load()
    const isServer = plugin.network === 'server' || plugin.network === 'http_server'
    const listen = kind === 'output' ? 'host' : 'listen'
    const address = isServer ? [`${listen} 127.0.0.1`, `port ${await freePort()}`] : []
    plugins.push({ kind, name, plugin, address })
  }
}

/** A section with the keys that the plugin needs, and more. */
function section(
  { kind, name, address }: Omit<Entry, 'plugin'>,
  more: readonly string[] = []
): string {
  const match = kind === 'input' ? [] : ['match *']
  const required = REQUIRED[`${kind} ${name}`] ?? []
  const keys = [`name ${name}`, ...match, ...address, ...required, ...more]
  return `[${kind.toUpperCase()}]\n${keys.map(key => `    ${key}\n`).join('')}`
}

const SERVICE = '[SERVICE]\n    parsers_file parsers.conf\n'
const FILES = { 'parsers.conf': '[PARSER]\n    name any\n    format json\n' }

test('each kind lists its plugins in alphabetical order, under the names that they have', () => {
  for (const kind of KINDS) {
    const names = Object.keys(SHIPPED[kind])
    assert.deepEqual(names, names.toSorted())
  }
  for (const { kind, name, plugin } of plugins) {
    assert.deepEqual([plugin.kind, plugin.name], [kind, name])
  }
})

test('each file of the plugin folders is listed', () => {
  for (const kind of KINDS) {
    const entries = readdirSync(join(ROOT, `src/plugins/${kind}s`), { withFileTypes: true })
    const names = entries
      .map(entry => entry.name)
      .filter(name => !name.endsWith('.test.ts'))
      .map(name => name.replace(/\.ts$/, ''))
    assert.deepEqual(names.toSorted(), Object.keys(SHIPPED[kind]).toSorted())
  }
})

for (const entry of plugins) {
  const { kind, name, plugin } = entry
  const title = `${kind} ${name}`

  test(`${title}: says what it does, where it comes from, and has a page`, () => {
    assert.match(plugin.summary, /^[A-Z][^\n]{3,80}[^.\n]$/)
    assert.match(plugin.upstream ?? '', /^plugins\/(in|filter|out)_\w+\/\w+\.c$/)
    assert.ok(existsSync(join(ROOT, `docs/plugins/${kind}s/${name}.md`)))
  })

  test(`${title}: every option is described, and its default can be read`, () => {
    const generic = { input: INPUT_OPTIONS, filter: FILTER_OPTIONS, output: OUTPUT_OPTIONS }[kind]
    for (const [key, option] of Object.entries(plugin.options)) {
      assert.match(option.doc, /^\S[^\n]*[^.\s]$/, key)
      assert.ok(!Object.hasOwn(generic, key.toLowerCase()), `${key} is a generic key`)
      if (option.default !== undefined) assert.equal(option.parse(option.default).ok, true, key)
    }
  })

  test(`${title}: a misspelt key is refused with its place and the known keys`, async () => {
    const text = `${SERVICE}${section(entry, ['zzzzzz 1'])}`
    const { errors } = await checkConfiguration(text, { files: FILES })
    assert.equal(errors.length, 1, errors.join('\n'))
    assert.match(
      errors[0],
      /^fluent-bit\.conf:\d+:5: Cannot set "zzzzzz" on (input|filter|output) /
    )
    for (const key of Object.keys(plugin.options)) assert.ok(errors[0].includes(key), key)
  })

  test(`${title}: starts and stops, a second stop being the same one`, async () => {
    const run = await startPipeline(`${SERVICE}${section(entry)}`, { files: FILES })
    const first = run.pipeline.stop()
    assert.equal(run.pipeline.stop(), first)
    assert.equal(await run.stop(), 0)
  })
}

/** Events that a careless plugin loses or changes; each as bytes. */
const ODD: readonly Buffer[] = [
  encodeEvent([1, 0], {}),
  encodeEvent([2, 999_999_999], { text: 'é\u0000"\\', float: 1.5, null: null, yes: true }),
  encodeEvent(
    [3, 1],
    [
      ['twice', 1],
      ['twice', 2],
      [7, 'a number as key'],
      [null, [1, [2, {}]]]
    ]
  ),
  encodeEvent([4, 0], {
    int: -9007199254740993n,
    uint: 18446744073709551615n,
    ['__proto__']: { a: 1 }
  }),
  encodeEvent([5, 0], { bytes: Buffer.of(0xff, 0xfe), long: 'x'.repeat(70_000) }, { meta: [1] })
]

for (const entry of plugins.filter(({ kind }) => kind === 'filter')) {
  test(`filter ${entry.name}: what it is not told to change leaves byte for byte, and nothing is lost`, async () => {
    const input = new EncodedInput()
    const taken: Buffer[] = []
    const keep = defineOutput({
      name: 'keep',
      summary: 'Keeps the bytes',
      options: {},
      create: () => ({
        flush(chunk) {
          taken.push(Buffer.from(chunk.bytes))
          return OK
        }
      })
    })
    const run = await startPipeline(
      `${SERVICE}[INPUT]\n    name encoded\n    tag t\n${section(entry, entry.name === 'throttle' ? ['rate 100'] : [])}[OUTPUT]\n    name keep\n    match *\n`,
      { files: FILES, plugins: [input.plugin, keep] }
    )
    // As in Fluent Bit, record_modifier gives up records without any key.
    const events = entry.name === 'record_modifier' ? ODD.slice(1) : ODD
    input.push('t', ...events)
    run.flush()
    assert.deepEqual(Buffer.concat(taken), Buffer.concat(events))
    assert.equal(
      run.counter('spillway_filter_failed_records_total', { name: `${entry.name}.0` }),
      0
    )
    await run.stop()
  })
}

/** Reads everything and says nothing; gives its port. */
async function silentServer(t: TestContext): Promise<number> {
  const server = createTcpServer(socket => {
    socket.on('error', () => undefined)
    socket.resume()
    t.after(() => socket.destroy())
  })
  t.after(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A server that takes everything; gives its port. */
async function takingServer(t: TestContext): Promise<number> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end())
  })
  t.after(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

for (const entry of plugins.filter(({ kind }) => kind === 'output')) {
  test(`output ${entry.name}: takes odd events without an error of its own`, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'spillway-contract-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const input = new EncodedInput()
    const keys: Readonly<Record<string, readonly string[]>> = {
      file: [`path ${folder}`, 'file out.txt'],
      http: entry.name === 'http' ? [`port ${await takingServer(t)}`] : [],
      plot: [`file ${folder}/out.txt`],
      syslog: [`port ${await silentServer(t)}`, 'mode tcp']
    }
    const isAnswered = entry.plugin.network !== 'client' || entry.name === 'http'
    const remote = [`port ${await silentServer(t)}`, 'retry_limit no_retries']
    const more = keys[entry.name] ?? (isAnswered ? [] : remote)
    const run = await startPipeline(
      `[INPUT]\n    name encoded\n    tag t\n${section(entry, more)}`,
      { plugins: [input.plugin] }
    )
    input.push('t', ...ODD)
    run.flush()
    await run.until(() => {
      // What a protocol waits for does not come.
      if (!isAnswered) run.clock.advance(1000)
      return run.pipeline.pendingTasks === 0
    })
    assert.deepEqual(
      run.log.filter(
        line => line.includes('flush failed') || (isAnswered && line.includes('retry'))
      ),
      []
    )
    await run.stop()
  })
}

for (const entry of plugins.filter(({ kind }) => kind === 'input')) {
  test(`input ${entry.name}: gives whole events, and none after it was stopped`, async () => {
    const taken: Buffer[] = []
    const check = defineOutput({
      name: 'check',
      summary: 'Checks that events are whole',
      options: {},
      create: () => ({
        flush({ bytes, events }) {
          let count = 0
          for (let at = 0; at < bytes.length; count++) {
            at = skipChecked(bytes, at, bytes.length)
            assert.ok(at > 0)
          }
          assert.equal(count, events)
          taken.push(Buffer.from(bytes))
          return OK
        }
      })
    })
    const run = await startPipeline(
      `${SERVICE}${section(entry)}[OUTPUT]\n    name check\n    match *\n`,
      { plugins: [check], files: FILES }
    )
    await run.clock.advanceSlowly(3000)
    await run.stop()
    const { length } = taken
    await run.clock.advanceSlowly(3000)
    assert.equal(taken.length, length)
    assert.deepEqual(
      run.log.filter(line => line.includes('flush failed')),
      []
    )
  })
}
