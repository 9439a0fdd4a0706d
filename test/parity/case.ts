/**
 * Cases of the comparison with Fluent Bit: test/parity/cases/NAME.
 *
 *     fluent-bit.conf | fluent-bit.yaml   the configuration; a comment at its top says what the case is about
 *     arguments                           instead of it (or besides, with -c): the command line, one word a line
 *     environment                         variables, one NAME=value a line
 *     stdin                               what standard input gives
 *     anything else                       input files
 *     expected/stdout                     what Fluent Bit printed
 *     expected/files/…                    files that it made
 *     expected/log                        its warnings and errors
 *     expected/end                        how it ended, unless it ended by itself with status 0
 *
 * A case runs in a fresh copy of its folder, in which `conf` is the repository's `conf`, `shared` is test/parity/shared,
 * and `out` is there.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'

const CASES = join(import.meta.dirname, 'cases')
const SHARED = join(import.meta.dirname, 'shared')
const CONF = join(import.meta.dirname, '../../conf')

const LINKS = ['conf', 'shared']

export interface ParityCase {
  readonly name: string
  /** Where the case is kept. */
  readonly directory: string
  /** Words of the command line. */
  readonly args: readonly string[]
  /** The configuration file; undefined when the command line has it all. */
  readonly configuration: string | undefined
  readonly environment: Readonly<Record<string, string>>
  /** File that standard input comes from. */
  readonly stdin: string | undefined
  /** True when the case is about the program and not only about its pipeline. */
  readonly needsProgram: boolean
}

/** What a run left behind. Text is latin1, so that each character is a byte. */
export interface RunResult {
  readonly stdout: string
  /** Files that the run made or changed, by path. */
  readonly files: ReadonlyMap<string, string>
  /** Warnings and errors. */
  readonly log: string
  /** `exit 0`, or `stopped, exit 0` when it had to be asked. */
  readonly end: string
}

/** All cases by name, or those whose name has one of the words. */
export function readCases(words: readonly string[] = []): ParityCase[] {
  return readdirSync(CASES)
    .filter(name => words.length === 0 || words.some(word => name.includes(word)))
    .toSorted()
    .map(readCase)
}

function readCase(name: string): ParityCase {
  const directory = join(CASES, name)
  const has = (file: string): boolean => existsSync(join(directory, file))
  const configuration = ['fluent-bit.conf', 'fluent-bit.yaml'].find(has)
  const args = has('arguments') ? lines(join(directory, 'arguments')) : ['-c', configuration ?? '']
  return {
    name,
    directory,
    args,
    configuration,
    environment: has('environment') ? variables(join(directory, 'environment')) : {},
    stdin: has('stdin') ? 'stdin' : undefined,
    needsProgram: has('arguments') || has('stdin')
  }
}

function lines(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1)
}

function variables(path: string): Record<string, string> {
  return Object.fromEntries(
    lines(path).map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])
  )
}

/** Copies what a run needs into a new folder. */
export function placeCase({ directory }: ParityCase, target: string): void {
  const expected = join(directory, 'expected')
  cpSync(directory, target, { recursive: true, filter: source => source !== expected })
  symlinkSync(CONF, join(target, 'conf'))
  symlinkSync(SHARED, join(target, 'shared'))
  // Fluent Bit loses the data of an output that finds its folder made by another output meanwhile.
  mkdirSync(join(target, 'out'), { recursive: true })
}

/** Databases of positions: what they hold besides positions differs from run to run. */
const DATABASE = /\.db(-wal|-shm)?$/

/** Content of all files below a folder, by path in it; without the shared folders and databases. */
export function readTree(directory: string): Map<string, string> {
  const files = new Map<string, string>()
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()
  for (const path of paths) {
    const isShared = LINKS.some(link => path === link || path.startsWith(`${link}/`))
    if (isShared || DATABASE.test(path)) continue
    const stats = statSync(join(directory, path), { throwIfNoEntry: false })
    if (stats?.isFile() !== true) continue
    files.set(path, readFileSync(join(directory, path), 'latin1'))
  }
  return files
}

/** What is new in a folder: files made or changed. */
export function changedFiles(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>
): Map<string, string> {
  return new Map([...after].filter(([path, content]) => before.get(path) !== content))
}

const ENDED = 'exit 0'

/** The recorded result of Fluent Bit; undefined when there is none. */
export function readExpected({ directory }: ParityCase): RunResult | undefined {
  const expected = join(directory, 'expected')
  if (!existsSync(expected)) return undefined
  const read = (name: string, fallback: string): string => {
    const path = join(expected, name)
    return existsSync(path) ? readFileSync(path, 'latin1') : fallback
  }
  const files = join(expected, 'files')
  return {
    stdout: read('stdout', ''),
    files: existsSync(files) ? readTree(files) : new Map(),
    log: read('log', ''),
    end: read('end', `${ENDED}\n`).trimEnd()
  }
}

/** Replaces the recorded result. */
export function writeExpected(
  { directory }: ParityCase,
  { stdout, files, log, end }: RunResult
): void {
  const expected = join(directory, 'expected')
  rmSync(expected, { recursive: true, force: true })
  mkdirSync(expected)
  const write = (name: string, content: string): void => {
    mkdirSync(dirname(join(expected, name)), { recursive: true })
    writeFileSync(join(expected, name), content, 'latin1')
  }
  // Always there, so that a case without any output is recorded too.
  write('stdout', stdout)
  for (const [path, content] of files) write(join('files', path), content)
  if (log !== '') write('log', log)
  if (end !== ENDED) write('end', `${end}\n`)
}
