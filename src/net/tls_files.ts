/**
 * Certificates and keys from files, read again when a file has changed.
 * Source: Fluent Bit 5.1.1 src/tls/flb_tls.c (flb_tls_create, flb_tls_reload_if_needed), src/tls/openssl.c
 *
 * Node's module for TLS is loaded where there is TLS: it takes 12 ms.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { SecureContext, SecureContextOptions } from 'node:tls'
import { messageOf } from '../base/error_message.ts'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { systemError } from '../base/system_error.ts'
import type { TlsSettings } from './settings.ts'

/** Files are looked at no more often than this. */
const LOOK_INTERVAL_MS = 1_000

/** What the files held. */
interface Loaded {
  readonly options: SecureContextOptions
  readonly context: SecureContext
}

/**
 * Contexts in use, by settings and state of their files: each holds more than a megabyte that the heap knows nothing of,
 * and a reload that comes to nothing makes one for each instance.
 */
const shared = new Map<string, WeakRef<Loaded>>()

export class TlsFiles {
  readonly settings: TlsSettings
  readonly #log: Logger
  readonly #clock: Clock
  #loaded: Loaded
  #state: string
  #lookedMs: number

  /** @throws {Error} When a file cannot be read or is not what it should be; the message names it. */
  constructor(settings: TlsSettings, log: Logger, clock: Clock) {
    this.settings = settings
    this.#log = log
    this.#clock = clock
    this.#state = this.#stateOfFiles()
    this.#lookedMs = clock.monotonic()
    this.#loaded = this.#load(this.#state)
  }

  /** For the next handshake. Changed files that cannot be used leave the last good ones in force. */
  get current(): Loaded {
    const now = this.#clock.monotonic()
    if (now - this.#lookedMs < LOOK_INTERVAL_MS) return this.#loaded
    this.#lookedMs = now
    const state = this.#stateOfFiles()
    if (state === this.#state) return this.#loaded
    try {
      this.#loaded = this.#load(state)
      this.#state = state
      this.#log.info('[tls] reloaded TLS certificate configuration')
    } catch (cause) {
      const why = messageOf(cause)
      this.#log.error(`[tls] detected certificate file changes but reload failed: ${why}`)
    }
    return this.#loaded
  }

  #load(state: string): Loaded {
    const key = `${JSON.stringify(this.settings)}\n${state}`
    const known = shared.get(key)?.deref()
    if (known !== undefined) return known
    const loaded = load(this.settings)
    for (const [other, reference] of shared) {
      if (reference.deref() === undefined) shared.delete(other)
    }
    shared.set(key, new WeakRef(loaded))
    return loaded
  }

  #stateOfFiles(): string {
    const { caFile, caPath, certFile, keyFile } = this.settings
    return [caFile, caPath, certFile, keyFile].map(stateOf).join()
  }
}

function stateOf(path: string | undefined): string {
  if (path === undefined) return ''
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? 'missing' : `${stat.ino}:${stat.size}:${stat.mtimeMs}:${stat.ctimeMs}`
}

function load(settings: TlsSettings): Loaded {
  const { caFile, caPath, certFile, keyFile, keyPassword, minVersion, maxVersion, ciphers } =
    settings
  const options = {
    ca: trusted(caFile, caPath),
    ...(certFile === undefined ? {} : { cert: read('tls.crt_file', certFile) }),
    ...(keyFile === undefined ? {} : { key: read('tls.key_file', keyFile) }),
    ...(keyPassword === undefined ? {} : { passphrase: keyPassword }),
    ...(minVersion === undefined ? {} : { minVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
    ...(ciphers === undefined ? {} : { ciphers })
  }
  try {
    return { options, context: process.getBuiltinModule('node:tls').createSecureContext(options) }
  } catch (cause) {
    const why = messageOf(cause)
    const files = [caFile ?? caPath, certFile, keyFile].filter(file => file !== undefined)
    throw new Error(`Cannot use TLS files ${files.join(', ')}: ${why}`, { cause })
  }
}

/** Certificates to trust: those of the folder, else of the file, else of the machine. */
function trusted(caFile: string | undefined, caPath: string | undefined): (string | Buffer)[] {
  if (caPath !== undefined) {
    const names = listFolder(caPath).toSorted()
    return names.map(name => read('tls.ca_path', join(caPath, name)))
  }
  if (caFile !== undefined) return [read('tls.ca_file', caFile)]
  const { getCACertificates } = process.getBuiltinModule('node:tls')
  const ofMachine = getCACertificates('system')
  return ofMachine.length > 0 ? ofMachine : getCACertificates('bundled')
}

function listFolder(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    return entries.filter(entry => !entry.isDirectory()).map(entry => entry.name)
  } catch (cause) {
    throw new Error(`Cannot read tls.ca_path "${path}": ${systemError(cause).text}`, { cause })
  }
}

function read(key: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new Error(`Cannot read ${key} "${path}": ${systemError(cause).text}`, { cause })
  }
}
