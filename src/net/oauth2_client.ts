/**
 * Access tokens for an output: OAuth 2.0 client credentials (RFC 6749 section 4.4, RFC 7523 for private_key_jwt).
 *
 *     POST /token HTTP/1.1
 *     Host, Content-Length                       by the transport
 *     Content-Type: application/x-www-form-urlencoded
 *     User-Agent: oauth2.user_agent              when it is set; no other is sent
 *     Authorization: Basic base64(id:secret)     method basic
 *
 *     grant_type=client_credentials[&scope=][&audience=][&resource=]
 *       [&client_id=&client_secret=]                                    method post
 *       [&client_id=&client_assertion_type=&client_assertion=]          method private_key_jwt
 *
 * Source: Fluent Bit 5.1.1 src/flb_oauth2.c, plugins/out_http/http_conf.c.
 * Differs: `&` in the id and the secret of a client is encoded (Fluent Bit's form then breaks), but is left in scope,
 * audience and resource as there. Ids and audiences with quotes give valid assertions. An answer may be longer than 4
 * KB, and what stands in its strings is unescaped. A token that is empty or no text for a header is refused.
 */
import assert from 'node:assert/strict'
import {
  createHash,
  createPrivateKey,
  type KeyObject,
  randomUUID,
  sign,
  X509Certificate
} from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { systemError } from '../base/system_error.ts'
import { parseJsonObject } from './json_object.ts'
import { networkError } from './network_error.ts'

/** Sends a form by POST. Header values have one character for each byte. It limits the answer. */
export type PostForm = (
  url: URL,
  request: {
    /** Besides Host and Content-Length, in their order. */
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
    /** 0 is no limit. */
    readonly connectTimeoutMs: number
    readonly timeoutMs: number
  }
) => Promise<{ readonly status: number; readonly body: Buffer }>

/** The `oauth2.*` keys of an output, as they were written. An empty text is one that is not set. */
export interface OAuth2Settings {
  readonly tokenUrl: string | undefined
  readonly clientId: string | undefined
  readonly clientSecret: string | undefined
  readonly userAgent: string | undefined
  readonly scope: string | undefined
  readonly audience: string | undefined
  readonly resource: string | undefined
  /** basic, post or private_key_jwt, without regard to case. */
  readonly authMethod: string
  readonly jwtKeyFile: string | undefined
  readonly jwtCertFile: string | undefined
  /** The token URL unless set. */
  readonly jwtAudience: string | undefined
  /** Header of an assertion that holds the thumbprint of the certificate. */
  readonly jwtHeader: string
  /** 0 or less is TTL_SECONDS. */
  readonly jwtTtlSeconds: number
  /** 0 or less is SKEW_SECONDS. */
  readonly refreshSkewSeconds: number
  /** 0 is no limit. */
  readonly connectTimeoutMs: number
  readonly timeoutMs: number
}

/** A mistake in the configuration: the key, and words for a ConfigError. */
export interface SettingsMistake {
  readonly key: string
  readonly message: string
}

/** No token could be had; never a bug. Neither it nor its cause has secrets in it. */
export class TokenError extends Error {
  override readonly name = 'TokenError'
  /** `token_refused`, `token_malformed`, `token_key`, or why the network failed. */
  readonly reason: string

  constructor(reason: string, words: string, options?: ErrorOptions) {
    super(`cannot get an access token: ${words}`, options)
    this.reason = reason
  }
}

const METHODS = ['basic', 'post', 'private_key_jwt'] as const

const TTL_SECONDS = 300
const SKEW_SECONDS = 60

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** What Fluent Bit leaves as it is, include/fluent-bit/flb_uri.h flb_uri_to_encode(). */
const PLAIN = /[^0-9A-Za-z?&\-_.~/=]/g

/** Not for the value of a header. */
const CONTROL = /[\u0000-\u001f\u007f]/

/** RFC 6749 appendix A.12, without the space. */
const TOKEN = /^[\u0021-\u007e]+$/

