/** Runs the program as users do: the launcher, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { TestContext } from 'node:test'

const LAUNCHER = resolve(import.meta.dirname, '../../bin/spillway')

/** A folder with files, removed after the test. */
export function folder(t: TestContext, files: Readonly<Record<string, string>> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'spillway-run-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), content)
  }
  return path
}

export interface RunResult {
  /** Exit code, or the name of the signal that ended the program. */
  readonly code: number | NodeJS.Signals | null
  readonly stdout: string
  /** Log lines without their times and the banner. */
  readonly log: readonly string[]
  readonly stderr: string
}

/** A program that runs longer than this hangs. */
const RUN_LIMIT_MS = 30_000

/** A started program. */
export class RunningProgram {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly ended: Promise<RunResult>

  constructor(t: TestContext, directory: string, args: readonly string[], environment = {}) {
    this.child = spawn(LAUNCHER, args, {
      cwd: directory,
      env: { ...process.env, FLB_LOG_LEVEL: undefined, ...environment }
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    const limit = setTimeout(() => this.child.kill('SIGKILL'), RUN_LIMIT_MS)
    t.after(() => this.child.kill('SIGKILL'))
    this.ended = new Promise((resolveEnd, reject) => {
      this.child.on('error', reject)
      this.child.on('close', (code, signal) => {
        clearTimeout(limit)
        const { stdout, stderr } = this
        resolveEnd({ code: signal ?? code, stdout, stderr, log: logLines(stderr) })
      })
    })
  }

  /** Waits until a condition holds; fails after a bound. */
  async until(condition: () => boolean, limitMs = 10_000): Promise<void> {
    const deadline = performance.now() + limitMs
    while (!condition()) {
      if (performance.now() > deadline) {
        throw new Error(`still false after ${limitMs} ms: ${String(condition)}\n${this.stderr}`)
      }
      await new Promise(resolveTurn => setImmediate(resolveTurn))
    }
  }
}

/** Runs the program to its end. */
export async function runProgram(
  t: TestContext,
  directory: string,
  args: readonly string[],
  environment = {}
): Promise<RunResult> {
  return new RunningProgram(t, directory, args, environment).ended
}

function logLines(stderr: string): string[] {
  return stderr
    .split('\n')
    .filter(line => /^\[\d{4}\//.test(line))
    .map(line => line.replace(/^\[[^\]]*\] /, ''))
}
