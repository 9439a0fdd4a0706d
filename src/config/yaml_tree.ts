/**
 * YAML text as a tree of configuration nodes with their places. Every scalar is the text as
 * written; aliases and keys that are not text are refused.
 * Fluent Bit reads YAML 1.1 through libyaml; only its syntax matters here, not its types.
 */
import { createRequire } from 'node:module'
import type * as Yaml from 'yaml'
import type { Document, LineCounter, Node, Pair, Scalar, YAMLParseError } from 'yaml'
import type { Diagnostics, Location } from './diagnostics.ts'
import type { ConfigNode, MapEntry } from './model.ts'
import type { SourceFile } from './source_files.ts'

const require = createRequire(import.meta.url)
let loaded: typeof Yaml | undefined

/** The package has 72 files: it is loaded with the first YAML text, not at every start. */
function library(): typeof Yaml {
  loaded ??= require('yaml') as typeof Yaml
  return loaded
}

/** Put before a line inside quotes that is indented too little; more than any real indentation. */
const EXTRA_INDENT = 256
/** Lines of a file that may get it. */
const EXTRA_INDENTS_MAX = 200
const NESTED_TOO_DEEPLY = 'it is nested too deeply'

/** A parsed text and how its offsets lead back to the file. */
interface ParsedText {
  readonly documents: readonly Document.Parsed[]
  readonly lines: LineCounter
  /** Numbers of the lines that begin with extra indentation. */
  readonly indented: ReadonlySet<number>
}

/**
 * The documents of a file, none for an empty one; keys are as written. Undefined when the file is
 * not valid YAML: what is wrong is in the diagnostics then, one error a line.
 */
export function readYamlTree(file: SourceFile, diagnostics: Diagnostics): ConfigNode[] | undefined {
  try {
    const parsed = parseLenient(file.text)
    const places = new Places(file, parsed)
    if (reportSyntax(parsed, places, diagnostics)) return undefined
    const tree = new TreeBuilder(places, diagnostics)
    const roots = parsed.documents.map(document => tree.node(document.contents, 0))
    return roots.filter(root => root !== undefined)
  } catch (cause) {
    // The call stack is exhausted by brackets within brackets.
    if (!(cause instanceof RangeError)) throw cause
    const message = `Cannot read YAML: ${NESTED_TOO_DEEPLY}`
    diagnostics.error('CFG_YAML_SYNTAX', message, { file: file.name, line: 1, column: 1 })
    return undefined
  }
}

/**
 * libyaml lets the further lines of a quoted text start anywhere, the `yaml` package wants them
 * indented. Leading blanks of such lines are no part of the text, so more of them do no harm.
 */
function parseLenient(text: string): ParsedText {
  const first = parse(text, new Set())
  const textLines = text.split('\n')
  const indented = new Set<number>()
  let parsed = first
  while (indented.size < EXTRA_INDENTS_MAX) {
    const error = parsed.documents.flatMap(document => document.errors).find(isOpenQuote)
    if (error === undefined) return parsed
    const next = parsed.lines.linePos(error.pos[0]).line + 1
    if (next > textLines.length || indented.has(next)) return first
    indented.add(next)
    textLines[next - 1] = ' '.repeat(EXTRA_INDENT) + textLines[next - 1]
    parsed = parse(textLines.join('\n'), new Set(indented))
  }
  return first
}

function isOpenQuote(error: YAMLParseError): boolean {
  return error.code === 'MISSING_CHAR' && error.message.endsWith('quote')
}

function parse(text: string, indented: ReadonlySet<number>): ParsedText {
  const lines = new (library().LineCounter)()
  const options = { schema: 'failsafe', uniqueKeys: false, prettyErrors: false } as const
  const documents = library().parseAllDocuments(text, { ...options, lineCounter: lines })
  return { documents: Array.isArray(documents) ? documents : [], lines, indented }
}