/** RFC 6749 section 5.2, RFC 8707: only these are shown, other text could hold what the request held. */
const REFUSALS = new Set([
  'invalid_client',
  'invalid_grant',
  'invalid_request',
  'invalid_scope',
  'invalid_target',
  'server_error',
  'temporarily_unavailable',
  'unauthorized_client',
  'unsupported_grant_type'
])

/** Finds what Fluent Bit refuses at its start, and URLs that it would fail with later. */
export function checkSettings(settings: OAuth2Settings): SettingsMistake | undefined {
  const { authMethod, tokenUrl = '', clientId = '', userAgent = '' } = settings
  const method = methodOf(authMethod)
  if (method === undefined) {
    const message = `value must be one of ${METHODS.join(', ')}: current value is "${authMethod}"`
    return { key: 'oauth2.auth_method', message }
  }
  if (tokenUrl === '' || clientId === '') {
    return { key: 'oauth2.enable', message: 'oauth2 requires token_url and client_id' }
  }
  if (method === 'private_key_jwt') {
    if ((settings.jwtKeyFile ?? '') === '' || (settings.jwtCertFile ?? '') === '') {
      const message = 'oauth2 private_key_jwt requires jwt_key_file and jwt_cert_file'
      return { key: 'oauth2.auth_method', message }
    }
  } else if ((settings.clientSecret ?? '') === '') {
    return { key: 'oauth2.auth_method', message: 'oauth2 basic/post require client_secret' }
  }
  const message = urlMistake(tokenUrl)
  if (message !== undefined) return { key: 'oauth2.token_url', message }
  if (CONTROL.test(userAgent)) {
    return { key: 'oauth2.user_agent', message: 'value must not have control characters' }
  }
  return undefined
}

