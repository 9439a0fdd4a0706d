/**
 * The commands that Spillway has beside Fluent Bit's options, which knows no words: `check` and `dlq` as the first word.
 * Their own options must be written in full.
 */
import { suggest } from '../base/suggest.ts'
import {
  type ArgumentEnvironment,
  type Command,
  parseArguments,
  readTokens,
  type RunCommand
} from './args.ts'
import { splitArguments } from './getopt.ts'
import { COMMAND_LINE_OPTIONS, type OptionSpec } from './options.ts'

/** What the command line asks for, with our own commands. */
export type CommandLine = Command | CheckCommand | DlqCommand | TextCommand

/** Check a configuration, as a dry run does, and say more about it. */
export interface CheckCommand {
  readonly kind: 'check'
  /** The run whose configuration is checked. */
  readonly run: RunCommand
  /** Print how records can be lost. */
  readonly loss: boolean
  /** Print it as JSON. */
  readonly json: boolean
}

const DLQ_ACTIONS = ['list', 'show', 'replay'] as const

/** Do something with dead letters. */
export interface DlqCommand {
  readonly kind: 'dlq'
  readonly action: (typeof DLQ_ACTIONS)[number]
  /** `-c`; it or `path` is there, and for a replay it is. */
  readonly configFile: string | undefined
  /** Folder of the letters, instead of the configuration's. */
  readonly path: string | undefined
  /** Alias or name of the output that gave the letters up; undefined for all. */
  readonly output: string | undefined
  /** Letters that are meant; empty for all. */
  readonly names: readonly string[]
  /** List them as JSON. */
  readonly json: boolean
  /** Alias or name of the output to replay to, instead of the one that gave a letter up. */
  readonly to: string | undefined
  /** A replay ends when for this long nothing was delivered. */
  readonly timeoutSeconds: number
  /** `-e`: plugins that the configuration names. */
  readonly plugins: readonly string[]
}

/** Print a text: on standard output, or on standard error where the exit code is not 0. */
export interface TextCommand {
  readonly kind: 'text'
  readonly text: string
  readonly exitCode: 0 | 2
}

/** Reads the command line; see `parseArguments`. */
export function parseCommandLine(
  argv: readonly string[],
  environment: ArgumentEnvironment = {}
): CommandLine {
  if (argv[0] === 'check') return parseCheck(argv, environment)
  if (argv[0] === 'dlq') return parseDlq(argv)
  return parseArguments(argv, environment)
}

const CHECK_HELP = `Usage: spillway check [--loss [--json]] [OPTION]

Checks a configuration without running it. Prints all of its mistakes, each with its place; the exit
code is 0 when it is right.

  --loss                  print how records can be lost with it, the worst first, and what to set
                          so that they are not
  --json                  print that as JSON
  -h, --help              print this help

It takes all options of a run: -c, -i, -F, -o, -p, -e, -R, ... (spillway --help).
`

const LOSS = ownOption('loss')
const JSON_OUTPUT = ownOption('json')

function parseCheck(argv: readonly string[], environment: ArgumentEnvironment): CommandLine {
  const [, ...tokens] = splitArguments(argv, [...COMMAND_LINE_OPTIONS, LOSS, JSON_OUTPUT])
  const word = tokens.find(token => token.kind === 'word')
  if (word !== undefined) {
    const message = `Cannot check "${word.text}": a configuration file is given by -c FILE`
    return usageError('check', message)
  }
  const run = readTokens(tokens, environment)
  if (run.kind === 'usageError') return usageError('check', run.message)
  if (run.kind === 'help' && run.format === 'text') return helpText(CHECK_HELP)
  if (run.kind !== 'run') return run
  const has = (option: OptionSpec): boolean =>
    tokens.some(token => token.kind === 'option' && token.option === option)
  if (has(JSON_OUTPUT) && !has(LOSS)) {
    return usageError('check', 'Cannot use --json: it needs --loss')
  }
  return { kind: 'check', run, loss: has(LOSS), json: has(JSON_OUTPUT) }
}

const DLQ_HELP = `Usage: spillway dlq list|show|replay [OPTION] [NAME...]

Looks after dead letters: the records that outputs gave up, kept by "storage.keep.rejected on".
The agent may run meanwhile.

  list [NAME...]          print what the letters hold and why they were given up, oldest first
  show NAME...            print the records of letters as JSON lines, each letter after its note
  replay [NAME...]        send letters again, all of them unless named, and remove those that are
                          taken; the exit code is 0 when all were

  -c, --config FILE       the configuration whose letters are meant, and whose outputs take them
      --path FOLDER       the folder of the letters, instead of the configuration's
      --output NAME       only letters of the output with this alias or name
      --json              list: a JSON object a line
      --to NAME           replay: alias or name of the output to send to, instead of the one that
                          gave the letter up
      --timeout SECONDS   replay: end when for this long no letter was delivered (60)
  -e, --plugin FILE       replay: load a plugin that the configuration names
  -h, --help              print this help
`

