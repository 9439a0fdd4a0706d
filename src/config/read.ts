/**
 * Reads configuration files: picks the format, follows includes, and leaves one document.
 * Source: Fluent Bit 5.1.1 src/config_format/flb_config_format.c (flb_cf_create_from_file), and for
 * the files that keys name src/flb_parser.c, src/flb_plugin.c, src/stream_processor/flb_sp.c and
 * src/flb_upstream_ha.c; reference, 2.1.
 */
import { realpathSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import type { FilePurpose } from './classic.ts'
import { readClassic } from './classic.ts'
import type { Diagnostics, Location } from './diagnostics.ts'
import type { DocumentDraft, SectionDraft } from './draft.ts'
import { emptyDocument } from './draft.ts'
import type { ConfigDocument, MapEntry, PluginFile, Section } from './model.ts'
import { SourceFiles } from './source_files.ts'
import { readYaml } from './yaml.ts'

export interface ReadOptions {
  /** Where relative paths start; absolute. */
  readonly workingDirectory: string
  /** Takes everything that is wrong; the document then lacks what could not be read. */
  readonly diagnostics: Diagnostics
  /** Gets the absolute paths of all that is read, and of the folders that patterns look into. */
  readonly sources?: Set<string>
}

/** How a file is found that a key of the configuration names. */
export interface ReferencedFileOptions extends ReadOptions {
  /** The directory of the main configuration: the second place to look in. */
  readonly baseDirectory: string
  /** The value that names the file. */
  readonly at: Location | undefined
}

export interface ParsersFile {
  readonly parsers: readonly Section[]
  readonly multilineParsers: readonly Section[]
}

type Format = 'classic' | 'yaml'

/** The kinds of section that a referenced file is read for; all others are ignored. */
const WANTED: Readonly<Record<Exclude<FilePurpose, 'main'>, readonly (keyof ConfigDocument)[]>> = {
  parsers: ['parsers', 'multilineParsers'],
  plugins: ['plugins'],
  streams: ['streamTasks'],
  upstream: ['upstreams']
}

/** Keys that a node of an upstream cannot do without. */
const NODE_KEYS = ['name', 'host', 'port']

/** `.yaml` and `.yml` in any case are YAML, everything else is the classic format. */
export function configFormat(path: string): Format {
  return /\.ya?ml$/i.test(path) ? 'yaml' : 'classic'
}

/** The main configuration with all that it includes. Never throws for what a file holds. */
export function readConfiguration(path: string, options: ReadOptions): ConfigDocument {
  return readDocument(path, 'main', undefined, options)
}

/**
 * The directory that relative `parsers_file`, `plugins_file` and the like fall back to: that of the
 * main configuration, symbolic links resolved.
 */
export function baseDirectoryOf(path: string, workingDirectory: string): string {
  const absolute = resolve(workingDirectory, path)
  try {
    return dirname(realpathSync(absolute))
  } catch {
    // The file itself is missing, which reading it reports.
    return dirname(absolute)
  }
}

/** A `parsers_file`. */
export function readParsersFile(path: string, options: ReferencedFileOptions): ParsersFile {
  const { parsers, multilineParsers } = readReferenced(path, 'parsers', options)
  return { parsers, multilineParsers }
}

/** A `plugins_file`. */
export function readPluginsFile(
  path: string,
  options: ReferencedFileOptions
): readonly PluginFile[] {
  return readReferenced(path, 'plugins', options).plugins
}

/** A `streams_file`: tasks with `name` and `exec`. */
export function readStreamsFile(path: string, options: ReferencedFileOptions): readonly Section[] {
  const { streamTasks } = readReferenced(path, 'streams', options)
  for (const task of streamTasks) requireKeys(task, ['name', 'exec'], 'stream task', options)
  return streamTasks
}

/** The file of an output's `upstream` key: upstreams whose groups are their nodes. */
export function readUpstreamFile(path: string, options: ReferencedFileOptions): readonly Section[] {
  const errorsBefore = options.diagnostics.errors.length
  const { upstreams } = readReferenced(path, 'upstream', options)
  if (upstreams.length === 0 && options.diagnostics.errors.length === errorsBefore) {
    const message = `Cannot use upstream file "${path}": it has no upstream, it must define one`
    options.diagnostics.error('CFG_MISSING_KEY', message, options.at)
  }
  for (const upstream of upstreams) checkUpstream(upstream, options)
  return upstreams
}

function readReferenced(
  path: string,
  purpose: Exclude<FilePurpose, 'main'>,
  options: ReferencedFileOptions
): ConfigDocument {
  const found = locateReferenced(path, options)
  const document = readDocument(found, purpose, options.at, options)
  const ignored = Object.entries(document).filter(
    ([list]) => !WANTED[purpose].some(wanted => wanted === list)
  )
  for (const [, entries] of ignored) warnIgnored(entries, purpose, options.diagnostics)
  return document
}

function locateReferenced(path: string, options: ReferencedFileOptions): string {
  const files = new SourceFiles(options.workingDirectory, options.diagnostics)
  return isAbsolute(path) || files.exists(path) ? path : join(options.baseDirectory, path)
}

function readDocument(
  path: string,
  purpose: FilePurpose,
  at: Location | undefined,
  options: ReadOptions
): DocumentDraft {
  const { diagnostics, workingDirectory } = options
  const document = emptyDocument()
  const files = new SourceFiles(workingDirectory, diagnostics, options.sources)
  const file = files.read(path, at)
  if (file === undefined) return document
  if (configFormat(path) === 'yaml') {
    readYaml(file, { document, diagnostics, files, serviceAt: undefined })
    return document
  }
  const { directory } = file
  readClassic(file, { document, diagnostics, files, purpose, directory })
  if (purpose === 'upstream') adoptNodes(document)
  return document
}

/** In a classic upstream file every `[NODE]` belongs to the first `[UPSTREAM]`. */
function adoptNodes(document: DocumentDraft): void {
  const nodes = document.others.filter(isNode)
  const rest = document.others.filter(section => !isNode(section))
  document.others.splice(0, document.others.length, ...rest)
  document.upstreams.at(0)?.groups.push(...nodes)
}

function isNode(section: SectionDraft): boolean {
  return section.title.toLowerCase() === 'node'
}

function warnIgnored(
  entries: readonly (Partial<Section> & Partial<MapEntry> & Partial<PluginFile>)[],
  purpose: string,
  diagnostics: Diagnostics
): void {
  for (const { title, writtenKey, path, at } of entries) {
    const what = title ?? writtenKey ?? path?.text ?? ''
    const message = `Ignoring "${what}": this file is read for its ${purpose} only`
    diagnostics.warning('CFG_SECTION_NOT_HERE', message, at ?? path?.at)
  }
}

function checkUpstream(upstream: Section, options: ReferencedFileOptions): void {
  requireKeys(upstream, ['name'], 'upstream', options)
  for (const node of upstream.groups) requireKeys(node, NODE_KEYS, 'node', options)
  if (upstream.groups.length > 0) return
  const message = 'Cannot use upstream: it has no nodes, it must have one'
  options.diagnostics.error('CFG_MISSING_KEY', message, upstream.at)
}

function requireKeys(
  section: Section,
  keys: readonly string[],
  what: string,
  options: ReadOptions
): void {
  for (const key of keys) {
    if (section.entries.some(entry => entry.key === key)) continue
    const message = `Cannot use ${what}: key "${key}" is missing, it must be set`
    const code = key === 'name' ? 'CFG_MISSING_NAME' : 'CFG_MISSING_KEY'
    options.diagnostics.error(code, message, section.at)
  }
}
