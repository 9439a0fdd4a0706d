/** Runs a case through a program: Fluent Bit, or bin/spillway. */
import { spawn } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { changedFiles, type ParityCase, placeCase, readTree, type RunResult } from './case.ts'
import { logWithPlaceholders, withPlaceholders } from './placeholders.ts'

/** A program that has written nothing new for so long has done its work; longer where it is known that more should come. */
const QUIET_MS = 1500
const QUIET_EXPECTING_MS = 5000
const POLL_MS = 50

/** The last log line of a start. */
const STARTED = '[engine] Shutdown Grace Period='
const RUN_MAX_MS = 20_000

/** Says that a run has given all that is expected, so that it can be stopped at once. */
export type IsComplete = (result: RunResult) => boolean

/** Runs a program in a fresh copy of the case's folder. */
export async function runProgram(
  program: string,
  parityCase: ParityCase,
  isComplete?: IsComplete
): Promise<RunResult> {
  const work = realpathSync(mkdtempSync(join(tmpdir(), 'parity-')))
  const directory = join(work, 'case')
  placeCase(parityCase, directory)
  try {
    return await new ProgramRun(program, parityCase, work, directory).run(isComplete)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

class ProgramRun {
  readonly #program: string
  readonly #case: ParityCase
  readonly #directory: string
  readonly #stdout: string
  readonly #stderr: string
  readonly #before: ReadonlyMap<string, string>
  readonly #beginMs = Date.now()

  constructor(program: string, parityCase: ParityCase, work: string, directory: string) {
    this.#program = program
    this.#case = parityCase
    this.#directory = directory
    this.#stdout = join(work, 'stdout')
    this.#stderr = join(work, 'stderr')
    this.#before = readTree(directory)
  }

  async run(isComplete: IsComplete | undefined): Promise<RunResult> {
    const { args, environment, stdin } = this.#case
    const output = openSync(this.#stdout, 'a')
    const error = openSync(this.#stderr, 'a')
    const child = spawn(this.#program, args, {
      cwd: this.#directory,
      env: { ...runEnvironment(), ...environment },
      stdio: [stdin === undefined ? 'ignore' : 'pipe', output, error]
    })
    for (const fd of [output, error]) closeSync(fd)
    if (stdin !== undefined) child.stdin?.end(readFileSync(join(this.#directory, stdin)))
    const ended = new Promise<string>(resolve => {
      child.on('exit', (code, signal) => resolve(`exit ${signal ?? code}`))
      child.on('error', cause => resolve(cause.message))
    })
    let end: string | undefined
    void ended.then(text => (end = text))
    const isDone = await this.#wait(() => end !== undefined, isComplete)
    if (isDone) return this.#result(await ended)
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), RUN_MAX_MS)
    const stopped = await ended
    clearTimeout(killer)
    return this.#result(`stopped, ${stopped}`)
  }

  /** Waits until the program has ended (true), or has nothing more to say (false). */
  async #wait(hasEnded: () => boolean, isComplete: IsComplete | undefined): Promise<boolean> {
    const quietMs = isComplete === undefined ? QUIET_MS : QUIET_EXPECTING_MS
    let size = -1
    let quietSinceMs = Date.now()
    while (Date.now() < this.#beginMs + RUN_MAX_MS) {
      await sleep(POLL_MS)
      if (hasEnded()) return true
      const current = this.#size()
      if (current !== size) {
        size = current
        quietSinceMs = Date.now()
      }
      if (isComplete?.(this.#result('stopped, exit 0')) === true) return false
      if (Date.now() > quietSinceMs + quietMs && !this.#isBusy()) return false
    }
    return false
  }

  /** Whether the program starts or stops at the moment; it ends by itself then, or has more to say. */
  #isBusy(): boolean {
    const log = readFileSync(this.#stderr, 'latin1')
    return !log.includes(STARTED) || log.includes('[engine] service will shutdown')
  }

  #size(): number {
    let size = statSync(this.#stdout).size
    for (const content of readTree(this.#directory).values()) size += content.length
    return size
  }

  #result(end: string): RunResult {
    const window = { beginMs: this.#beginMs, endMs: Date.now() }
    const files = changedFiles(this.#before, readTree(this.#directory))
    return {
      stdout: withPlaceholders(readFileSync(this.#stdout, 'latin1'), window),
      files: new Map([...files].map(([path, text]) => [path, withPlaceholders(text, window)])),
      log: logWithPlaceholders(readFileSync(this.#stderr, 'latin1'), this.#directory),
      end
    }
  }
}

/** The variables that every run gets. */
export function runEnvironment(): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: process.env['HOME'] ?? '/',
    TZ: 'UTC',
    HOSTNAME: 'parity-host'
  }
}