const CONFIG = ownOption('config', 'FILE', 'c')
const PATH = ownOption('path', 'FOLDER')
const OUTPUT = ownOption('output', 'NAME')
const TO = ownOption('to', 'NAME')
const TIMEOUT = ownOption('timeout', 'SECONDS')
const PLUGIN = ownOption('plugin', 'FILE', 'e')
const HELP = ownOption('help', '', 'h')

const DLQ_OPTIONS = [CONFIG, PATH, OUTPUT, JSON_OUTPUT, TO, TIMEOUT, PLUGIN, HELP]

/** Options that only one action has. */
const ONLY: ReadonlyMap<OptionSpec, DlqCommand['action']> = new Map([
  [JSON_OUTPUT, 'list'],
  [TO, 'replay'],
  [TIMEOUT, 'replay'],
  [PLUGIN, 'replay']
])

const TIMEOUT_DEFAULT = '60'
const TIMEOUT_SECONDS_MAX = 1_000_000

function parseDlq(argv: readonly string[]): DlqCommand | TextCommand {
  const values = new Map<OptionSpec, string>()
  const plugins: string[] = []
  const words: string[] = []
  for (const token of splitArguments(argv, DLQ_OPTIONS)) {
    if (token.kind === 'error') return usageError('dlq', token.message)
    if (token.kind === 'word') {
      words.push(token.text)
      continue
    }
    if (token.option === HELP) return helpText(DLQ_HELP)
    if (token.option === PLUGIN) plugins.push(token.value)
    values.set(token.option, token.value)
  }
  const [, word, ...names] = words
  const action = DLQ_ACTIONS.find(candidate => candidate === word)
  if (action === undefined) return usageError('dlq', unknownAction(word))
  for (const option of values.keys()) {
    const only = ONLY.get(option)
    if (only !== undefined && only !== action) {
      return usageError('dlq', `Cannot use --${option.long[0]} with ${action}: it is for ${only}`)
    }
  }
  const command: DlqCommand = {
    kind: 'dlq',
    action,
    configFile: values.get(CONFIG),
    path: values.get(PATH),
    output: values.get(OUTPUT),
    names,
    json: values.has(JSON_OUTPUT),
    to: values.get(TO),
    timeoutSeconds: secondsOf(values.get(TIMEOUT) ?? TIMEOUT_DEFAULT),
    plugins
  }
  const mistake = mistakeOf(command, values.get(TIMEOUT))
  return mistake === undefined ? command : usageError('dlq', mistake)
}

/** NaN for what is no number of seconds. */
function secondsOf(text: string): number {
  return /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN
}

/** What a command lacks. */
function mistakeOf(command: DlqCommand, timeout: string | undefined): string | undefined {
  const { action, configFile, path, names, timeoutSeconds } = command
  if (configFile === undefined && path === undefined) {
    return 'Cannot find dead letters: neither -c FILE nor --path FOLDER is given'
  }
  if (action === 'show' && names.length === 0) {
    return 'Cannot show dead letters: none is named; "spillway dlq list" has names'
  }
  if (action === 'replay' && configFile === undefined) {
    return 'Cannot replay dead letters: -c FILE is not given, which has the outputs'
  }
  if (!(timeoutSeconds > 0 && timeoutSeconds <= TIMEOUT_SECONDS_MAX)) {
    return `Cannot use --timeout: value must be a number of seconds above 0, ${TIMEOUT_SECONDS_MAX} at most: current value is "${timeout}"`
  }
  return undefined
}

function unknownAction(word: string | undefined): string {
  const known = `known actions are ${DLQ_ACTIONS.join(', ')}`
  if (word === undefined) return `Cannot run dlq without an action: ${known}`
  const near = suggest(word, DLQ_ACTIONS)
  const hint = near === undefined ? '' : `; "${near}" is near`
  return `Cannot run dlq "${word}": there is no such action: ${known}${hint}`
}

/** An option of a command. The action is the one that does nothing by itself, for a reader that does not know it. */
function ownOption(long: string, value = '', short = ''): OptionSpec {
  return { action: 'service', short, long: [long], value, summary: '', own: true }
}

function helpText(text: string): TextCommand {
  return { kind: 'text', text, exitCode: 0 }
}

function usageError(command: string, message: string): TextCommand {
  return { kind: 'text', text: `${message}\nTry "spillway ${command} --help"\n`, exitCode: 2 }
}
