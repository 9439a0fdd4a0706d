/**
 * The classic configuration format: `[SECTION]` headings and indented `key value` lines.
 * Source: Fluent Bit 5.1.1 src/config_format/flb_cf_fluentbit.c, src/flb_meta.c; reference, 2.4.
 * Every mistake of a file is found in one run: a line that cannot be read is left out.
 */
import { suggest } from '../base/suggest.ts'
import type { Diagnostics, Location } from './diagnostics.ts'
import type { DocumentDraft, SectionDraft } from './draft.ts'
import { newSection, openSection } from './draft.ts'
import type { ErrorCode } from './error_codes.ts'
import type { HeadingKind } from './keys.ts'
import { headingKind, isFullHeading, normaliseClassicKey, trimBlank } from './keys.ts'
import type { SourceFile, SourceFiles } from './source_files.ts'
import { relativeTo } from './source_files.ts'

/**
 * What a file is read for: the main configuration, or one that a key of the main configuration
 * names. Only the main one must not hold parsers.
 */
export type FilePurpose = 'main' | 'parsers' | 'plugins' | 'streams' | 'upstream'

export interface ClassicContext {
  readonly document: DocumentDraft
  readonly diagnostics: Diagnostics
  readonly files: SourceFiles
  readonly purpose: FilePurpose
  /** The directory of the first file: includes of every depth start there, or where we run. */
  readonly directory: string
}

const SECTIONS = ['SERVICE', 'INPUT', 'FILTER', 'OUTPUT', 'CUSTOM', 'STREAM_PROCESSOR', 'PLUGINS']

const NO_VALUE = 'it has no value, a space and a value must follow'
const NO_BRACKET = 'it has no "]", the name must end with one'

interface Line {
  readonly text: string
  readonly number: number
}

/** Reads one file and all that it includes into the document. */
export function readClassic(file: SourceFile, context: ClassicContext): void {
  new ClassicReader(file, context).read()
}

class ClassicReader {
  readonly #file: SourceFile
  readonly #context: ClassicContext
  /** The indentation of this file and the number of the line that set it: the first to be indented. */
  #indent: string | undefined
  #indentLine = 0
  #section: SectionDraft | undefined
  #group: SectionDraft | undefined
  /** Inside `[PLUGINS]`, whose entries are files and no section. */
  #inPlugins = false
  /** Lines of the open section that are keys or groups, right or wrong. */
  #lineCount = 0

  constructor(file: SourceFile, context: ClassicContext) {
    this.#file = file
    this.#context = context
  }

  read(): void {
    const lines = this.#file.text.split('\n')
    if (lines.at(-1) === '') lines.pop()
    for (const [index, text] of lines.entries()) {
      this.#line({ text: text.endsWith('\r') ? text.slice(0, -1) : text, number: index + 1 })
    }
    this.#endSection()
  }

