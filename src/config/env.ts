/**
 * Variables of a configuration: `${NAME}` and `${NAME:-default}`.
 * Source: Fluent Bit 5.1.1 src/flb_env.c; reference, section 2.5.
 * Differs: a `}` before `${` does not end the expansion of the rest of the text, and text behind an
 * unterminated `${` is kept (Fluent Bit drops it when a variable stands before it).
 */
import { readFileSync } from 'node:fs'
import type { Diagnostics } from './diagnostics.ts'
import type { EnvEntry } from './model.ts'

const FILE_PREFIX = 'file://'
/** Fluent Bit leaves longer names alone. */
const NAME_LENGTH_MAX = 4095

export interface Expansion {
  readonly text: string
  /** Variables that are used without a default and not set; they expand to nothing. */
  readonly unset: readonly string[]
}

export interface EnvironmentOptions {
  /** In file order; a later entry replaces an earlier one of the same name. */
  readonly entries: readonly EnvEntry[]
  /** `process.env`; an empty value counts as unset. */
  readonly processEnvironment: Readonly<Record<string, string | undefined>>
  /** The value of HOSTNAME where the process environment has none. */
  readonly hostname: string
  /** Milliseconds since the epoch; decides when a `file://` value is read again. */
  readonly now: () => number
  /** Takes files that cannot be read at the start. */
  readonly diagnostics: Diagnostics
  /** What another environment has as `variables`, instead of `entries` and the host's name. */
  readonly variables?: ReadonlyMap<string, Variable>
  /** Told when a file cannot be read again; the last value stays. */
  readonly onRefreshFailure?: (message: string) => void
}

export interface Variable {
  value: string
  /** The value that the configuration was made with. */
  used: string
  readonly path: string | undefined
  readonly refreshMs: number
  readMs: number
}

/** Looks variables up: those of the configuration first, then the process environment. */
export class Environment {
  readonly #variables = new Map<string, Variable>()
  readonly #process: Readonly<Record<string, string | undefined>>
  readonly #now: () => number
  readonly #onRefreshFailure: (message: string) => void

  constructor(options: EnvironmentOptions) {
    this.#process = options.processEnvironment
    this.#now = options.now
    this.#onRefreshFailure = options.onRefreshFailure ?? (() => {})
    for (const [name, variable] of options.variables ?? []) {
      this.#variables.set(name, { ...variable })
    }
    if (options.variables !== undefined) return
    if (this.#process.HOSTNAME === undefined) this.#define('HOSTNAME', options.hostname)
    for (const entry of options.entries) this.#add(entry, options.diagnostics)
  }

  /** What is defined beside the process environment, as plain data: another thread has the same without reading files. */
  get variables(): ReadonlyMap<string, Variable> {
    return this.#variables
  }

  /** Files that variables come from. */
  get paths(): string[] {
    return [...this.#variables.values()].flatMap(({ path }) => path ?? [])
  }

  /** The shortest time between two reads of a file, in milliseconds; undefined when none is read again. */
  get refreshMs(): number | undefined {
    const times = [...this.#variables.values()].flatMap(variable =>
      isRefreshed(variable) ? [variable.refreshMs] : []
    )
    return times.length === 0 ? undefined : Math.min(...times)
  }

  /** Reads files again whose time has come; gives the variables that have other values than the configuration was made with. */
  refresh(): string[] {
    return [...this.#variables].flatMap(([name, variable]) => {
      if (!isRefreshed(variable) || this.#refreshed(variable) === variable.used) return []
      variable.used = variable.value
      return [name]
    })
  }

  /** Replaces the variables of a text but for those whose files are read again: they can be looked up when they are needed. */
  expandLasting(text: string): string {
    return this.#expand(text, name => {
      const variable = this.#variables.get(name)
      return variable === undefined || !isRefreshed(variable)
    }).text
  }

  /** The value of a variable; undefined when it is not set. */
  get(name: string): string | undefined {
    const variable = this.#variables.get(name)
    if (variable !== undefined) return this.#refreshed(variable)
    const value = this.#process[name]
    return value === '' ? undefined : value
  }

