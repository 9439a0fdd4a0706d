/**
 * The YAML configuration format.
 * Source: Fluent Bit 5.1.1 src/config_format/flb_cf_yaml.c; reference, 2.6.
 * Every mistake of a file is found in one run: what cannot be read is left out.
 * Differs: an `includes` list that names a file twice under different spellings is refused.
 */
import { suggest } from '../base/suggest.ts'
import type { Diagnostics, Location } from './diagnostics.ts'
import type { DocumentDraft, SectionDraft } from './draft.ts'
import { newSection, openSection } from './draft.ts'
import type { ErrorCode } from './error_codes.ts'
import { headingKind, lowerAscii, normaliseYamlKey, trimBlank } from './keys.ts'
import type { ConfigNode, ListNode, MapEntry, MapNode, ScalarNode, SectionKind } from './model.ts'
import type { SourceFile, SourceFiles } from './source_files.ts'
import { relativeTo } from './source_files.ts'
import { parseTimeSeconds } from './units.ts'
import { readYamlTree } from './yaml_tree.ts'

export interface YamlContext {
  readonly document: DocumentDraft
  readonly diagnostics: Diagnostics
  readonly files: SourceFiles
  /** Where `service` was defined, over all files. */
  serviceAt: Location | undefined
}

type PluginKind = 'input' | 'filter' | 'output' | 'custom'

const PIPELINE: Readonly<Record<string, PluginKind>> = {
  inputs: 'input',
  filters: 'filter',
  outputs: 'output'
}

const SIGNALS: ReadonlySet<string> = new Set(['logs', 'metrics', 'traces'])

const TOP_LEVEL = [
  'customs',
  'env',
  'extensions',
  'includes',
  'multiline_parsers',
  'parsers',
  'pipeline',
  'plugins',
  'service',
  'stream_processor',
  'upstream_servers'
]

/** Reads one file and all that it includes into the document. */
export function readYaml(file: SourceFile, context: YamlContext): void {
  const roots = readYamlTree(file, context.diagnostics)
  for (const root of roots ?? []) new YamlReader(file, context).read(root)
}

class YamlReader {
  readonly #file: SourceFile
  readonly #context: YamlContext

  constructor(file: SourceFile, context: YamlContext) {
    this.#file = file
    this.#context = context
  }

  read(root: ConfigNode): void {
    for (const entry of this.#map(root, 'the configuration')?.entries ?? []) this.#topLevel(entry)
  }

  #topLevel(entry: MapEntry): void {
    const { value } = entry
    switch (lowerAscii(entry.key)) {
      case 'env':
        return this.#env(value)
      case 'service':
        return this.#service(entry)
      case 'pipeline':
        return this.#pipeline(value)
      case 'customs':
        return this.#plugins(value, 'custom', 'customs')
      case 'parsers':
        return this.#sections(value, 'parser', 'parsers')
      case 'multiline_parsers':
        return this.#sections(value, 'multiline_parser', 'multiline_parsers')
      case 'stream_processor':
        return this.#sections(value, 'stream_task', 'stream_processor')
      case 'upstream_servers':
        return this.#sections(value, 'upstream', 'upstream_servers')
      case 'plugins':
        return this.#pluginFiles(value)
      case 'includes':
        return this.#includes(value)
      case 'extensions':
        this.#map(value, '"extensions"')
        return undefined
      default:
        return this.#other(entry)
    }
  }

