/**
 * The texts of `-h` and the JSON of `-J`, in Fluent Bit's layout.
 * Source: Fluent Bit 5.1.1 src/fluent-bit.c (flb_help, help_format_text), src/flb_help.c.
 *
 * Differs: escape codes only on a terminal; an option without a default shows none, where Fluent
 * Bit prints `default: default`; names of 24 letters and more are followed by a space.
 */
import { FLUENT_BIT_VERSION, VERSION } from '../base/version.ts'
import type { PluginKind } from './args.ts'
import { COMMAND_LINE_OPTIONS, type OptionSpec } from './options.ts'

/** What help needs to know about one option. */
export interface HelpOption {
  /** As Fluent Bit names it: `string`, `boolean`, `space delimited strings (minimum 1)`. */
  readonly type: string
  /** As a user would write it; undefined when there is none. */
  readonly default: string | undefined
  readonly doc: string
}

/** Options by name, in the order to be shown. */
export type HelpOptions = Readonly<Record<string, HelpOption>>

/** What help needs to know about one plugin. */
export interface HelpPlugin {
  readonly kind: PluginKind
  readonly name: string
  readonly summary: string
  readonly options: HelpOptions
}

/** The options that a plugin shares with others of its kind; an absent table is not shown. */
export interface SharedOptions {
  /** Every plugin of the kind has them; custom plugins have none. */
  readonly global?: HelpOptions | undefined
  /** `host`, `port` and `listen`, shown before the plugin's own. */
  readonly address?: HelpOptions | undefined
  /** `http_server.*`, shown after the address. */
  readonly httpServer?: HelpOptions | undefined
  /** `net.*` */
  readonly networking?: HelpOptions | undefined
  /** `tls.*` */
  readonly networkTls?: HelpOptions | undefined
}

/** Name and summary of a plugin, for the lists of the general help. */
export interface PluginLine {
  readonly name: string
  readonly summary: string
}

export interface GeneralHelp {
  /** How the program was called. */
  readonly program: string
  /** True when the text goes to a terminal. */
  readonly bold: boolean
  readonly plugins: Readonly<Record<Exclude<PluginKind, 'custom'>, readonly PluginLine[]>>
}

const BOLD = '\u001b[1m'
const RESET = '\u001b[0m'

/** Width of the first column of the general help. */
const NAME_WIDTH = 24

/** Width up to which the descriptions of a plugin's options are filled. */
const LINE_WIDTH = 90

/** The text of `-h`. */
export function generalHelp({ program, bold, plugins }: GeneralHelp): string {
  const heading = (text: string): string => (bold ? `${BOLD}${text}${RESET}\n` : `${text}\n`)
  const list = (lines: readonly PluginLine[]): string =>
    lines.map(line => helpLine(line.name, line.summary)).join('')
  return [
    `Usage: ${program} [OPTION]\n\n`,
    heading('Available Options'),
    COMMAND_LINE_OPTIONS.map(option => helpLine(optionColumn(option), option.summary)).join(''),
    `\n${heading('Commands')}`,
    helpLine('check [--loss]', 'check the configuration, and say how it can lose records'),
    helpLine('dlq list|show|replay', 'look after dead letters'),
    `\n${heading('Inputs')}${list(plugins.input)}`,
    `\n${heading('Processors')}${list(plugins.processor)}`,
    `\n${heading('Filters')}${list(plugins.filter)}`,
    `\n${heading('Outputs')}${list(plugins.output)}`,
    `\n${heading('Internal')}`,
    ' Event Loop  = libuv\n',
    ` Runtime     = Node.js ${process.version}\n`
  ].join('')
}

function helpLine(name: string, summary: string): string {
  const column = name.length < NAME_WIDTH ? name.padEnd(NAME_WIDTH) : `${name} `
  return `  ${column}${summary}\n`
}

/** `-c, --config=FILE`, or `    --strict` for an option without a short form. */
function optionColumn({ short, long, value }: OptionSpec): string {
  const prefix = short === '' ? '    ' : `-${short}, `
  return `${prefix}--${long[0]}${value === '' ? '' : `=${value}`}`
}

