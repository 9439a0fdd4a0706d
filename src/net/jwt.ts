/**
 * Checks the bearer tokens that senders show to an input: JSON Web Tokens (RFC 7519) signed with RS256.
 *
 *     Authorization: Bearer base64url(header).base64url(claims).base64url(signature)
 *
 * Source: Fluent Bit 5.1.1 src/flb_oauth2_jwt.c. As there, `exp` is checked to the second and without leeway, `nbf` is
 * not looked at, `aud` is required also when any will do, and an unknown key is not searched for before the next refresh.
 * Differs: segments must be written as an encoder writes them (Fluent Bit takes spaces within, and bits that stand for
 * nothing), claims must end where their JSON ends, a header with `crit` is refused (RFC 7515 section 4.1.11), a token
 * may have TOKEN_BYTES_MAX bytes. Where a claim is given twice the last one counts.
 */
import assert from 'node:assert/strict'
import { constants, type KeyObject, verify } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { parseJsonObject } from './json_object.ts'
import { type FetchJson, KeySet } from './jwks.ts'
import { type SettingsMistake, urlMistake } from './oauth2_client.ts'

/** The `oauth2.*` keys of an input. An empty text is one that is not set. */
export interface JwtSettings {
  readonly issuer: string | undefined
  readonly jwksUrl: string | undefined
  /** Any unless set. */
  readonly allowedAudience: string | undefined
  /** All when empty. */
  readonly allowedClients: readonly string[]
  /** 0 or less is 300. */
  readonly jwksRefreshSeconds: number
}

export type JwtVerdict = { readonly ok: true } | { readonly ok: false; readonly reason: string }

/** Longest token that is looked at. */
export const TOKEN_BYTES_MAX = 16_384

/** What is shown in the log of what a sender chose. */
const SHOWN_MAX = 256

/** Characters that could break out of a line of the log. */
const NOT_SHOWN = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g

const BEARER = /^[ \t\n\v\f\r]*bearer /i

const VALID: JwtVerdict = { ok: true }

/** Fluent Bit says this for whatever goes wrong once a token could be read. */
const INVALID = 'invalid argument'

/** Finds what Fluent Bit refuses at its start, and a URL that it would fail with later. */
export function checkJwtSettings(settings: JwtSettings): SettingsMistake | undefined {
  const { issuer = '', jwksUrl = '' } = settings
  if (issuer === '' || jwksUrl === '') {
    const message = 'oauth2.issuer and oauth2.jwks_url are required when oauth2.validate is enabled'
    return { key: 'oauth2.validate', message }
  }
  const message = urlMistake(jwksUrl)
  return message === undefined ? undefined : { key: 'oauth2.jwks_url', message }
}

/** What a token says, as far as it matters. */
interface Jwt {
  readonly keyId: string
  readonly signed: string
  readonly signature: Buffer
  readonly expires: number
  readonly issuer: string
  readonly audiences: readonly unknown[]
  readonly client: string | undefined
}

/** Decides whether a request may come in. */
export class JwtValidator {
  readonly #issuer: string
  readonly #audience: string | undefined
  readonly #clients: ReadonlySet<string>
  readonly #keys: KeySet
  readonly #clock: Clock
  readonly #log: Logger

  /**
   * @param options.settings Without a mistake that `checkJwtSettings` finds.
   * @param options.log Of the instance; lines start with `[oauth2_jwt]` as Fluent Bit's do.
   */
  constructor(options: {
    readonly settings: JwtSettings
    readonly fetchJson: FetchJson
    readonly clock: Clock
    readonly log: Logger
  }) {
    const { settings, fetchJson, clock } = options
    const mistake = checkJwtSettings(settings)
    if (mistake !== undefined) assert.fail(mistake.message)
    const { issuer = '', jwksUrl = '', allowedAudience = '' } = settings
    this.#issuer = issuer
    this.#audience = allowedAudience === '' ? undefined : allowedAudience
    this.#clients = new Set(settings.allowedClients)
    this.#clock = clock
    this.#log = options.log.child('[oauth2_jwt] ')
    const refreshSeconds = settings.jwksRefreshSeconds
    const url = new URL(jwksUrl)
    this.#keys = new KeySet({ url, refreshSeconds, fetchJson, clock, log: this.#log })
  }

