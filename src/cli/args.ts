/**
 * Turns the command line into a value that says what to do.
 * Source: Fluent Bit 5.1.1 src/fluent-bit.c flb_main_run(); reference section 1.
 *
 * Differs: `-p` and `-t` before any `-i`, `-o`, `-F`, `-C` or `-r` are an error (Fluent Bit
 * crashes), and what Fluent Bit drops silently (stray words, `-p` without `=`, `-m` on an input) is
 * dropped with a notice.
 */
import { LOG_LEVELS, type LogLevel } from '../base/log.ts'
import type { Location } from '../config/diagnostics.ts'
import type {
  ConfigDocument,
  MapEntry,
  PluginFile,
  ScalarNode,
  Section,
  SectionKind
} from '../config/model.ts'
import { characters, splitArguments, type Token } from './getopt.ts'
import { COMMAND_LINE_OPTIONS, optionLabel, type OptionAction } from './options.ts'

/** The kinds of plugin that the command line can name. */
export type PluginKind = 'custom' | 'input' | 'processor' | 'filter' | 'output'

/** What the command line asks for. */
export type Command =
  | { readonly kind: 'version' }
  /** `-h` or `-J` before any plugin was named. */
  | { readonly kind: 'help'; readonly format: HelpFormat }
  /** `-h` or `-J` after `-i NAME` and its like: the plugin named last. */
  | {
      readonly kind: 'pluginHelp'
      readonly format: HelpFormat
      readonly pluginKind: PluginKind
      readonly name: string
    }
  | {
      readonly kind: 'usageError'
      readonly message: string
      /** True for a mistake in the form of the options, after which the help follows. */
      readonly showHelp: boolean
    }
  | RunCommand

export type HelpFormat = 'text' | 'json'

/** Start the agent, or only check its configuration. */
export interface RunCommand {
  readonly kind: 'run'
  /** `-c`, relative to the work directory; undefined runs what the command line says alone. */
  readonly configFile: string | undefined
  /** What the options themselves configure; its sections come before those of the file. */
  readonly document: ConfigDocument
  /** From `-v`, `-q` and FLB_LOG_LEVEL; `log_level` of the configuration replaces it. */
  readonly logLevel: LogLevel
  /** True when FLB_LOG_LEVEL gave the level: then `log_level` does not replace it. */
  readonly logLevelFixed: boolean
  readonly dryRun: boolean
  readonly daemon: boolean
  readonly strict: boolean
  readonly supervisor: boolean
  readonly sosReport: boolean
  /** Where to change to before the configuration is read; `-e` files are loaded before that. */
  readonly workdir: string | undefined
  readonly trace: TraceRequest | undefined
  /** What was read and has no effect, to be logged as warnings. */
  readonly notices: readonly Notice[]
}

/** A tap on an input that is to be set at start (`--trace` and its parts). */
export interface TraceRequest {
  readonly input: string
  readonly output: string
  /** Keys and values in the order given. */
  readonly properties: readonly (readonly [string, string])[]
}

export interface Notice {
  readonly message: string
  readonly at: Location
}

/** What the meaning of a command line depends on besides its words. */
export interface ArgumentEnvironment {
  /** FLB_LOG_LEVEL; a word that is no level is ignored. */
  readonly logLevel?: string | undefined
}

/**
 * Reads the command line.
 *
 * @param argv The words after the program's name.
 * @returns What to do. `-V`, `-h`, `-J` and mistakes act where they stand: nothing after them is
 * read.
 */
export function parseArguments(
  argv: readonly string[],
  environment: ArgumentEnvironment = {}
): Command {
  return readTokens(splitArguments(argv, COMMAND_LINE_OPTIONS), environment)
}

/** Like `parseArguments`, for a line that is split already. */
export function readTokens(
  tokens: readonly Token[],
  environment: ArgumentEnvironment = {}
): Command {
  const draft = new Draft()
  for (const token of tokens) {
    const command = draft.apply(token)
    if (command !== undefined) return command
  }
  return draft.finish(environment)
}

interface DraftSection {
  readonly kind: SectionKind
  readonly title: string
  readonly at: Location
  readonly entries: MapEntry[]
  readonly groups: readonly Section[]
}

interface LastPlugin {
  readonly pluginKind: PluginKind
  readonly name: string
  readonly section: DraftSection
}

/** The options that cannot end the reading. */
type SettingAction = Exclude<OptionAction, 'version' | 'help' | 'helpJson' | 'property' | 'tag'>

type OptionToken = Extract<Token, { kind: 'option' }>