/** The text of `-i NAME -h` and its like. */
export function pluginHelp(plugin: HelpPlugin, shared: SharedOptions, bold: boolean): string {
  const heading = (text: string): string => (bold ? `${BOLD}\n${text}\n${RESET}` : `\n${text}\n`)
  const groups = optionGroups(plugin, shared)
  const names = groups.flatMap(group => group.options.map(([name]) => name))
  const indent = Math.max(0, ...names.map(name => name.length)) + 2
  const parts = [
    bold ? `${BOLD}HELP${RESET}\n` : 'HELP\n',
    `${plugin.name} ${plugin.kind} plugin\n`,
    heading('DESCRIPTION'),
    `${plugin.summary}\n`
  ]
  for (const { title, options } of groups) {
    parts.push(heading(title.toUpperCase()))
    for (const [name, option] of options) parts.push(optionHelp(name, option, indent))
  }
  return parts.join('')
}

function optionHelp(name: string, option: HelpOption, indent: number): string {
  const margin = ' '.repeat(indent)
  const lines = wrap(option.doc, LINE_WIDTH - indent).join(`\n${margin}`)
  const fallback = option.default === undefined ? '' : `default: ${option.default}, `
  return `${name.padEnd(indent)}${lines}\n${margin}> ${fallback}type: ${option.type}\n\n`
}

/** Fills lines of at most `width` characters; a text without spaces stays whole. */
function wrap(text: string, width: number): string[] {
  if (text.length <= width) return [text]
  const lines: string[] = []
  let start = 0
  while (start < text.length) {
    let end = text.length
    if (start + width <= text.length) end = text.lastIndexOf(' ', start + width)
    if (end <= start) end = text.length
    lines.push(text.slice(start, end))
    start = end + 1
  }
  return lines
}

interface OptionGroup {
  readonly title: string
  readonly options: readonly (readonly [string, HelpOption])[]
}

/** The tables that apply, under the names and in the order that Fluent Bit gives them. */
function optionGroups(plugin: HelpPlugin, shared: SharedOptions): OptionGroup[] {
  const own = [shared.address, shared.httpServer, plugin.options].flatMap(table =>
    Object.entries(table ?? {})
  )
  const groups: OptionGroup[] = []
  const add = (title: string, table: HelpOptions | undefined): void => {
    if (table !== undefined) groups.push({ title, options: Object.entries(table) })
  }
  add('global_options', shared.global)
  if (own.length > 0) groups.push({ title: 'options', options: own })
  add('networking', shared.networking)
  add('network_tls', shared.networkTls)
  return groups
}

/** One plugin in the JSON of `-J`. */
export interface PluginSchema {
  readonly type: PluginKind
  readonly name: string
  readonly description: string
  /** Option lists by group: `global_options`, `options`, `networking`, `network_tls`. */
  readonly properties: Readonly<Record<string, readonly OptionSchema[]>>
}

export interface OptionSchema {
  readonly name: string
  readonly description: string
  readonly default: string | null
  readonly type: string
}

/** What `-i NAME -J` prints, before it is made JSON. */
export function pluginSchema(plugin: HelpPlugin, shared: SharedOptions): PluginSchema {
  const properties: Record<string, OptionSchema[]> = {}
  for (const { title, options } of optionGroups(plugin, shared)) {
    properties[title] = options.map(([name, option]) => ({
      name,
      description: option.doc,
      default: option.default ?? null,
      type: option.type
    }))
  }
  return { type: plugin.kind, name: plugin.name, description: plugin.summary, properties }
}

/** What `-J` prints for all plugins, before it is made JSON. */
export interface Schema {
  /** Says which Fluent Bit the schema describes, for tools that read it. */
  readonly 'fluent-bit': {
    readonly version: string
    readonly schema_version: string
    readonly os: string
  }
  readonly spillway: { readonly version: string }
  readonly customs: readonly PluginSchema[]
  readonly inputs: readonly PluginSchema[]
  readonly processors: readonly PluginSchema[]
  readonly filters: readonly PluginSchema[]
  readonly outputs: readonly PluginSchema[]
}

/** Puts the plugins' schemas together, by kind and in the order given. */
export function schema(plugins: readonly PluginSchema[]): Schema {
  const ofKind = (kind: PluginKind): PluginSchema[] =>
    plugins.filter(plugin => plugin.type === kind)
  return {
    'fluent-bit': { version: FLUENT_BIT_VERSION, schema_version: '1', os: process.platform },
    spillway: { version: VERSION },
    customs: ofKind('custom'),
    inputs: ofKind('input'),
    processors: ofKind('processor'),
    filters: ofKind('filter'),
    outputs: ofKind('output')
  }
}