  /**
   * Checks the Authorization header of a request. Never throws for what a sender sent.
   *
   * @returns With `reason` in Fluent Bit's words, for `OAuth2 validation failed: %s (rejecting request with 401)`.
   */
  async check(authorizationHeader: string | undefined): Promise<JwtVerdict> {
    const token = this.#tokenOf(authorizationHeader)
    if (typeof token !== 'string') return token
    const jwt = parse(token)
    if (typeof jwt === 'string') {
      this.#log.debug(`failed to parse token: ${jwt}`)
      return refused(jwt)
    }
    if (!(await this.#keys.fresh())) {
      this.#log.debug('Failed to fetch JWKS: -1')
      return refused(INVALID)
    }
    const key = this.#keys.key(jwt.keyId)
    if (key === undefined) {
      this.#log.debug(`Key with kid '${shown(jwt.keyId)}' not found in JWKS`)
      return refused(INVALID)
    }
    if (!isSigned(jwt, key)) {
      this.#log.debug('Signature verification failed: ret=-1')
      return refused(INVALID)
    }
    return this.#checkClaims(jwt)
  }

  #tokenOf(header: string | undefined): string | JwtVerdict {
    if (header === undefined || header === '') return refused('missing authorization header')
    // The scheme and some room for spaces; before anything else looks at the text.
    if (header.length > TOKEN_BYTES_MAX + 64) return refused(INVALID)
    const scheme = BEARER.exec(header)?.[0]
    if (scheme === undefined) return refused('missing bearer token')
    const token = header.slice(scheme.length, lengthWithoutSpaces(header))
    if (token.length > TOKEN_BYTES_MAX || token === '') return refused(INVALID)
    const dots = token.split('.').length - 1
    if (dots !== 2) {
      this.#log.debug(
        `Token does not appear to be a JWT (expected 2 dots, found ${dots}). Keycloak may be returning opaque tokens instead of JWT access tokens.`
      )
      return refused('jwt must contain 3 segments')
    }
    return token
  }

  #checkClaims({ expires, issuer, audiences, client }: Jwt): JwtVerdict {
    const now = Math.floor(this.#clock.now() / 1000)
    if (expires <= now) {
      this.#log.debug(`Token expired: exp=${expires} <= now=${now}`)
      return refused(INVALID)
    }
    if (issuer !== this.#issuer) {
      const actual = shown(issuer)
      this.#log.debug(`Issuer mismatch: expected='${this.#issuer}', actual='${actual}'`)
      return refused(INVALID)
    }
    if (this.#audience !== undefined && !audiences.includes(this.#audience)) {
      this.#log.debug(
        `Audience mismatch: expected='${this.#audience}' not found in token audiences`
      )
      return refused(INVALID)
    }
    if (this.#clients.size > 0 && (client === undefined || !this.#clients.has(client))) {
      const name = shown(client ?? '(null)')
      this.#log.error(`Client ID '${name}' not in allowed list (rejecting request)`)
      return refused(INVALID)
    }
    return VALID
  }
}

function refused(reason: string): JwtVerdict {
  return { ok: false, reason }
}

/** Reads a token, or says in Fluent Bit's words why it cannot be one. Nothing in it has been proven yet. */
function parse(token: string): Jwt | string {
  const [headerText = '', claimsText = '', signatureText = ''] = token.split('.')
  const header = readHeader(headerText)
  if (typeof header === 'string') return header

  const claimsBytes = decodeSegment(claimsText)
  if (claimsBytes === undefined) return 'unable to decode payload'
  const claims = parseJsonObject(claimsBytes)
  if (claims === undefined) return 'invalid payload json'
  const { exp, iss, aud } = claims
  if (typeof exp !== 'number' || !Number.isInteger(exp) || exp <= 0) return 'missing exp claim'
  if (typeof iss !== 'string') return 'missing iss claim'
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (typeof audiences[0] !== 'string') return 'missing aud claim'

  const signature = decodeSegment(signatureText)
  if (signature === undefined) return 'unable to decode signature'
  return {
    keyId: header.keyId,
    signed: `${headerText}.${claimsText}`,
    signature,
    expires: exp,
    issuer: iss,
    audiences,
    client: clientOf(claims)
  }
}

/** RS256 alone: neither `none`, nor HMAC with the public key as its secret. */
function readHeader(text: string): { readonly keyId: string } | string {
  const bytes = decodeSegment(text)
  if (bytes === undefined) return 'unable to decode header'
  const header = parseJsonObject(bytes)
  if (header === undefined || header['crit'] !== undefined) return 'invalid header json'
  const { kid, alg } = header
  if (typeof kid !== 'string') return 'missing kid in header'
  return alg === 'RS256' ? { keyId: kid } : 'unsupported alg'
}

/** Bytes that can be written in only one way, so that no other text stands for the same token. */
function decodeSegment(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length > 0 && bytes.toString('base64url') === text ? bytes : undefined
}

/** `azp`, else `client_id`, else `appid` of ADFS. */
function clientOf(claims: Readonly<Record<string, unknown>>): string | undefined {
  const names = [claims['azp'], claims['client_id'], claims['appid']]
  return names.find(name => typeof name === 'string')
}

function isSigned({ signed, signature }: Jwt, key: KeyObject): boolean {
  const padding = constants.RSA_PKCS1_PADDING
  try {
    return verify('sha256', Buffer.from(signed), { key, padding }, signature)
  } catch {
    // OpenSSL refuses some keys only when they are used.
    return false
  }
}

/** Where the spaces at the end begin, as C's isspace() knows them. A regular expression would take a square of the time. */
function lengthWithoutSpaces(text: string): number {
  let length = text.length
  while (length > 0 && ' \t\n\v\f\r'.includes(text.charAt(length - 1))) length--
  return length
}

function shown(text: string): string {
  return text.slice(0, SHOWN_MAX).replace(NOT_SHOWN, '?')
}
