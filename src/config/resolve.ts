/**
 * Checks the entries of a section against option tables and turns them into values. Every mistake becomes a diagnostic
 * with its place; what Fluent Bit accepts in silence becomes a warning.
 */
import { suggest } from '../base/suggest.ts'
import type { Diagnostics, Location } from './diagnostics.ts'
import type { Environment } from './env.ts'
import type { ConfigNode, MapEntry, ScalarNode } from './model.ts'
import type { Option, OptionTable } from './options.ts'

/** One value of one key, after `${NAME}` was expanded; a list in YAML gives several. */
export interface ResolvedProperty {
  /** The option's name as its table spells it; for a prefix option the key as written. */
  readonly key: string
  readonly text: string
  readonly at: Location
}

export interface ResolvedValues {
  /** Values by option name, for every option of every table. */
  readonly values: Readonly<Record<string, unknown>>
  /** What was written, in the order of the configuration, defaults not included. */
  readonly written: readonly ResolvedProperty[]
}

/** How the values of a kind of section are to be read. */
export interface ResolveRules {
  /** `input tail`, for messages. */
  readonly owner: string
  /** Keys of the plugin itself: a repeat is an error and an unknown key too. */
  readonly own: OptionTable
  /** Keys that every section of the kind has: a repeat overwrites. */
  readonly generic: OptionTable
  /** Entries that the caller reads itself (`name`, `processors`, …). */
  readonly structural: ReadonlySet<string>
  /** What to do with a key that no table has: an error, or a warning for the service section. */
  readonly unknown: 'error' | 'warning'
  readonly environment: Environment
  readonly diagnostics: Diagnostics
}

/** Resolves the entries of one section. Never throws: what cannot be read gets the option's default. */
export function resolveEntries(entries: readonly MapEntry[], rules: ResolveRules): ResolvedValues {
  const reader = new EntryReader(rules)
  for (const entry of entries) {
    if (!rules.structural.has(entry.key)) reader.read(entry)
  }
  return reader.finish()
}

/** Expands `${NAME}` and warns of names that are not set. */
export function expandScalar(
  node: ScalarNode,
  environment: Environment,
  diagnostics: Diagnostics
): string {
  const { text, unset } = environment.expand(node.text)
  for (const name of unset) {
    diagnostics.warning(
      'CFG_UNSET_VARIABLE',
      `Variable "\${${name}}" is used but not set: it stands for nothing here`,
      node.at
    )
  }
  return text
}

interface Found {
  readonly name: string
  readonly option: Option<unknown>
  readonly own: boolean
}

class EntryReader {
  readonly #rules: ResolveRules
  readonly #names = new Map<string, Found>()
  readonly #prefixes: Found[] = []
  readonly #values = new Map<string, unknown>()
  readonly #lists = new Map<string, unknown[]>()
  readonly #prefixed = new Map<string, Map<string, string>>()
  readonly #seen = new Map<string, Location>()
  readonly #written: ResolvedProperty[] = []

  constructor(rules: ResolveRules) {
    this.#rules = rules
    this.#addTable(rules.generic, false)
    this.#addTable(rules.own, true)
  }

  read(entry: MapEntry): void {
    const { diagnostics } = this.#rules
    const found = this.#find(entry.key)
    if (found === undefined) {
      this.#unknown(entry)
      return
    }
    if (found.option.refused !== undefined) {
      const message = `${this.#cannotSet(entry)}: ${found.option.refused}`
      diagnostics.error('CFG_REFUSED_KEY', message, entry.at, 'start')
      return
    }
    for (const node of scalars(entry.value)) {
      if (node.kind !== 'scalar') {
        const message = `${this.#cannotSet(entry)}: value must be text or a list of texts: current value is a ${node.kind}`
        diagnostics.error('CFG_BAD_VALUE', message, node.at)
      } else this.#take(entry, found, node)
    }
  }

