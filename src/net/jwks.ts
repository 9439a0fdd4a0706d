/**
 * Public keys of a token issuer: a JSON Web Key Set (RFC 7517), fetched when it is needed and kept for a while.
 *
 *     {"keys": [{"kty": "RSA", "kid": "…", "n": "…", "e": "AQAB"}, …]}
 *
 * Source: Fluent Bit 5.1.1 src/flb_oauth2_jwt.c oauth2_jwks_fetch_keys(), oauth2_jwks_parse_json().
 * Differs: after a failure the next fetch waits a second, so that requests with any token cannot cause a storm of them.
 * A set may be longer than 4 KB.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { parseJsonObject } from './json_object.ts'
import { networkError } from './network_error.ts'

/** GETs a URL and gives the body of an answer with status 200; anything else is an error. It limits the answer. */
export type FetchJson = (url: URL) => Promise<Buffer>

/** A set that is longer is cut off. */
const KEYS_MAX = 1_000

const REFRESH_SECONDS = 300

/** Between a failed fetch and the next one. */
const PAUSE_MS = 1_000

/** Keeps the keys of one URL. */
export class KeySet {
  readonly #url: URL
  readonly #refreshMs: number
  readonly #fetch: FetchJson
  readonly #clock: Clock
  readonly #log: Logger
  #keys: ReadonlyMap<string, KeyObject> = new Map()
  #staleAtMs = -Infinity
  #failedAtMs = -Infinity
  /** The fetch that is under way. */
  #pending: Promise<boolean> | undefined

  /** @param options.refreshSeconds Age at which the keys are fetched again; 0 or less is 300. */
  constructor(options: {
    readonly url: URL
    readonly refreshSeconds: number
    readonly fetchJson: FetchJson
    readonly clock: Clock
    readonly log: Logger
  }) {
    const { refreshSeconds } = options
    this.#url = options.url
    this.#refreshMs = (refreshSeconds > 0 ? refreshSeconds : REFRESH_SECONDS) * 1000
    this.#fetch = options.fetchJson
    this.#clock = options.clock
    this.#log = options.log
  }

  /** Fetches the keys when they are too old. False when that is so, and it did not work: none may be used then. */
  fresh(): boolean | Promise<boolean> {
    const now = this.#clock.monotonic()
    if (now < this.#staleAtMs) return true
    if (this.#pending !== undefined) return this.#pending
    if (now - this.#failedAtMs < PAUSE_MS) return false
    this.#pending = this.#refresh().finally(() => {
      this.#pending = undefined
    })
    return this.#pending
  }

  /** A key of the set; an unknown one is no reason to fetch, or anybody could cause fetches. */
  key(id: string): KeyObject | undefined {
    return this.#keys.get(id)
  }

  async #refresh(): Promise<boolean> {
    const keys = await this.#read()
    const now = this.#clock.monotonic()
    if (keys === undefined) {
      this.#failedAtMs = now
      return false
    }
    this.#keys = keys
    this.#staleAtMs = now + this.#refreshMs
    return true
  }

  async #read(): Promise<ReadonlyMap<string, KeyObject> | undefined> {
    let body: Buffer
    try {
      body = await this.#fetch(this.#url)
    } catch (cause) {
      this.#log.error(`HTTP request failed: ${networkError(cause).message}`)
      return undefined
    }
    const keys = readKeys(body)
    if (keys === undefined) this.#log.error('failed to parse JWKS JSON')
    else if (keys.size === 0) this.#log.error('No valid keys found in JWKS')
    return keys?.size === 0 ? undefined : keys
  }
}

/** The RSA keys of a set by their ids; undefined for what is no JSON object. */
function readKeys(body: Buffer): Map<string, KeyObject> | undefined {
  const set = parseJsonObject(body)
  if (set === undefined) return undefined
  const keys = new Map<string, KeyObject>()
  const list: readonly unknown[] = Array.isArray(set['keys']) ? set['keys'] : []
  for (const entry of list.slice(0, KEYS_MAX)) {
    if (typeof entry !== 'object' || entry === null) continue
    const { kty = 'RSA', kid, n, e } = entry as Record<string, unknown>
    if (
      kty !== 'RSA' ||
      typeof kid !== 'string' ||
      typeof n !== 'string' ||
      typeof e !== 'string'
    ) {
      continue
    }
    const key = importKey(n, e)
    if (key !== undefined) keys.set(kid, key)
  }
  return keys
}

function importKey(n: string, e: string): KeyObject | undefined {
  try {
    return createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' })
  } catch {
    return undefined
  }
}