/** True when there was an error. One wrong character often makes several errors on its line. */
function reportSyntax(parsed: ParsedText, places: Places, diagnostics: Diagnostics): boolean {
  let lastLine = 0
  for (const error of parsed.documents.flatMap(document => document.errors)) {
    const at = places.at(error.pos[0])
    if (at.line === lastLine) continue
    lastLine = at.line
    diagnostics.error('CFG_YAML_SYNTAX', `Cannot read YAML: ${problemOf(error)}`, at)
  }
  return lastLine > 0
}

function problemOf(error: YAMLParseError): string {
  if (error.message.includes('call stack')) return NESTED_TOO_DEEPLY
  return error.message
    .replace(/^[A-Z](?=[a-z ])/, letter => letter.toLowerCase())
    .replace(/["']quote$/, 'quote')
}

/** Turns offsets of the parsed text into places of the file. */
class Places {
  readonly #file: SourceFile
  readonly #parsed: ParsedText
  readonly #textLines: readonly string[]

  constructor(file: SourceFile, parsed: ParsedText) {
    this.#file = file
    this.#parsed = parsed
    this.#textLines = file.text.split('\n')
  }

  at(offset: number): Location {
    const { lines, indented } = this.#parsed
    const { line, col } = lines.linePos(offset)
    const index = Math.max(0, col - 1 - (indented.has(line) ? EXTRA_INDENT : 0))
    const before = (this.#textLines[line - 1] ?? '').slice(0, index)
    return { file: this.#file.name, line, column: Array.from(before).length + 1 }
  }
}

class TreeBuilder {
  readonly #places: Places
  readonly #diagnostics: Diagnostics

  constructor(places: Places, diagnostics: Diagnostics) {
    this.#places = places
    this.#diagnostics = diagnostics
  }

  /** Undefined after an error. `offset` is where a node that has no place of its own belongs. */
  node(node: unknown, offset: number): ConfigNode | undefined {
    const at = this.#at(node, offset)
    if (library().isAlias(node)) {
      const reason = 'aliases are not supported, the value must be repeated'
      const message = `Cannot use alias "*${node.source}": ${reason}`
      this.#diagnostics.error('CFG_YAML_ALIAS', message, at)
      return undefined
    }
    if (library().isSeq(node)) {
      const items = node.items.map(item => this.node(item, offset))
      return { kind: 'list', items: items.filter(item => item !== undefined), at }
    }
    if (library().isMap(node)) {
      const entries = node.items.map(pair => this.#entry(pair, offset))
      return { kind: 'map', entries: entries.filter(entry => entry !== undefined), at }
    }
    const text = library().isScalar(node) ? scalarText(node) : ''
    const quoted = library().isScalar(node) && node.type !== undefined && node.type !== 'PLAIN'
    return { kind: 'scalar', text, quoted, at }
  }

  #entry(pair: Pair<unknown, unknown>, offset: number): MapEntry | undefined {
    const at = this.#at(pair.key, offset)
    const keyEnd = (pair.key as Node | null)?.range?.[1] ?? offset
    const value = this.node(pair.value, keyEnd)
    const key = library().isScalar(pair.key) ? scalarText(pair.key) : undefined
    if (library().isAlias(pair.key)) {
      this.node(pair.key, offset)
      return undefined
    }
    if (key === undefined || key.trim() === '') {
      const state = key === undefined ? 'it is a list or a mapping' : 'it is empty'
      this.#diagnostics.error('CFG_YAML_KEY', `Cannot read key: ${state}, it must be text`, at)
      return undefined
    }
    return value === undefined ? undefined : { key, writtenKey: key, at, value }
  }

  #at(node: unknown, offset: number): Location {
    const range = (node as Node | null)?.range
    return this.#places.at(range?.[0] ?? offset)
  }
}

/** Under the failsafe schema a scalar is text, or null where nothing is written. */
function scalarText(scalar: Scalar): string {
  return typeof scalar.value === 'string' ? scalar.value : ''
}
