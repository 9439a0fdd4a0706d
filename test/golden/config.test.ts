/**
 * Golden configurations: test/golden/config/*.case.
 *
 * A case is one or more texts, a line of ten dashes, and what reading them must give:
 *
 *     --- classic            a configuration in the classic format (main.conf)
 *     --- yaml               the same in YAML (main.yaml); both must give the same
 *     --- file NAME          a further file, for includes
 *     --- parsers NAME       read NAME as a parsers file instead; likewise plugins, streams, upstream
 *     ----------
 *     {"inputs":[…]}         the document as compact JSON, empty parts left out
 *     main.conf:2:1: error: message [CODE]
 *
 * A tab is written `→`, a carriage return at the end of a line `␍`, and `␠` is a space.
 * `UPDATE_GOLDEN=1` writes what is read now; the difference must be reviewed by eye.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { Diagnostic } from '../../src/config/diagnostics.ts'
import { Diagnostics, formatLocation } from '../../src/config/diagnostics.ts'
import type {
  ConfigDocument,
  ConfigNode,
  EnvEntry,
  MapEntry,
  PluginFile,
  Section
} from '../../src/config/model.ts'
import {
  readConfiguration,
  readParsersFile,
  readPluginsFile,
  readStreamsFile,
  readUpstreamFile
} from '../../src/config/read.ts'
import { type CaseFile, parseCase, type Role, SEPARATOR } from './config_case.ts'

const DIRECTORY = join(import.meta.dirname, 'config')

for (const name of readdirSync(DIRECTORY).filter(entry => entry.endsWith('.case'))) {
  test(`golden configuration ${name}`, () => checkCase(join(DIRECTORY, name)))
}

function checkCase(path: string): void {
  const { source, expected, files } = parseCase(readFileSync(path, 'utf8'))
  const entries = files.filter(file => file.role !== undefined)
  assert.ok(entries.length > 0, 'a case needs a text to read')
  const results = inDirectory(files, directory => entries.map(entry => readEntry(entry, directory)))
  const [first] = results
  for (const other of results) assert.equal(withoutPlaces(other), withoutPlaces(first))
  const found = results.length === 1 ? first : shared(results)
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(path, source + SEPARATOR + found)
  else assert.equal(found, expected)
}

/** The result of all texts; where only the places differ, those of each text. */
function shared(results: readonly string[]): string {
  const documents = results.map(result => result.split('\n').filter(line => line.startsWith('{')))
  const places = results.flatMap(result =>
    result.split('\n').filter(line => line !== '' && !line.startsWith('{'))
  )
  return [...documents[0], ...places].join('\n') + '\n'
}

/** Without the places of the diagnostics, which two formats cannot share. */
function withoutPlaces(result: string): string {
  return result.replace(/^\S+?:\d+:\d+: /gm, '')
}

function inDirectory<T>(files: readonly CaseFile[], use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'golden-'))
  try {
    for (const { name, text } of files) {
      mkdirSync(dirname(join(directory, name)), { recursive: true })
      writeFileSync(join(directory, name), text)
    }
    return use(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function readEntry({ name, role }: CaseFile, directory: string): string {
  const diagnostics = new Diagnostics()
  const options = { workingDirectory: directory, diagnostics }
  const referenced = { ...options, baseDirectory: directory, at: undefined }
  const document = readAs(role, name, options, referenced)
  const lines = [JSON.stringify(document), ...diagnostics.list.map(formatDiagnostic)]
  return `${lines.join('\n')}\n`
}

function readAs(
  role: Role | undefined,
  name: string,
  options: Parameters<typeof readConfiguration>[1],
  referenced: Parameters<typeof readParsersFile>[1]
): unknown {
  if (role === 'parsers') return canonicalDocument(readParsersFile(name, referenced))
  if (role === 'plugins') return canonicalDocument({ plugins: readPluginsFile(name, referenced) })
  if (role === 'streams')
    return canonicalDocument({ streamTasks: readStreamsFile(name, referenced) })
  if (role === 'upstream')
    return canonicalDocument({ upstreams: readUpstreamFile(name, referenced) })
  return canonicalDocument(readConfiguration(name, options))
}

function formatDiagnostic({ severity, message, code, at }: Diagnostic): string {
  const place = formatLocation(at)
  return `${place}${place === '' ? '' : ': '}${severity}: ${message} [${code}]`
}

/** A document without places and empty parts; a list of values as an array, repeats in order. */
function canonicalDocument(document: Partial<ConfigDocument>): unknown {
  const parts = Object.entries(document).filter(([, part]) => part.length > 0)
  return Object.fromEntries(parts.map(([name, part]) => [name, canonicalPart(name, part)]))
}

function canonicalPart(name: string, part: ConfigDocument[keyof ConfigDocument]): unknown {
  if (name === 'env') return (part as readonly EnvEntry[]).map(canonicalVariable)
  if (name === 'service') return (part as readonly MapEntry[]).map(canonicalEntry)
  if (name === 'plugins') return (part as readonly PluginFile[]).map(file => file.path.text)
  return (part as readonly Section[]).map(section => canonicalSection(section, name === 'others'))
}

function canonicalVariable({ name, value, refreshSeconds }: EnvEntry): unknown {
  return refreshSeconds === 0 ? [name, value] : [name, value, refreshSeconds]
}

function canonicalSection(section: Section, titled: boolean): unknown {
  const entries = section.entries.map(canonicalEntry)
  const groups = section.groups.map(group => canonicalSection(group, true))
  const head = titled ? { [section.title.toLowerCase()]: entries } : { entries }
  return groups.length === 0 ? head : { ...head, groups }
}

function canonicalEntry({ key, value }: MapEntry): unknown {
  return [key, value.kind === 'map' ? canonicalTree(value) : canonicalNode(value)]
}

function canonicalNode(node: ConfigNode): unknown {
  if (node.kind === 'map') return canonicalTree(node)
  return node.kind === 'scalar' ? node.text : node.items.map(canonicalNode)
}

/** Inside nested maps, where types matter, text in quotes or block style keeps quotes. */
function canonicalTree(node: ConfigNode): unknown {
  if (node.kind === 'scalar') return node.quoted ? `'${node.text}'` : node.text
  if (node.kind === 'list') return node.items.map(canonicalTree)
  return { map: node.entries.map(({ key, value }) => [key, canonicalTree(value)]) }
}
