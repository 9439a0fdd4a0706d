/**
 * The group of endpoints that the key `upstream` of an output names: in a file of its own, or under `upstream_servers`
 * of the configuration.
 * Source: Fluent Bit 5.1.1 src/flb_upstream_ha.c. Spillway's own: `mode`, `eject_after` and `eject_time` of the group.
 */
import type { Diagnostics, Location } from '../config/diagnostics.ts'
import type { Environment } from '../config/env.ts'
import type { Section } from '../config/model.ts'
import { choice, int, type OptionTable, seconds, text, type Values } from '../config/options.ts'
import { readUpstreamFile } from '../config/read.ts'
import { resolveEntries } from '../config/resolve.ts'
import { TLS_OPTIONS } from '../plugin/generic_options.ts'
import type { UpstreamGroup, UpstreamNode } from './instance.ts'

/** Where groups come from. */
export interface UpstreamSources {
  /** Those of the configuration itself. */
  readonly sections: readonly Section[]
  readonly workingDirectory: string
  /** The directory of the main configuration. */
  readonly baseDirectory: string
  readonly environment: Environment
  readonly diagnostics: Diagnostics
  /** See `ReadOptions`. */
  readonly sources?: Set<string>
}

const GROUP_OPTIONS = {
  name: text({ doc: 'Name of the group' }),
  mode: choice(['round_robin', 'failover'], {
    default: 'round_robin',
    doc: 'round_robin sends to one node after the other, failover to the first that works'
  }),
  eject_after: int({ default: '3', doc: 'Failures in a row after which a node is left out' }),
  eject_time: seconds({ default: '5s', doc: 'Time that a node is left out; it doubles to 60s' })
}

const NODE_OPTIONS = {
  name: text({ doc: 'Name of the node' }),
  host: text({ doc: 'Address of the node' }),
  port: int({ doc: 'Port of the node' }),
  ...TLS_OPTIONS
}

/**
 * Finds and reads a group.
 *
 * @param own The plugin's table: a node may have values of its own for these keys.
 * @returns Undefined when there is none that can be used; the diagnostics say why.
 */
export function upstreamGroup(
  name: string,
  at: Location | undefined,
  own: OptionTable,
  sources: UpstreamSources
): UpstreamGroup | undefined {
  const { workingDirectory, baseDirectory, diagnostics } = sources
  const found = sources.sections.find(section => nameOf(section) === name)
  const read = sources.sources === undefined ? {} : { sources: sources.sources }
  const files = { workingDirectory, baseDirectory, diagnostics, at, ...read }
  const section = found ?? readUpstreamFile(name, files)[0]
  if (section === undefined) return undefined
  const values = resolve(section, GROUP_OPTIONS, {}, sources).values
  const group = values as Values<typeof GROUP_OPTIONS>
  const nodes = section.groups.map(node => nodeOf(node, own, sources))
  if (nodes.length === 0) {
    diagnostics.error(
      'CFG_MISSING_KEY',
      `Cannot use upstream "${name}": it has no nodes`,
      section.at
    )
    return undefined
  }
  return {
    mode: group.mode,
    ejectAfter: Math.max(group.eject_after, 1),
    ejectMs: Math.max(group.eject_time, 1) * 1000,
    nodes
  }
}

function nodeOf(node: Section, own: OptionTable, sources: UpstreamSources): UpstreamNode {
  const { values, written } = resolve(node, NODE_OPTIONS, own, sources)
  const properties: Record<string, unknown> = {}
  for (const { key } of written) {
    if (!Object.hasOwn(NODE_OPTIONS, key)) properties[key] = values[key]
  }
  return { values, properties }
}

function resolve(
  section: Section,
  table: OptionTable,
  more: OptionTable,
  { environment, diagnostics }: UpstreamSources
): ReturnType<typeof resolveEntries> {
  const owner = `upstream ${nameOf(section) ?? ''}`.trim()
  const own = { ...more, ...table }
  const names = new Set(Object.keys(own).map(name => name.toLowerCase()))
  // Fluent Bit keeps other keys of a node for whoever may ask for them.
  const entries = Map.groupBy(section.entries, ({ key }) => names.has(key.toLowerCase()))
  for (const { key, at } of entries.get(false) ?? []) {
    diagnostics.warning('CFG_UNKNOWN_KEY', `Unknown key "${key}" on ${owner} has no effect`, at)
  }
  return resolveEntries(entries.get(true) ?? [], {
    owner,
    own,
    generic: {},
    structural: new Set(),
    unknown: 'error',
    environment,
    diagnostics
  })
}

function nameOf(section: Section): string | undefined {
  const value = section.entries.find(entry => entry.key === 'name')?.value
  return value?.kind === 'scalar' ? value.text : undefined
}