/** What is wrong with a URL to fetch from, if anything is. Credentials in it are not shown. */
export function urlMistake(text: string): string | undefined {
  const url = URL.parse(text)
  if (url !== null && (url.username !== '' || url.password !== '')) {
    return 'value must have neither a user nor a password'
  }
  if (url !== null && /^https?:\/\//i.test(text)) return undefined
  const wanted = 'value must be a URL with http:// or https://'
  return text.includes('@') ? wanted : `${wanted}: current value is "${text}"`
}

interface HeldToken {
  readonly token: string
  readonly renewAtMs: number
}

/** Keeps an access token and renews it before its end. */
export class OAuth2Client {
  readonly #settings: OAuth2Settings
  readonly #url: URL
  readonly #method: (typeof METHODS)[number]
  readonly #skewSeconds: number
  readonly #post: PostForm
  readonly #clock: Clock
  readonly #log: Logger
  readonly #newId: () => string
  #held: HeldToken | undefined
  /** The request for a token that is under way. */
  #pending: Promise<string> | undefined

  /**
   * @param options.settings Without a mistake that `checkSettings` finds.
   * @param options.log Of the instance; lines start with `[oauth2]` as Fluent Bit's do.
   * @param options.newId Makes the ids of assertions: a UUID unless a test needs to know it.
   */
  constructor(options: {
    readonly settings: OAuth2Settings
    readonly post: PostForm
    readonly clock: Clock
    readonly log: Logger
    readonly newId?: () => string
  }) {
    const { settings } = options
    const mistake = checkSettings(settings)
    if (mistake !== undefined) assert.fail(mistake.message)
    this.#settings = settings
    this.#url = new URL(settings.tokenUrl ?? '')
    this.#method = methodOf(settings.authMethod) ?? 'basic'
    this.#skewSeconds = above0(settings.refreshSkewSeconds, SKEW_SECONDS)
    this.#post = options.post
    this.#clock = options.clock
    this.#log = options.log.child('[oauth2] ')
    this.#newId = options.newId ?? randomUUID
  }

  /**
   * The access token. Callers at the same time share one request.
   *
   * @throws {TokenError} When there is none: to be tried again later.
   */
  token(): Promise<string> {
    const held = this.#held
    if (held !== undefined && this.#clock.now() < held.renewAtMs) return Promise.resolve(held.token)
    this.#pending ??= this.#renew().finally(() => {
      this.#pending = undefined
    })
    return this.#pending
  }

  /** The value of an Authorization header. */
  async authorization(): Promise<string> {
    return `Bearer ${await this.token()}`
  }

  /**
   * Forgets what the target answered with 401, so that the next delivery gets another one. A newer token is kept: of
   * several deliveries that were refused, one causes a request.
   *
   * @param refused The token or the Authorization header that was sent.
   */
  invalidate(refused: string): void {
    const { token } = this.#held ?? {}
    if (token === refused || `Bearer ${token}` === refused) this.#held = undefined
  }

  async #renew(): Promise<string> {
    const body = await this.#form()
    const answer = await this.#send(body)
    this.#log.debug(`HTTP Status=${answer.status}`)
    if (answer.status !== 200) {
      throw new TokenError('token_refused', `HTTP status=${answer.status}${refusalOf(answer.body)}`)
    }
    const { token, lifeSeconds } = readAnswer(answer.body, this.#skewSeconds)
    const renewInSeconds = lifeSeconds - this.#skewSeconds
    this.#held = { token, renewAtMs: this.#clock.now() + renewInSeconds * 1000 }
    const { protocol, hostname } = this.#url
    const port = this.#url.port === '' ? (protocol === 'http:' ? '80' : '443') : this.#url.port
    this.#log.info(`access token from '${hostname}:${port}' retrieved`)
    return token
  }

  async #send(body: string): ReturnType<PostForm> {
    const { connectTimeoutMs, timeoutMs } = this.#settings
    const headers = this.#headers()
    try {
      return await this.#post(this.#url, { headers, body, connectTimeoutMs, timeoutMs })
    } catch (cause) {
      const { reason, message } = networkError(cause)
      throw new TokenError(reason, message, { cause })
    }
  }

  #headers(): Record<string, string> {
    const { userAgent = '', clientId = '', clientSecret = '' } = this.#settings
    const headers: Record<string, string> = { 'Content-Type': 'application/x-www-form-urlencoded' }
    if (userAgent !== '') headers['User-Agent'] = Buffer.from(userAgent).toString('latin1')
    if (this.#method === 'basic') {
      const credentials = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
      headers['Authorization'] = `Basic ${credentials}`
    }
    return headers
  }

  async #form(): Promise<string> {
    const { scope = '', audience = '', resource = '' } = this.#settings
    let form = 'grant_type=client_credentials'
    if (scope !== '') form += `&scope=${encode(scope)}`
    if (audience !== '') form += `&audience=${encode(audience)}`
    if (resource !== '') form += `&resource=${encode(resource)}`
    if (this.#method === 'basic') return form

    const { clientId = '', clientSecret = '' } = this.#settings
    form += `&client_id=${encodeAll(clientId)}`
    if (this.#method === 'post') return `${form}&client_secret=${encodeAll(clientSecret)}`
    form += `&client_assertion_type=${encode(ASSERTION_TYPE)}`
    return `${form}&client_assertion=${await this.#assertion()}`
  }

  /** Signed with the files as they are now: they may have been replaced. */
  async #assertion(): Promise<string> {
    const { jwtKeyFile = '', jwtCertFile = '', jwtTtlSeconds, clientId = '' } = this.#settings
    const { jwtHeader: name, jwtAudience = '', tokenUrl = '' } = this.#settings
    const thumbprint = thumbprintOf(await readCertificate(jwtCertFile), name)
    const key = await readKey(jwtKeyFile)

    const now = Math.floor(this.#clock.now() / 1000)
    const id = JSON.stringify(clientId)
    const aud = JSON.stringify(jwtAudience === '' ? tokenUrl : jwtAudience)
    const exp = now + above0(jwtTtlSeconds, TTL_SECONDS)
    const header = `{"alg":"RS256","typ":"JWT",${JSON.stringify(name)}:"${thumbprint}"}`
    const claims = `{"iss":${id},"sub":${id},"aud":${aud},"iat":${now},"exp":${exp},"jti":"${this.#newId()}"}`
    const signed = `${base64url(header)}.${base64url(claims)}`
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
  }
}

