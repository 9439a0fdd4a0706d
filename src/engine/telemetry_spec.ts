/**
 * What `telemetry` of the service section and of inputs says: `metrics.logs.tag_records`, and nothing else so far.
 * Source: Fluent Bit 5.1.1 src/flb_config.c config_apply_telemetry_block(), input_apply_telemetry_block().
 */
import type { Diagnostics, Location } from '../config/diagnostics.ts'
import type { Environment } from '../config/env.ts'
import type { ConfigNode, MapEntry, MapNode } from '../config/model.ts'
import { expandScalar } from '../config/resolve.ts'
import { parseBoolean } from '../config/units.ts'

/** Limits of the series that count records by tag; 0 and less is none. */
export interface TagRecordsLimits {
  readonly seriesMax: number
  /** Bytes of a tag. */
  readonly tagBytesMax: number
}

export interface TagRecordsSettings extends TagRecordsLimits {
  readonly isOn: boolean
}

const PATH = ['metrics', 'logs', 'tag_records'] as const

export class TelemetryReader {
  readonly #environment: Environment
  readonly #diagnostics: Diagnostics

  constructor(environment: Environment, diagnostics: Diagnostics) {
    this.#environment = environment
    this.#diagnostics = diagnostics
  }

  /** The settings of the service section; mistakes are errors, as in Fluent Bit. */
  service(entries: readonly MapEntry[]): TagRecordsSettings {
    const settings = { isOn: false, seriesMax: 500, tagBytesMax: 128 }
    for (const { key, writtenKey, value, at } of entries) {
      if (key.startsWith('telemetry.')) this.#refuse(writtenKey, 'a nested block', at)
      if (key !== 'telemetry') continue
      for (const entry of this.#tagRecords(value)) {
        const name = entry.key.toLowerCase()
        if (name === 'enabled') settings.isOn = this.#flag(entry)
        else if (name === 'max_series') settings.seriesMax = this.#int(entry)
        else if (name === 'max_tag_length') settings.tagBytesMax = this.#int(entry)
        else this.#unknown(entry, [...PATH], ['enabled', 'max_series', 'max_tag_length'])
      }
    }
    return settings
  }

  /** What an input says; undefined where the service section decides. */
  input(entries: readonly MapEntry[]): boolean | undefined {
    const block = entries.find(({ key }) => key === 'telemetry')
    if (block === undefined) return undefined
    let isOn: boolean | undefined
    for (const entry of this.#tagRecords(block.value)) {
      if (entry.key.toLowerCase() === 'enabled') isOn = this.#flag(entry)
      else this.#unknown(entry, [...PATH], ['enabled'])
    }
    return isOn
  }

  /** The entries of the innermost map; none where the block ends before it. */
  #tagRecords(block: ConfigNode): readonly MapEntry[] {
    let node: MapNode | undefined = this.#map(block, [])
    for (const [depth, name] of PATH.entries()) {
      const path = PATH.slice(0, depth)
      let next: ConfigNode | undefined
      for (const entry of node?.entries ?? []) {
        if (entry.key.toLowerCase() === name) next = entry.value
        else this.#unknown(entry, path, [name])
      }
      if (next === undefined) return []
      node = this.#map(next, [...path, name])
    }
    return node?.entries ?? []
  }

  #map(node: ConfigNode, path: readonly string[]): MapNode | undefined {
    if (node.kind === 'map') return node
    this.#refuse(pathText(path), 'a nested block', node.at)
    return undefined
  }

  #flag({ key, value, at }: MapEntry): boolean {
    const text = this.#text(value)
    const flag = text === '1' || text === '0' ? text === '1' : parseBoolean(text)
    if (flag === undefined) this.#refuse(pathText([...PATH, key]), 'on or off', at)
    return flag ?? false
  }

  #int({ key, value, at }: MapEntry): number {
    const text = this.#text(value).trim()
    const number = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : Number.NaN
    if (Math.abs(number) <= 2_147_483_647) return number
    this.#refuse(pathText([...PATH, key]), 'an integer', at)
    return 0
  }

  #text(node: ConfigNode): string {
    return node.kind === 'scalar' ? expandScalar(node, this.#environment, this.#diagnostics) : ''
  }

  #refuse(key: string, wanted: string, at: Location): void {
    this.#diagnostics.error('CFG_BAD_VALUE', `Cannot use "${key}": it must be ${wanted}`, at)
  }

  #unknown({ key, at }: MapEntry, path: readonly string[], known: readonly string[]): void {
    const message = `Unknown key "${key}" in "${pathText(path)}": known keys are ${known.join(', ')}`
    this.#diagnostics.error('CFG_UNKNOWN_KEY', message, at)
  }
}

function pathText(path: readonly string[]): string {
  return ['telemetry', ...path].join('.')
}
