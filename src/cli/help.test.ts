import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { VERSION } from '../base/version.ts'
import {
  generalHelp,
  type HelpOption,
  type HelpOptions,
  type HelpPlugin,
  type OptionSchema,
  pluginHelp,
  type PluginSchema,
  pluginSchema,
  schema,
  type SharedOptions
} from './help.ts'

function recorded(file: string): string {
  return readFileSync(new URL(`../../test/parity/help/${file}`, import.meta.url), 'utf8')
}

function table(
  options: readonly OptionSchema[] | undefined,
  absent: string | undefined
): HelpOptions | undefined {
  if (options === undefined) return undefined
  const entries = options.map((option): [string, HelpOption] => [
    option.name,
    { type: option.type, default: option.default ?? absent, doc: option.description }
  ])
  return Object.fromEntries(entries)
}

/**
 * The tables that Fluent Bit's own JSON describes; `absent` stands where an option has no default.
 */
function tables(
  from: PluginSchema,
  absent?: string
): { plugin: HelpPlugin; shared: SharedOptions } {
  const { global_options, options, networking, network_tls } = from.properties
  const plugin = {
    kind: from.type,
    name: from.name,
    summary: from.description,
    options: table(options, absent) ?? {}
  }
  const shared = {
    global: table(global_options, absent),
    networking: table(networking, absent),
    networkTls: table(network_tls, absent)
  }
  return { plugin, shared }
}

for (const name of ['tail', 'grep', 'content_modifier', 'tcp']) {
  const theirs = JSON.parse(recorded(`${name}.json`)) as PluginSchema

  test(`the JSON help of ${name} has Fluent Bit's keys and order`, () => {
    const { plugin, shared } = tables(theirs)
    const [text] = recorded(`${name}.json`).split('\n')
    assert.equal(JSON.stringify(pluginSchema(plugin, shared)), text)
  })

  test(`the text help of ${name} has Fluent Bit's layout`, () => {
    // Fluent Bit prints "default: default" for an option without a default; Spillway prints none.
    const { plugin, shared } = tables(theirs, 'default')
    assert.equal(pluginHelp(plugin, shared, true), recorded(`${name}.txt`))
  })
}

test('help that does not go to a terminal has no escape codes', () => {
  const options = { path: { type: 'string', default: undefined, doc: 'Path of the file' } }
  const plugin: HelpPlugin = { kind: 'input', name: 'tail', summary: 'Tail files', options }
  assert.equal(
    pluginHelp(plugin, {}, false),
    `HELP
tail input plugin

DESCRIPTION
Tail files

OPTIONS
path  Path of the file
      > type: string

`
  )
})

test('host and port are shown before the options of the plugin', () => {
  const option = (doc: string): HelpOption => ({ type: 'string', default: '', doc })
  const plugin: HelpPlugin = {
    kind: 'output',
    name: 'tcp',
    summary: 'TCP Output',
    options: { format: option('Format') }
  }
  const address = { host: option('Host Address') }
  const { properties } = pluginSchema(plugin, { address })
  assert.deepEqual(
    properties['options'].map(({ name, default: text }) => [name, text]),
    [
      ['host', ''],
      ['format', '']
    ]
  )
})

test('the whole schema lists the plugins by kind', () => {
  const plugin = (kind: HelpPlugin['kind'], name: string): PluginSchema =>
    pluginSchema({ kind, name, summary: '', options: {} }, {})
  const all = [plugin('output', 'stdout'), plugin('input', 'tail'), plugin('input', 'dummy')]
  assert.deepEqual(schema(all), {
    'fluent-bit': { version: '5.1.1', schema_version: '1', os: process.platform },
    spillway: { version: VERSION },
    customs: [],
    inputs: [all[1], all[2]],
    processors: [],
    filters: [],
    outputs: [all[0]]
  })
})

test('the general help lists every option, then the plugins of each kind', () => {
  const text = generalHelp({
    program: 'spillway',
    bold: false,
    plugins: {
      input: [
        { name: 'tail', summary: 'Tail files' },
        { name: 'process_exporter_metrics', summary: 'Process metrics' }
      ],
      processor: [{ name: 'labels', summary: 'Labels' }],
      filter: [{ name: 'grep', summary: 'Keep or drop' }],
      output: [{ name: 'stdout', summary: 'Print' }]
    }
  })
  const lines = text.split('\n')
  assert.deepEqual(lines.slice(0, 5), [
    'Usage: spillway [OPTION]',
    '',
    'Available Options',
    '  -b, --storage_path=PATH specify a storage buffering path',
    '  -c, --config=FILE       specify an optional configuration file'
  ])
  assert.ok(lines.includes('      --strict            treat configuration warnings as errors'))
  assert.deepEqual(lines.slice(lines.indexOf('Inputs') - 1), [
    '',
    'Inputs',
    '  tail                    Tail files',
    '  process_exporter_metrics Process metrics',
    '',
    'Processors',
    '  labels                  Labels',
    '',
    'Filters',
    '  grep                    Keep or drop',
    '',
    'Outputs',
    '  stdout                  Print',
    '',
    'Internal',
    ' Event Loop  = libuv',
    ` Runtime     = Node.js ${process.version}`,
    ''
  ])
})

test('the general help marks its headings on a terminal as Fluent Bit does', () => {
  const plugins = { input: [], processor: [], filter: [], output: [] }
  const text = generalHelp({ program: 'x', bold: true, plugins })
  assert.ok(text.startsWith('Usage: x [OPTION]\n\n\u001b[1mAvailable Options\u001b[0m\n  -b'))
  assert.ok(text.includes('\n\n\u001b[1mInputs\u001b[0m\n'))
})