  finish(): ResolvedValues {
    const values: Record<string, unknown> = {}
    for (const { name, option } of this.#names.values()) {
      values[name] = option.repeats
        ? (this.#lists.get(name) ?? [])
        : this.#values.has(name)
          ? this.#values.get(name)
          : defaultValue(option)
    }
    for (const { name } of this.#prefixes) values[name] = this.#prefixed.get(name) ?? new Map()
    return { values, written: this.#written }
  }

  #addTable(table: OptionTable, own: boolean): void {
    for (const [name, option] of Object.entries(table)) {
      const found = { name, option, own }
      if (option.prefix) this.#prefixes.push(found)
      else this.#names.set(name.toLowerCase(), found)
    }
  }

  #find(key: string): Found | undefined {
    const lower = key.toLowerCase()
    return (
      this.#names.get(lower) ??
      this.#prefixes.find(({ name }) => lower.startsWith(name.toLowerCase()))
    )
  }

  #take(entry: MapEntry, found: Found, node: ScalarNode): void {
    const { environment, diagnostics } = this.#rules
    const { option, name } = found
    const text = option.dynamicEnv ? node.text : expandScalar(node, environment, diagnostics)
    if (option.prefix) {
      this.#takePrefixed(entry, found, text)
      return
    }
    if (!this.#mayRepeat(entry, found, node, text)) return
    // A plugin's key without a value has its default; one of the service section counts as 0 or as the empty text.
    if (text === '' && found.own && !option.repeats && this.#rules.unknown === 'error') return
    const result = option.parse(text)
    if (!result.ok) {
      const shown = option.secret ? 'not shown' : `"${text}"`
      const message = `${this.#cannotSet(entry)}: value must be ${result.expected}: current value is ${shown}`
      if (this.#rules.unknown === 'warning') {
        diagnostics.warning('CFG_BAD_VALUE', message, node.at)
      } else {
        diagnostics.error('CFG_BAD_VALUE', message, node.at, found.own ? 'start' : 'load')
      }
      return
    }
    if (result.ignored !== undefined) {
      const shown = option.secret ? 'not shown' : `"${result.ignored}"`
      diagnostics.warning(
        'CFG_IGNORED_TEXT',
        `Value of "${entry.writtenKey}" on ${this.#rules.owner} is read as ${String(result.value)}: ${shown} is ignored`,
        node.at
      )
    }
    this.#written.push({ key: name, text, at: node.at })
    if (option.repeats) {
      const list = this.#lists.get(name)
      if (list === undefined) this.#lists.set(name, [result.value])
      else list.push(result.value)
    } else this.#values.set(name, result.value)
  }

  #takePrefixed(entry: MapEntry, { name }: Found, text: string): void {
    const rest = entry.writtenKey.slice(name.length)
    if (rest === '') {
      const message = `${this.#cannotSet(entry)}: the key is a prefix, and a name must follow it`
      this.#rules.diagnostics.error('CFG_INCOMPLETE_PREFIX', message, entry.at, 'start')
      return
    }
    const map = this.#prefixed.get(name) ?? new Map<string, string>()
    this.#prefixed.set(name, map.set(rest.toLowerCase(), text))
    this.#written.push({ key: entry.key, text, at: entry.value.at })
  }

  #mayRepeat(entry: MapEntry, found: Found, node: ScalarNode, text: string): boolean {
    const { option, name, own } = found
    const { diagnostics, owner } = this.#rules
    const first = this.#seen.get(name)
    this.#seen.set(name, node.at)
    if (first === undefined || option.repeats) return true
    if (own && this.#rules.unknown === 'error') {
      const message = `${this.#cannotSet(entry)} again: the key may stand once, and stands in line ${first.line} already`
      diagnostics.error('CFG_REPEATED_KEY', message, entry.at, 'start')
      return false
    }
    const shown = option.secret ? 'this value' : `"${text}"`
    const message = `Key "${entry.writtenKey}" on ${owner} stands in line ${first.line} already: ${shown} replaces that value`
    diagnostics.warning('CFG_OVERWRITTEN_KEY', message, entry.at)
    return true
  }

  #unknown(entry: MapEntry): void {
    const { own, generic, owner, unknown, diagnostics } = this.#rules
    const known = Object.keys(own)
    const near = suggest(entry.key, [...known, ...Object.keys(generic)])
    const hint = near === undefined ? '' : `; "${near}" is near`
    if (unknown === 'warning') {
      const message = `Unknown key "${entry.writtenKey}" on ${owner} has no effect${hint}`
      diagnostics.warning('CFG_UNKNOWN_KEY', message, entry.at)
      return
    }
    const keys =
      known.length === 0 ? 'it has no keys of its own' : `known keys are ${known.join(', ')}`
    const message = `${this.#cannotSet(entry)}: ${keys}${hint}`
    diagnostics.error('CFG_UNKNOWN_KEY', message, entry.at, 'start')
  }

  #cannotSet(entry: MapEntry): string {
    return `Cannot set "${entry.writtenKey}" on ${this.#rules.owner}`
  }
}

function scalars(node: ConfigNode): readonly ConfigNode[] {
  return node.kind === 'list' ? node.items : [node]
}

function defaultValue(option: Option<unknown>): unknown {
  if (option.default === undefined) return undefined
  const result = option.parse(option.default)
  if (!result.ok) throw new Error(`BUG: default "${option.default}" is not ${result.expected}`)
  return result.value
}