  #line(line: Line): void {
    const { text } = line
    if (text === '' || text.startsWith('#')) return
    if (/^@include ./i.test(text)) this.#include(line)
    else if (text.startsWith('@')) this.#meta(line)
    else if (text.startsWith('[')) this.#heading(line)
    else this.#indented(line)
  }

  #include(line: Line): void {
    const path = trimBlank(line.text.slice('@include '.length))
    const column = line.text.length - line.text.slice('@include '.length).trimStart().length + 1
    const at = this.#at(line, column - 1)
    if (path === '')
      return this.#error('CFG_EMPTY_VALUE', 'Cannot include a file: no name is given', at)
    for (const name of this.#included(path, at)) {
      const file = this.#context.files.read(name, at)
      if (file !== undefined) readClassic(file, this.#context)
    }
  }

  #included(path: string, at: Location): string[] {
    const { files, directory } = this.#context
    const besideMain = relativeTo(directory, path)
    if (!path.includes('*')) return [files.exists(path) ? path : besideMain]
    const names = files.match(besideMain)
    if (names.length === 0) {
      this.#error('CFG_INCLUDE_NO_MATCH', `Cannot include "${path}": no file matches`, at)
    }
    return names
  }

  #meta(line: Line): void {
    const space = line.text.indexOf(' ')
    const at = this.#at(line, 0)
    if (space === -1) {
      const message = `Cannot read command "${line.text}": ${NO_VALUE}`
      return this.#error('CFG_BAD_COMMAND', message, at)
    }
    const command = line.text.slice(1, space)
    if (command.toLowerCase() === 'set') return this.#set(line, space + 1)
    if (command.toLowerCase() === 'include') {
      return this.#warning('CFG_BAD_COMMAND', 'Ignoring @INCLUDE: it names no file', at)
    }
    const message = `Ignoring command "@${command}": only @INCLUDE and @SET are known`
    this.#warning('CFG_UNKNOWN_COMMAND', message, at)
  }

  #set(line: Line, start: number): void {
    const text = trimBlank(line.text.slice(start))
    const at = this.#at(line, 0)
    if (this.#context.purpose !== 'main') {
      return this.#warning(
        'CFG_UNKNOWN_COMMAND',
        'Ignoring @SET: only the main configuration sets variables',
        at
      )
    }
    const equals = text.indexOf('=')
    if (equals === -1) {
      const message = `Ignoring @SET "${text}": it has no "=", it must be @SET NAME=value`
      return this.#warning('CFG_BAD_COMMAND', message, at)
    }
    const name = text.slice(0, equals)
    if (name !== trimBlank(name)) {
      const message = `Setting variable "${name}" with a space in its name: none may stand before "="`
      this.#warning('CFG_BAD_COMMAND', message, at)
    }
    const value = text.slice(equals + 1)
    this.#context.document.env.push({ name, value, refreshSeconds: 0, required: false, at })
  }

  #heading(line: Line): void {
    this.#endSection()
    const end = line.text.indexOf(']')
    const at = this.#at(line, 0)
    if (end === -1) {
      const message = `Cannot read section "${shortened(line.text)}": ${NO_BRACKET}`
      this.#section = newSection('other', '', at)
      return this.#error('CFG_BAD_HEADING', message, at)
    }
    const title = line.text.slice(1, end)
    const behind = trimBlank(line.text.slice(end + 1))
    if (behind !== '') {
      const message = `Ignoring "${behind}" behind section "${title}"`
      this.#warning(
        'CFG_TEXT_AFTER_HEADING',
        message,
        this.#at(line, line.text.indexOf(behind, end))
      )
    }
    this.#open(title, at)
  }

  #open(title: string, at: Location): void {
    const kind = this.#kindOf(title)
    if (kind !== 'other' && !isFullHeading(title) && title.toLowerCase() !== 'stream_task') {
      const message = `Taking section "${title}" for "${kind.toUpperCase()}": write the name out`
      this.#warning('CFG_SHORT_HEADING', message, at)
    }
    this.#inPlugins = kind === 'plugins'
    if (kind === 'plugins') this.#section = newSection('other', title, at)
    else this.#section = openSection(this.#context.document, kind, title, at)
    if (this.#context.purpose !== 'main') return
    if (kind === 'parser' || kind === 'multiline_parser') this.#refuseParser(title, at)
    if (kind === 'other') this.#warning('CFG_UNKNOWN_SECTION', unknownSection(title), at)
  }

  #kindOf(title: string): HeadingKind {
    const task = title.toLowerCase() === 'stream_task' && this.#context.purpose === 'streams'
    return task ? 'stream_task' : headingKind(title)
  }

  #refuseParser(title: string, at: Location): void {
    const message =
      `Cannot define section "${title}" in the main configuration: ` +
      'it must stand in a file that "parsers_file" names'
    this.#error('CFG_SECTION_NOT_HERE', message, at)
  }

  /** All other sections without a key lack their name or are ignored, which has its own message. */
  #endSection(): void {
    const section = this.#section
    if (section?.kind === 'service' && this.#lineCount === 0) {
      const message = `Ignoring section "${section.title}": it has no keys`
      this.#warning('CFG_EMPTY_SECTION', message, section.at)
    }
    this.#section = undefined
    this.#group = undefined
    this.#inPlugins = false
    this.#lineCount = 0
  }

  #indented(line: Line): void {
    const { text } = line
    if (this.#indent === undefined) {
      const blank = blankPrefix(text)
      if (blank === '') return this.#refuseUnindented(line)
      this.#indent = blank
      this.#indentLine = line.number
    }
    const depth = this.#depth(line, this.#indent)
    if (depth === undefined || depth === text.length || text[depth] === '#') return
    if (depth === this.#indent.length) this.#group = undefined
    this.#lineCount++
    this.#entry(line, depth)
  }

  /** The length of the indentation if it is right: one indent, or two for the keys of a group. */
  #depth(line: Line, indent: string): number | undefined {
    const depth = blankPrefix(line.text).length
    if (depth === 0) {
      this.#refuseUnindented(line)
      return undefined
    }
    if (line.text.startsWith(indent) && (depth === indent.length || depth === 2 * indent.length)) {
      return depth
    }
    const column = commonLength(line.text, indent)
    const mixed = column < indent.length && column < depth
    const state = mixed ? 'it mixes tabs and spaces' : `it is indented by ${depth}`
    const wanted = `it must be indented by ${named(indent)} like line ${this.#indentLine}`
    const message = `Cannot read line: ${state}, ${wanted}`
    this.#error('CFG_BAD_INDENT', message, this.#at(line, column))
    return undefined
  }

  /** As long as no line has set the indentation, one error a section is enough. */
  #refuseUnindented(line: Line): void {
    this.#lineCount++
    if (this.#indent === undefined && this.#lineCount > 1) return
    const shown = shortened(line.text)
    const message = `Cannot read "${shown}": it is not indented, keys must be indented`
    this.#error('CFG_BAD_INDENT', message, this.#at(line, 0))
  }

  #entry(line: Line, start: number): void {
    const separator = line.text.indexOf(' ', start)
    if (separator === -1) return this.#refuseBareKey(line, start)
    if (line.text[start] === '[') return this.#openGroup(line, start)
    const written = line.text.slice(start, separator)
    const text = trimBlank(line.text.slice(separator + 1))
    const at = this.#at(line, start)
    if (text === '') {
      const message = `Cannot read key "${written}": its value is empty, a value must follow`
      return this.#error('CFG_EMPTY_VALUE', message, at)
    }
    if (written.includes('\t')) this.#warnTab(written, at)
    const valueAt = this.#at(line, line.text.indexOf(text, separator + 1))
    this.#add(written, text, at, valueAt)
  }

  #add(written: string, text: string, at: Location, valueAt: Location): void {
    const target = this.#group ?? this.#section
    if (target === undefined) {
      const message = `Cannot set "${written}": no section is open, a heading must come first`
      return this.#error('CFG_KEY_OUTSIDE_SECTION', message, at)
    }
    const value = { kind: 'scalar', text, quoted: false, at: valueAt } as const
    const key = normaliseClassicKey(written)
    target.entries.push({ key, writtenKey: written, at, value })
    if (!this.#inPlugins) return
    if (key === 'path') this.#context.document.plugins.push({ path: value })
    else
      this.#warning('CFG_IGNORED_KEY', `Ignoring key "${written}": [PLUGINS] knows only "Path"`, at)
  }

  #refuseBareKey(line: Line, start: number): void {
    const rest = line.text.slice(start)
    const tab = rest.indexOf('\t')
    const key = shortened(tab === -1 ? rest : rest.slice(0, tab))
    const reason = tab === -1 ? NO_VALUE : 'a tab stands before its value, a space must'
    const message = `Cannot read key "${key}": ${reason}`
    this.#error('CFG_MISSING_VALUE', message, this.#at(line, start))
  }

  #warnTab(written: string, at: Location): void {
    const shown = written.replaceAll('\t', '\\t')
    const message = `Taking "${shown}" for one key: it holds a tab, only a space ends a key`
    this.#warning('CFG_TAB_IN_KEY', message, at)
  }

  #openGroup(line: Line, start: number): void {
    const end = line.text.indexOf(']', start)
    const at = this.#at(line, start)
    if (end === -1) {
      const message = `Cannot read group "${shortened(line.text.slice(start))}": ${NO_BRACKET}`
      return this.#error('CFG_BAD_HEADING', message, at)
    }
    const title = line.text.slice(start + 1, end)
    if (this.#section === undefined) {
      const message = `Cannot open group "${title}": no section is open, a heading must come first`
      return this.#error('CFG_KEY_OUTSIDE_SECTION', message, at)
    }
    if (title === '') return
    this.#group = newSection('other', title, at)
    this.#section.groups.push(this.#group)
  }

  #error(code: ErrorCode, message: string, at: Location): void {
    this.#context.diagnostics.error(code, message, at)
  }

  #warning(code: ErrorCode, message: string, at: Location): void {
    this.#context.diagnostics.warning(code, message, at)
  }

  /** The place of the character at `index` of a line. */
  #at(line: Line, index: number): Location {
    const column = Array.from(line.text.slice(0, index)).length + 1
    return { file: this.#file.name, line: line.number, column }
  }
}

function unknownSection(title: string): string {
  if (title.toLowerCase() === 'stream_task') {
    return 'Ignoring section "STREAM_TASK": it belongs to the file that "streams_file" names'
  }
  const near = suggest(trimBlank(title), SECTIONS)
  const hint = near === undefined ? '' : `, "${near}" is near`
  return `Ignoring section "${title}": its name is not known${hint}`
}

function blankPrefix(text: string): string {
  return /^[ \t]*/.exec(text)?.[0] ?? ''
}

function commonLength(left: string, right: string): number {
  let length = 0
  while (length < left.length && left[length] === right[length]) length++
  return length
}

/** `4 spaces`, `1 tab` or `3 tabs and spaces`. */
function named(indent: string): string {
  const plural = indent.length === 1 ? '' : 's'
  if (!indent.includes('\t')) return `${indent.length} space${plural}`
  if (!indent.includes(' ')) return `${indent.length} tab${plural}`
  return `${indent.length} tabs and spaces`
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
