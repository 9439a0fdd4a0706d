/**
 * What Fluent Bit declares about its plugins' options, recorded from `fluent-bit -J`, and how ours
 * compare.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Option, OptionTable } from '../src/config/options.ts'
import type { Plugin, PluginKind } from '../src/plugin/define.ts'
import { networkOptions } from '../src/plugin/generic_options.ts'

const RECORD = join(import.meta.dirname, '../test/parity/options.json')

/** Name, type and default of an option; null where there is no default. */
export type RecordedOption = readonly [name: string, type: string, fallback: string | null]

/**
 * By kind and plugin name, in Fluent Bit's order; without the keys that plugins of a kind share.
 */
export type RecordedPlugins = Readonly<
  Record<PluginKind, Readonly<Record<string, readonly RecordedOption[]>>>
>

/** The record in the repository. */
export function readRecord(): RecordedPlugins {
  return JSON.parse(readFileSync(RECORD, 'utf8')) as RecordedPlugins
}

interface PluginJson {
  readonly name: string
  readonly properties: Readonly<
    Record<string, readonly { name: string; type: string; default: string | null }[]>
  >
}

/** Asks a Fluent Bit for its options and writes them to the repository. */
export function renewRecord(program: string): void {
  const text = execFileSync(program, ['-J'], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const all = JSON.parse(text) as Record<'inputs' | 'filters' | 'outputs', readonly PluginJson[]>
  const lines = (['input', 'filter', 'output'] as const).map(kind => {
    const plugins = all[`${kind}s`]
      .filter(plugin => plugin.name !== 'lib')
      .map(plugin => `    ${JSON.stringify(plugin.name)}: ${JSON.stringify(ownOptions(plugin))}`)
    return `  "${kind}": {\n${plugins.join(',\n')}\n  }`
  })
  writeFileSync(RECORD, `{\n${lines.join(',\n')}\n}\n`)
}

const ADDRESS_KEYS = ['listen', 'host', 'port']

/** Without the keys that Fluent Bit repeats from its shared tables. */
function ownOptions({ properties }: PluginJson): RecordedOption[] {
  const isNetwork = properties['networking'] !== undefined
  const shared = new Set(properties['network_tls']?.map(option => option.name))
  return (properties['options'] ?? [])
    .filter(({ name }) => !shared.has(name) && !(isNetwork && ADDRESS_KEYS.includes(name)))
    .map(({ name, type, default: fallback }) => [name, type, fallback])
}

/** Fluent Bit reads these of some inputs and does not declare them. */
const UNDECLARED = /^input .* oauth2\./

/** One line for each option that only one side has, or whose type or default differs. */
export function compareOptions(plugin: Plugin, theirs: readonly RecordedOption[]): string[] {
  const { kind, name: owner, options } = plugin
  const byName = (table: OptionTable): Map<string, Option<unknown>> =>
    new Map(Object.entries(table).map(([name, option]) => [name.toLowerCase(), option]))
  const known = byName(options)
  // Fluent Bit shows some of what plugins share with the plugin's own.
  const shared = byName(networkOptions(plugin))
  const lines: string[] = []
  for (const [name, type, fallback] of theirs) {
    const own = known.get(name.toLowerCase()) ?? shared.get(name.toLowerCase())
    known.delete(name.toLowerCase())
    if (own === undefined) {
      lines.push(`\`${name}\` is missing`)
      continue
    }
    if (own.type !== type) lines.push(`\`${name}\` is of type ${own.type}, there ${type}`)
    if ((own.default ?? null) !== fallback) {
      lines.push(`\`${name}\` defaults to ${show(own.default)}, there ${show(fallback)}`)
    }
  }
  for (const [name, option] of known) {
    // What is refused here belongs to another platform, as in the recorded program.
    const isTheirs = option.refused !== undefined || UNDECLARED.test(`${kind} ${owner} ${name}`)
    if (!isTheirs) lines.push(`\`${name}\` is Spillway's own`)
  }
  return lines
}

function show(fallback: string | null | undefined): string {
  return fallback === null || fallback === undefined ? 'nothing' : `\`${fallback}\``
}
