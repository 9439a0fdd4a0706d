/**
 * The programs that are measured: Spillway as an installed package, Spillway from the checkout,
 * Fluent Bit.
 */
import { execFileSync, type ExecFileSyncOptions } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface Agent {
  readonly name: string
  readonly program: string
  readonly environment: Readonly<Record<string, string>>
  /** What the program is made of: read before each run, so that none waits for the disk. */
  readonly files: readonly string[]
}

const ROOT = join(import.meta.dirname, '..')

/**
 * Builds the package, installs it into `folder` as a user would, and gives the installed program.
 */
export function installSpillway(folder: string): Agent {
  const place = join(folder, 'package')
  rmSync(place, { recursive: true, force: true })
  mkdirSync(place, { recursive: true })
  const options: ExecFileSyncOptions = { stdio: ['ignore', 'ignore', 'inherit'] }
  execFileSync('npm', ['pack', '--silent', '--pack-destination', place], { ...options, cwd: ROOT })
  const archive = readdirSync(place).find(name => name.endsWith('.tgz'))
  if (archive === undefined) throw new Error('Cannot install Spillway: npm pack made no archive')
  const words = ['install', '--silent', '--no-save', '--prefix', place, join(place, archive)]
  execFileSync('npm', words, { ...options, cwd: place })
  const program = join(place, 'node_modules/.bin/spillway')
  const parts = join(place, 'node_modules/spillway/dist')
  return {
    name: 'Spillway',
    program,
    environment: { CACHE_DIRECTORY: join(folder, 'cache') },
    files: [process.execPath, ...readdirSync(parts).map(name => join(parts, name))].filter(isFile)
  }
}

/** Spillway as it starts in a checkout. */
export function checkoutSpillway(folder: string): Agent {
  const program = join(ROOT, 'bin/spillway')
  const environment = { CACHE_DIRECTORY: join(folder, 'cache') }
  return { name: 'Spillway (checkout)', program, environment, files: [process.execPath] }
}

/** The program that FLUENT_BIT names; undefined when it is not set. */
export function fluentBit(): Agent | undefined {
  const program = process.env['FLUENT_BIT']
  if (program === undefined || program === '') return undefined
  if (!existsSync(program)) throw new Error(`Cannot run Fluent Bit: no file "${program}"`)
  return { name: 'Fluent Bit', program, environment: {}, files: [program] }
}

function isFile(path: string): boolean {
  return statSync(path).isFile()
}
