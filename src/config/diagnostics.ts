/**
 * What is wrong with a configuration, and where. Errors stop the start; warnings do not,
 * unless `--strict` turns them into errors. All of a run's mistakes are collected and shown at once.
 */
import type { ErrorCode } from './error_codes.ts'

/** A place in a configuration text. Lines and columns count from 1; columns are characters. */
export interface Location {
  /** As the user gave it, or `command line`. */
  readonly file: string
  readonly line: number
  readonly column: number
}

export type Severity = 'error' | 'warning'

/**
 * When Fluent Bit itself would find the mistake. It decides the exit code: 1 for what is found
 * while loading, 255 for what is found when the engine starts (reference, section 1.4).
 */
export type Stage = 'load' | 'start'

export interface Diagnostic {
  readonly code: ErrorCode
  readonly severity: Severity
  readonly stage: Stage
  readonly message: string
  readonly at?: Location | undefined
}

/** A mistake in the configuration, thrown where one mistake makes going on pointless. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code: ErrorCode
  readonly at: Location | undefined
  readonly stage: Stage

  constructor(code: ErrorCode, message: string, at?: Location, stage: Stage = 'load') {
    super(message)
    this.code = code
    this.at = at
    this.stage = stage
  }
}

/** Collects the diagnostics of one load. */
export class Diagnostics {
  readonly list: Diagnostic[] = []

  error(code: ErrorCode, message: string, at?: Location, stage: Stage = 'load'): void {
    this.list.push({ code, severity: 'error', stage, message, at })
  }

  warning(code: ErrorCode, message: string, at?: Location, stage: Stage = 'load'): void {
    this.list.push({ code, severity: 'warning', stage, message, at })
  }

  /** Takes over a thrown mistake; anything else is a bug and is thrown on. */
  capture(error: unknown): void {
    if (!(error instanceof ConfigError)) throw error
    this.error(error.code, error.message, error.at, error.stage)
  }

  get errors(): Diagnostic[] {
    return this.list.filter(entry => entry.severity === 'error')
  }
}

/** `pipeline.conf:14:5`, or the empty string for a mistake without a place. */
export function formatLocation(at: Location | undefined): string {
  return at === undefined ? '' : `${at.file}:${at.line}:${at.column}`
}
