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
  /** `-c`; it or `path` is there. */
  readonly configFile: string | undefined
  /** Folder of the letters, instead of the configuration's. */
  readonly path: string | undefined
  /** Alias or name of an output. */
  readonly output: string | undefined
  /** True when nothing is to be asked. */
  readonly yes: boolean
  /** Letters that are meant. */
  readonly names: readonly string[]
}

/** Print a text: on standard output, or on standard error where the exit code is not 0. */
export interface TextCommand {
  readonly kind: 'text'
  readonly text: string
  readonly exitCode: 0 | 1
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

  list                    print the names of the letters and why they were given up
  show NAME...            print the records of letters
  replay [NAME...]        send letters again, all of them unless named

  -c, --config FILE       the configuration whose letters are meant
      --path FOLDER       the folder of the letters, instead of the configuration's
      --output NAME       alias or name of the output that is meant
      --yes               do not ask
  -h, --help              print this help
`

const CONFIG = ownOption('config', 'FILE', 'c')
const PATH = ownOption('path', 'FOLDER')
const OUTPUT = ownOption('output', 'NAME')
const YES = ownOption('yes')
const HELP = ownOption('help', '', 'h')

function parseDlq(argv: readonly string[]): DlqCommand | TextCommand {
  const values = new Map<OptionSpec, string>()
  const words: string[] = []
  for (const token of splitArguments(argv, [CONFIG, PATH, OUTPUT, YES, HELP])) {
    if (token.kind === 'error') return usageError('dlq', token.message)
    if (token.kind === 'word') words.push(token.text)
    else if (token.option === HELP) return helpText(DLQ_HELP)
    else values.set(token.option, token.value)
  }
  const [, action, ...names] = words
  const known = DLQ_ACTIONS.find(candidate => candidate === action)
  if (known === undefined) return usageError('dlq', unknownAction(action))
  const configFile = values.get(CONFIG)
  const path = values.get(PATH)
  if (configFile === undefined && path === undefined) {
    return usageError('dlq', 'Cannot find dead letters: neither -c FILE nor --path FOLDER is given')
  }
  if (known === 'show' && names.length === 0) {
    return usageError(
      'dlq',
      'Cannot show dead letters: none is named; "spillway dlq list" has names'
    )
  }
  const output = values.get(OUTPUT)
  return { kind: 'dlq', action: known, configFile, path, output, yes: values.has(YES), names }
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
  return { kind: 'text', text: `${message}\nTry "spillway ${command} --help"\n`, exitCode: 1 }
}