const INFO = LOG_LEVELS.indexOf('info')

/** The run as far as it has been read. */
class Draft {
  readonly #service: MapEntry[] = []
  readonly #sections: Record<PluginKind, DraftSection[]> = {
    custom: [],
    input: [],
    processor: [],
    filter: [],
    output: []
  }
  readonly #streamTasks: DraftSection[] = []
  readonly #plugins: PluginFile[] = []
  readonly #notices: Notice[] = []
  readonly #traceProperties: (readonly [string, string])[] = []
  readonly #switches = new Set<OptionAction>()
  #traceInput: string | undefined
  #traceOutput: string | undefined
  #last: LastPlugin | undefined
  #configFile: string | undefined
  #workdir: string | undefined
  #levelRank = INFO

  /** Takes in one token; a command when the token ends the reading. */
  apply(token: Token): Command | undefined {
    if (token.kind === 'error') {
      return { kind: 'usageError', message: token.message, showHelp: true }
    }
    if (token.kind === 'word') {
      const message = `"${token.text}" is ignored: it belongs to no option`
      this.#notice(message, token.column)
      return undefined
    }
    if (token.option.later === true) {
      const message = `${optionLabel(token.option)} is read but has no effect in this version`
      const known = this.#notices.some(notice => notice.message === message)
      if (!known) this.#notice(message, token.column)
    }
    return this.#applyOption(token)
  }

  #applyOption(token: OptionToken): Command | undefined {
    const { option, value, column } = token
    if (option.service !== undefined) {
      const { key, value: fixed } = option.service
      this.#service.push(entry(key, fixed ?? value, column))
    }
    switch (option.action) {
      case 'version':
        return { kind: 'version' }
      case 'help':
        return this.#help('text')
      case 'helpJson':
        return this.#help('json')
      case 'property':
        return this.#property(value, column)
      case 'tag':
        return this.#tag(value, column)
      default:
        this.#set(option.action, value, column)
        return undefined
    }
  }

  #set(action: SettingAction, value: string, column: number): void {
    switch (action) {
      case 'service':
        break
      case 'custom':
      case 'input':
      case 'processor':
      case 'filter':
      case 'output':
        this.#startSection(action, value, column)
        break
      case 'match':
        this.#match(value, column)
        break
      case 'config':
        this.#configFile = value
        break
      case 'workdir':
        this.#workdir = value
        break
      case 'plugin':
        this.#plugins.push({ path: scalar(value, column) })
        break
      case 'streamTask':
        this.#streamTask(value, column)
        break
      case 'verbose':
        this.#levelRank++
        break
      case 'quiet':
        this.#levelRank = 0
        break
      case 'daemon':
      case 'dryRun':
      case 'strict':
      case 'supervisor':
      case 'sosReport':
        this.#switches.add(action)
        break
      case 'trace':
        this.#trace(value, column)
        break
      case 'traceInput':
        this.#traceInput = value
        break
      case 'traceOutput':
        this.#traceOutput = value
        break
      case 'traceOutputProperty':
        this.#traceProperty(value, column)
        break
    }
  }

  /** The run, once every word has been read. */
  finish(environment: ArgumentEnvironment): RunCommand {
    const fixed = logLevelNamed(environment.logLevel)
    const { custom, input, processor, filter, output } = this.#sections
    for (const section of processor) {
      const message = `-r (--processor) is ignored: it names a processor for -h and configures none`
      this.#notice(message, section.at.column)
    }
    return {
      kind: 'run',
      configFile: this.#configFile,
      document: {
        env: [],
        service: this.#service,
        customs: custom,
        inputs: input,
        filters: filter,
        outputs: output,
        parsers: [],
        multilineParsers: [],
        streamTasks: this.#streamTasks,
        upstreams: [],
        plugins: this.#plugins,
        others: []
      },
      logLevel: fixed ?? LOG_LEVELS[Math.min(this.#levelRank, LOG_LEVELS.length - 1)],
      logLevelFixed: fixed !== undefined,
      dryRun: this.#switches.has('dryRun'),
      daemon: this.#switches.has('daemon'),
      strict: this.#switches.has('strict'),
      supervisor: this.#switches.has('supervisor'),
      sosReport: this.#switches.has('sosReport'),
      workdir: this.#workdir,
      trace: this.#traceRequest(),
      notices: this.#notices
    }
  }

  #help(format: HelpFormat): Command {
    if (this.#last === undefined) return { kind: 'help', format }
    const { pluginKind, name } = this.#last
    return { kind: 'pluginHelp', format, pluginKind, name }
  }

  #startSection(pluginKind: PluginKind, name: string, column: number): void {
    const section: DraftSection = {
      kind: pluginKind === 'processor' ? 'other' : pluginKind,
      title: pluginKind,
      at: location(column),
      entries: [entry('name', name, column)],
      groups: []
    }
    this.#sections[pluginKind].push(section)
    this.#last = { pluginKind, name: trim(name), section }
  }

  #property(text: string, column: number): Command | undefined {
    if (this.#last === undefined) return misplaced(`property "${text}"`, '-p')
    const equals = text.indexOf('=')
    const writtenKey = trim(text.slice(0, Math.max(0, equals)))
    if (writtenKey === '') {
      this.#notice(`-p "${text}" is ignored: it is not of the form KEY=VALUE`, column)
      return undefined
    }
    const valueColumn = column + characters(text.slice(0, equals + 1))
    this.#last.section.entries.push({
      key: writtenKey.toLowerCase(),
      writtenKey,
      at: location(column + leadingSpace(text)),
      value: scalar(text.slice(equals + 1), valueColumn)
    })
    return undefined
  }

  #tag(text: string, column: number): Command | undefined {
    if (this.#last === undefined) return misplaced(`tag "${text}"`, '-t')
    this.#last.section.entries.push(entry('tag', text, column))
    return undefined
  }

  #match(text: string, column: number): void {
    const kind = this.#last?.pluginKind
    if (this.#last === undefined || (kind !== 'filter' && kind !== 'output')) {
      this.#notice(`-m "${text}" is ignored: it does not follow an -F or an -o`, column)
      return
    }
    this.#last.section.entries.push(entry('match', text, column))
  }

  #streamTask(sql: string, column: number): void {
    const name = `flb-console:${this.#streamTasks.length}`
    this.#streamTasks.push({
      kind: 'stream_task',
      title: 'stream_task',
      at: location(column),
      entries: [entry('name', name, column), entry('exec', sql, column)],
      groups: []
    })
  }

  /** `input=dummy.0 output=stdout output.format=json`; reading stops at a word without `=`. */
  #trace(text: string, column: number): void {
    for (const word of text.split(' ')) {
      if (word === '') continue
      const equals = word.indexOf('=')
      if (equals < 0) {
        this.#notice(`--trace stops at "${word}": it is not of the form KEY=VALUE`, column)
        return
      }
      const key = word.slice(0, equals)
      const value = word.slice(equals + 1)
      if (key === 'input') this.#traceInput = value
      else if (key === 'output') this.#traceOutput = value
      else if (key.startsWith('output.')) {
        this.#traceProperties.push([key.slice('output.'.length), value])
      }
    }
  }

  #traceProperty(text: string, column: number): void {
    const equals = text.indexOf('=')
    if (equals > 0) {
      this.#traceProperties.push([text.slice(0, equals), text.slice(equals + 1)])
      return
    }
    const message = `--trace-output-property "${text}" is ignored: it is not of the form KEY=VALUE`
    this.#notice(message, column)
  }

  #traceRequest(): TraceRequest | undefined {
    if (this.#traceInput === undefined) return undefined
    return {
      input: this.#traceInput,
      output: this.#traceOutput ?? 'stdout',
      properties: this.#traceProperties
    }
  }

  #notice(message: string, column: number): void {
    this.#notices.push({ message, at: location(column) })
  }
}

function misplaced(object: string, option: string): Command {
  const message = `Cannot set ${object}: ${option} must follow the -i, -F, -o or -C that it belongs to`
  return { kind: 'usageError', message, showHelp: false }
}

function logLevelNamed(word: string | undefined): LogLevel | undefined {
  const wanted = word?.toLowerCase()
  if (wanted === 'warning') return 'warn'
  return LOG_LEVELS.find(level => level === wanted)
}

function entry(key: string, value: string, column: number): MapEntry {
  return { key, writtenKey: key, at: location(column), value: scalar(value, column) }
}

function scalar(text: string, column: number): ScalarNode {
  const at = location(column + leadingSpace(text))
  return { kind: 'scalar', text: trim(text), quoted: false, at }
}

function location(column: number): Location {
  return { file: 'command line', line: 1, column }
}

/** Removes what C's `isspace` calls space, as Fluent Bit does with every key and value. */
function trim(text: string): string {
  return text.replaceAll(/^[ \t-\r]+|[ \t-\r]+$/g, '')
}

function leadingSpace(text: string): number {
  return text.search(/[^ \t-\r]|$/)
}