  /** Replaces every variable of a text. Values are not expanded again. */
  expand(text: string): Expansion {
    return this.#expand(text, () => true)
  }

  #expand(text: string, isMeant: (name: string) => boolean): Expansion {
    const unset: string[] = []
    let expanded = ''
    let rest = 0
    let start = text.indexOf('${')
    while (start !== -1) {
      const end = text.indexOf('}', start)
      if (end === -1) break
      const body = text.slice(start + 2, end)
      if (isReplaced(body) && isMeant(nameOf(body))) {
        expanded += text.slice(rest, start) + this.#valueOf(body, unset)
        rest = end + 1
      }
      start = text.indexOf('${', end)
    }
    return { text: expanded + text.slice(rest), unset }
  }

  #valueOf(body: string, unset: string[]): string {
    const colon = body.indexOf(':')
    const fallback =
      body.startsWith(':-', colon) && colon !== -1 ? body.slice(colon + 2) : undefined
    const name = nameOf(body)
    const value = this.get(name)
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value
    if (value === undefined) unset.push(name)
    return value ?? ''
  }

  #add(entry: EnvEntry, diagnostics: Diagnostics): void {
    const { name, value, refreshSeconds } = entry
    if (!value.startsWith(FILE_PREFIX) || value === FILE_PREFIX) return this.#define(name, value)
    const path = value.slice(FILE_PREFIX.length)
    const read = readValue(path)
    if (read.value !== undefined) {
      return this.#define(name, read.value, path, Math.max(0, refreshSeconds) * 1000)
    }
    const message = `Cannot set variable "${name}" from file "${path}": ${read.reason}`
    if (entry.required) diagnostics.error('CFG_ENV_FILE', message, entry.at)
    else diagnostics.warning('CFG_ENV_FILE', message, entry.at)
  }

  #define(name: string, value: string, path?: string, refreshMs = 0): void {
    this.#variables.set(name, { value, used: value, path, refreshMs, readMs: this.#now() })
  }

  #refreshed(variable: Variable): string {
    const { path, refreshMs, readMs } = variable
    if (path === undefined || refreshMs === 0 || this.#now() - readMs < refreshMs) {
      return variable.value
    }
    const read = readValue(path)
    variable.readMs = this.#now()
    if (read.value === undefined) {
      this.#onRefreshFailure(`Cannot read file "${path}" again: ${read.reason}`)
      return variable.value
    }
    variable.value = read.value
    return variable.value
  }
}

/** True when a text holds a variable that `expand` would replace. */
export function hasVariables(text: string): boolean {
  let start = text.indexOf('${')
  while (start !== -1) {
    const end = text.indexOf('}', start)
    if (end === -1) return false
    if (isReplaced(text.slice(start + 2, end))) return true
    start = text.indexOf('${', end)
  }
  return false
}

/** True for a variable whose file is read again. */
function isRefreshed({ path, refreshMs }: Variable): boolean {
  return path !== undefined && refreshMs > 0
}

/** `NAME` of `NAME:-default`. */
function nameOf(body: string): string {
  const colon = body.indexOf(':')
  return colon !== -1 && body.startsWith(':-', colon) ? body.slice(0, colon) : body
}

/** `${}` and names beyond the limit stay as they are. */
function isReplaced(body: string): boolean {
  return body !== '' && body.length <= NAME_LENGTH_MAX
}

type ValueReading =
  | { readonly value: string }
  | { readonly value: undefined; readonly reason: string }

/** A file's content without its last line end. */
function readValue(path: string): ValueReading {
  try {
    const value = readFileSync(path, 'utf8').replace(/[\n\r]$/, '')
    return value === ''
      ? { value: undefined, reason: 'it is empty, it must hold the value' }
      : { value }
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const reason = missing ? 'it does not exist' : (cause as Error).message
    return { value: undefined, reason }
  }
}