function methodOf(word: string): (typeof METHODS)[number] | undefined {
  return METHODS.find(method => method === word.toLowerCase())
}

function above0(value: number, otherwise: number): number {
  return value > 0 ? value : otherwise
}

/** As Fluent Bit does it: `&` stays, so a scope can bring further parameters. */
function encode(text: string): string {
  const bytes = Buffer.from(text).toString('latin1')
  return bytes.replace(PLAIN, byte => {
    const hex = byte.charCodeAt(0).toString(16).toUpperCase()
    return `%${hex.padStart(2, '0')}`
  })
}

function encodeAll(text: string): string {
  return encode(text).replaceAll('&', '%26')
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url')
}

/** `x5t` and `x5t#S256` as RFC 7515 has them; any other header, such as kid, the SHA-1 in hexadecimal. */
function thumbprintOf(certificate: Buffer, header: string): string {
  switch (header.toLowerCase()) {
    case 'x5t':
      return createHash('sha1').update(certificate).digest('base64url')
    case 'x5t#s256':
      return createHash('sha256').update(certificate).digest('base64url')
    default:
      return createHash('sha1').update(certificate).digest('hex').toUpperCase()
  }
}

/** The DER of a certificate in PEM or DER. */
async function readCertificate(path: string): Promise<Buffer> {
  const content = await readKeyFile('certificate', path)
  try {
    return new X509Certificate(content).raw
  } catch (cause) {
    throw new TokenError('token_key', `certificate "${path}" is not valid PEM or DER`, { cause })
  }
}

async function readKey(path: string): Promise<KeyObject> {
  const content = await readKeyFile('private key', path)
  const words = `"${path}" must be an RSA key in PEM, without a passphrase`
  let key: KeyObject
  try {
    key = createPrivateKey(content)
  } catch (cause) {
    throw new TokenError('token_key', words, { cause })
  }
  if (key.asymmetricKeyType !== 'rsa') throw new TokenError('token_key', words)
  return key
}

async function readKeyFile(what: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const words = `${what} file "${path}" cannot be read: ${systemError(cause).text}`
    throw new TokenError('token_key', words, { cause })
  }
}

/**
 * Reads `{"access_token": …, "token_type": …, "expires_in": …}`. Keys count without regard to case, and any token_type
 * is taken for Bearer. A tenth of the life is taken off, for the way that the answer had.
 */
function readAnswer(body: Buffer, skewSeconds: number): { token: string; lifeSeconds: number } {
  const answer = parseJsonObject(body)
  if (answer === undefined) throw malformed('the answer is not a JSON object')
  const fields = new Map<string, unknown>()
  for (const [key, value] of Object.entries(answer)) fields.set(key.toLowerCase(), value)

  const token = fields.get('access_token')
  if (typeof token !== 'string' || !TOKEN.test(token)) throw malformed('no valid access_token')
  if (!fields.has('token_type')) throw malformed('no token_type')
  const expiresIn = fields.get('expires_in')
  const isCount = typeof expiresIn === 'string' || typeof expiresIn === 'number'
  if (!isCount || !/^\d{1,15}$/.test(`${expiresIn}`)) throw malformed('no valid expires_in')
  const seconds = Number(expiresIn)
  const lifeSeconds = seconds - Math.floor(seconds / 10)
  if (lifeSeconds <= skewSeconds) {
    const limit = `must be more than refresh_skew_seconds, which is ${skewSeconds}`
    throw malformed(`the token's life without a tenth is ${lifeSeconds} seconds, it ${limit}`)
  }
  return { token, lifeSeconds }
}

function malformed(words: string): TokenError {
  return new TokenError('token_malformed', words)
}

/** The standard code of a refusal, in words to append. */
function refusalOf(body: Buffer): string {
  const code = parseJsonObject(body)?.['error']
  return typeof code === 'string' && REFUSALS.has(code) ? `, error=${code}` : ''
}