  #env(node: ConfigNode): void {
    if (node.kind === 'list') {
      for (const item of node.items) this.#envItem(item)
      return
    }
    const names = new Set<string>()
    for (const entry of this.#map(node, '"env"', 'a mapping or a list')?.entries ?? []) {
      const value = this.#scalar(entry.value, `variable "${entry.key}"`)
      if (value === undefined) continue
      this.#warnRepeated(names, entry, 'the last value counts')
      this.#define(entry.key, value.text, 0, entry.at)
    }
  }

  /** `{name, value | uri, refresh_interval}` or `{NAME: value}`. */
  #envItem(item: ConfigNode): void {
    const map = this.#map(item, 'entry of "env"')
    if (map === undefined) return
    let name: string | undefined
    let value: string | undefined
    let uri: string | undefined
    let refreshSeconds = 0
    for (const entry of map.entries) {
      const text = this.#scalar(entry.value, `"${entry.key}" of a variable`)?.text
      if (text === undefined) return
      const key = lowerAscii(entry.key)
      if (key === 'name') name = text
      else if (key === 'value') value = text
      else if (key === 'uri') uri = text
      else if (key === 'refresh_interval') refreshSeconds = this.#refreshSeconds(text, entry)
      else if (name === undefined) [name, value] = [entry.key, text]
      else this.#ignoreKey(entry, 'a variable is already named by this entry')
    }
    if (name !== undefined) return this.#define(name, uri ?? value ?? '', refreshSeconds, map.at)
    const message = 'Cannot define a variable: its entry of "env" has no name, "name" must be set'
    this.#error('CFG_BAD_ENV', message, map.at)
  }

  #refreshSeconds(text: string, entry: MapEntry): number {
    const { value, ignored } = parseTimeSeconds(text)
    if (ignored !== '') {
      const message = `Taking "${text}" for ${value} seconds: "${ignored}" is ignored`
      this.#warning('CFG_IGNORED_VALUE', message, entry.value.at)
    }
    return value
  }

  #define(name: string, value: string, refreshSeconds: number, at: Location): void {
    this.#context.document.env.push({ name, value, refreshSeconds, required: true, at })
  }

  #service(entry: MapEntry): void {
    const earlier = this.#context.serviceAt
    if (earlier !== undefined) {
      const place = `${earlier.file}:${earlier.line}`
      const message = `Cannot define "service" again: it is defined at ${place}, there must be one`
      return this.#error('CFG_REPEATED_SERVICE', message, entry.at)
    }
    this.#context.serviceAt = entry.at
    for (const setting of this.#map(entry.value, '"service"')?.entries ?? []) {
      this.#serviceEntry(setting)
    }
  }

  #serviceEntry(entry: MapEntry): void {
    const isTelemetry = lowerAscii(entry.key) === 'telemetry'
    if (entry.value.kind === 'map' && isTelemetry) {
      this.#warnRepeatedInside(entry.value)
      this.#context.document.service.push({ ...entry, key: 'telemetry' })
      return
    }
    this.#addScalar(this.#context.document.service, entry)
  }

  #pipeline(node: ConfigNode): void {
    for (const entry of this.#map(node, '"pipeline"')?.entries ?? []) {
      const kind = PIPELINE[lowerAscii(entry.key)]
      if (kind === undefined) this.#refuseComponent(entry)
      else this.#plugins(entry.value, kind, entry.key)
    }
  }

  #refuseComponent(entry: MapEntry): void {
    const wanted = 'it must be inputs, filters or outputs'
    const message = `Cannot read "${entry.key}" of "pipeline": ${wanted}`
    this.#error('CFG_YAML_SHAPE', message, entry.at)
  }

  #plugins(node: ConfigNode, kind: PluginKind, title: string): void {
    for (const item of this.#list(node, `"${title}"`, 'a list of plugins')?.items ?? []) {
      const map = this.#map(item, `entry of "${title}"`, 'a mapping with "name"')
      if (map === undefined) continue
      const section = openSection(this.#context.document, kind, title, map.at)
      for (const entry of map.entries) this.#pluginEntry(section, entry)
    }
  }

  #pluginEntry(section: SectionDraft, entry: MapEntry): void {
    const key = lowerAscii(entry.key)
    const { value } = entry
    if (key === 'processors') return this.#processors(section, entry)
    if (key === 'routes') return this.#routes(section, entry)
    if (value.kind === 'map') return this.#mapEntry(section, entry, key)
    if (value.kind === 'scalar') return this.#addScalar(section.entries, entry, 'error')
    if (value.items.length === 0) {
      const message = `Cannot read "${entry.key}": its list is empty, it must hold a value`
      return this.#error('CFG_EMPTY_VALUE', message, value.at)
    }
    const wrong = value.items.find(item => item.kind !== 'scalar')
    if (wrong === undefined) section.entries.push(normalised(entry))
    else this.#refuseShape(wrong, `list "${entry.key}"`, 'values only')
  }

  #mapEntry(section: SectionDraft, entry: MapEntry, key: string): void {
    if (key !== 'telemetry' || section.kind !== 'input') {
      return this.#refuseShape(entry.value, `"${entry.key}"`, 'a value or a list')
    }
    this.#warnRepeatedInside(entry.value)
    section.entries.push(normalised(entry))
  }

  #processors(section: SectionDraft, entry: MapEntry): void {
    const map = this.#map(entry.value, '"processors"', 'a mapping of logs, metrics and traces')
    if (map === undefined) return
    if (section.kind !== 'input' && section.kind !== 'output') {
      return this.#ignoreKey(entry, 'only inputs and outputs have processors')
    }
    const signals: MapEntry[] = []
    for (const signal of map.entries) {
      const read = this.#signal(signal)
      if (read !== undefined) signals.push(read)
    }
    section.entries.push({ ...normalised(entry), value: { ...map, entries: signals } })
  }

  #signal(entry: MapEntry): MapEntry | undefined {
    const key = lowerAscii(entry.key)
    if (!SIGNALS.has(key)) {
      const message = `Cannot read processors of "${entry.key}": it must be logs, metrics or traces`
      this.#error('CFG_YAML_SHAPE', message, entry.at)
      return undefined
    }
    const list = this.#list(entry.value, `"${entry.key}"`, 'a list of processors')
    if (list === undefined) return undefined
    const items: MapNode[] = []
    for (const item of list.items) {
      const map = this.#map(item, `entry of "${entry.key}"`, 'a mapping with "name"')
      if (map === undefined) continue
      for (const { value } of map.entries) this.#warnRepeatedInside(value)
      items.push({ ...map, entries: map.entries.map(lowerCased) })
    }
    return { ...entry, key, value: { ...list, items } }
  }

  #routes(section: SectionDraft, entry: MapEntry): void {
    if (section.kind !== 'input') return this.#ignoreKey(entry, 'only inputs have routes')
    const map = this.#map(entry.value, '"routes"')
    if (map === undefined) return
    this.#warnRepeatedInside(map)
    section.entries.push(normalised(entry))
  }

  #sections(node: ConfigNode, kind: SectionKind, title: string): void {
    for (const item of this.#list(node, `"${title}"`, 'a list')?.items ?? []) {
      const map = this.#map(item, `entry of "${title}"`)
      if (map === undefined) continue
      const section = openSection(this.#context.document, kind, title, map.at)
      for (const entry of map.entries) this.#sectionEntry(section, entry)
    }
  }

  #sectionEntry(section: SectionDraft, entry: MapEntry): void {
    if (section.kind === 'multiline_parser' && entry.key === 'rules') {
      return this.#groups(section, entry, 'rule')
    }
    if (section.kind === 'upstream' && entry.key === 'nodes') {
      return this.#groups(section, entry, 'node')
    }
    return this.#addScalar(section.entries, entry)
  }

  #groups(section: SectionDraft, entry: MapEntry, title: string): void {
    for (const item of this.#list(entry.value, `"${entry.key}"`, 'a list')?.items ?? []) {
      const map = this.#map(item, `entry of "${entry.key}"`)
      if (map === undefined) continue
      const group = newSection('other', title, map.at)
      section.groups.push(group)
      for (const part of map.entries) this.#addScalar(group.entries, part, 'error')
    }
  }

  #pluginFiles(node: ConfigNode): void {
    for (const item of this.#list(node, '"plugins"', 'a list of files')?.items ?? []) {
      const path = this.#scalar(item, 'entry of "plugins"')
      if (path === undefined) continue
      const text = trimBlank(path.text)
      if (text !== '') this.#context.document.plugins.push({ path: { ...path, text } })
      else this.#error('CFG_EMPTY_VALUE', 'Cannot load a plugin: its path is empty', path.at)
    }
  }

  #includes(node: ConfigNode): void {
    for (const item of this.#list(node, '"includes"', 'a list of files')?.items ?? []) {
      const path = this.#scalar(item, 'entry of "includes"')
      if (path !== undefined) this.#include(path)
    }
  }

  #include(path: ScalarNode): void {
    const name = relativeTo(this.#file.directory, path.text)
    if (path.text === '') {
      return this.#error('CFG_EMPTY_VALUE', 'Cannot include a file: its name is empty', path.at)
    }
    const names = path.text.includes('*') ? this.#context.files.match(name) : [name]
    if (names.length === 0) {
      const message = `Including nothing: no file matches "${path.text}"`
      this.#warning('CFG_INCLUDE_NO_MATCH', message, path.at)
    }
    for (const found of names) {
      const file = this.#context.files.read(found, path.at)
      if (file !== undefined) readYaml(file, this.#context)
    }
  }

  /**
   * Any other mapping of values. As in the classic format a beginning of a known word opens that
   * section, so that a top-level `input:` is an input.
   */
  #other(entry: MapEntry): void {
    const heading = headingKind(entry.key)
    const kind = heading === 'plugins' ? 'other' : heading
    this.#warning('CFG_UNKNOWN_SECTION', otherMessage(entry.key, kind), entry.at)
    const map = this.#map(entry.value, `"${entry.key}"`)
    if (map === undefined) return
    const section = openSection(this.#context.document, kind, entry.key, entry.at)
    for (const part of map.entries) this.#addScalar(section.entries, part)
  }

  /**
   * Adds a key with a single value. A value of nothing but white space is an error in plugins and
   * nodes; elsewhere Fluent Bit drops it in silence.
   */
  #addScalar(entries: MapEntry[], entry: MapEntry, blank: 'error' | 'warning' = 'warning'): void {
    const value = this.#scalar(entry.value, `"${entry.key}"`)
    if (value === undefined) return
    const text = trimBlank(value.text)
    if (text !== '' || value.text === '') {
      entries.push({ ...normalised(entry), value: { ...value, text } })
    } else if (blank === 'error') {
      const reason = 'its value is blank, it must hold text or be empty'
      const message = `Cannot read "${entry.key}": ${reason}`
      this.#error('CFG_EMPTY_VALUE', message, value.at)
    } else {
      this.#warning('CFG_IGNORED_VALUE', `Ignoring "${entry.key}": its value is blank`, value.at)
    }
  }

  /** Keys that repeat inside a nested mapping; those of a plugin are checked with its options. */
  #warnRepeatedInside(node: ConfigNode): void {
    if (node.kind === 'list') for (const item of node.items) this.#warnRepeatedInside(item)
    if (node.kind !== 'map') return
    const keys = new Set<string>()
    for (const entry of node.entries) {
      this.#warnRepeated(keys, entry, 'only one of its values counts')
      this.#warnRepeatedInside(entry.value)
    }
  }

  #warnRepeated(seen: Set<string>, entry: MapEntry, effect: string): void {
    if (seen.has(entry.key)) {
      this.#warning('CFG_REPEATED_KEY', `Key "${entry.key}" is set again: ${effect}`, entry.at)
    }
    seen.add(entry.key)
  }

  #ignoreKey(entry: MapEntry, reason: string): void {
    this.#warning('CFG_IGNORED_KEY', `Ignoring "${entry.key}": ${reason}`, entry.at)
  }

  #map(node: ConfigNode, what: string, wanted = 'a mapping'): MapNode | undefined {
    if (node.kind === 'map') return node
    return this.#refuseShape(node, what, wanted)
  }

  #list(node: ConfigNode, what: string, wanted: string): ListNode | undefined {
    if (node.kind === 'list') return node
    return this.#refuseShape(node, what, wanted)
  }

  #scalar(node: ConfigNode, what: string): ScalarNode | undefined {
    if (node.kind === 'scalar') return node
    return this.#refuseShape(node, what, 'a single value')
  }

  #refuseShape(node: ConfigNode, what: string, wanted: string): undefined {
    const message = `Cannot read ${what}: it is ${formOf(node)}, it must be ${wanted}`
    this.#error('CFG_YAML_SHAPE', message, node.at)
  }

  #error(code: ErrorCode, message: string, at: Location): void {
    this.#context.diagnostics.error(code, message, at)
  }

  #warning(code: ErrorCode, message: string, at: Location): void {
    this.#context.diagnostics.warning(code, message, at)
  }
}

function normalised(entry: MapEntry): MapEntry {
  return { ...entry, key: normaliseYamlKey(entry.writtenKey) }
}

/** Keys of a processor are compared without case but not translated. */
function lowerCased(entry: MapEntry): MapEntry {
  return { ...entry, key: lowerAscii(entry.key) }
}

function formOf(node: ConfigNode): string {
  if (node.kind === 'map') return 'a mapping'
  if (node.kind === 'list') return 'a list'
  return node.text === '' ? 'empty' : 'a single value'
}

function otherMessage(key: string, kind: SectionKind): string {
  if (kind !== 'other') {
    return `Taking "${key}" for a section of kind ${kind}: write it in the list where it belongs`
  }
  const near = suggest(key, TOP_LEVEL)
  const hint = near === undefined ? '' : `, "${near}" is near`
  return `Ignoring section "${key}": its name is not known${hint}`
}
