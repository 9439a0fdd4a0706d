/**
 * `oauth2.validate` of inputs over HTTP: who sends has to show a token.
 * Source: Fluent Bit 5.1.1 plugins/in_http/http_prot.c, plugins/in_opentelemetry/opentelemetry_prot.c.
 */
import type { Values } from '../../config/options.ts'
import { hostAndPort } from '../../net/address.ts'
import { checkJwtSettings, JwtValidator } from '../../net/jwt.ts'
import { NetworkError } from '../../net/network_error.ts'
import type { Upstream } from '../../net/upstream.ts'
import type { InputContext } from '../../plugin/context.ts'
import { jwtSettings, type OAUTH2_SERVER_OPTIONS } from './oauth2_options.ts'

/** Longest time to connect to the server of keys, and again to get them. */
const FETCH_MS_MAX = 10_000

/** Longest set of keys. */
const KEYS_BYTES_MAX = 1_048_576

export class TokenCheck {
  readonly #context: InputContext
  readonly #validator: JwtValidator
  readonly #upstream: Upstream

  private constructor(values: Values<typeof OAUTH2_SERVER_OPTIONS>, context: InputContext) {
    const settings = jwtSettings(values)
    const mistake = checkJwtSettings(settings)
    if (mistake !== undefined) throw context.invalid(mistake.key, mistake.message)
    const { clock, log, net } = context
    this.#context = context
    this.#upstream = net.remote(new URL(settings.jwksUrl ?? ''), FETCH_MS_MAX)
    const fetchJson = (url: URL): Promise<Buffer> => this.#fetch(url)
    this.#validator = new JwtValidator({ settings, fetchJson, clock, log })
  }

  /** Undefined where the keys do not ask for tokens. */
  static of(
    values: Values<typeof OAUTH2_SERVER_OPTIONS>,
    context: InputContext
  ): TokenCheck | undefined {
    return values['oauth2.validate'] ? new TokenCheck(values, context) : undefined
  }

  /** Whether a request with this Authorization header may come in; why not is in the log. */
  async allows(authorization: string | undefined): Promise<boolean> {
    const verdict = await this.#validator.check(authorization)
    if (verdict.ok) return true
    const { log } = this.#context
    log.error(`OAuth2 validation failed: ${verdict.reason} (rejecting request with 401)`)
    return false
  }

  close(): void {
    this.#upstream.close()
  }

  async #fetch(url: URL): Promise<Buffer> {
    const { status, body } = await this.#upstream.use(connection => {
      const { host, port } = connection.endpoint
      return this.#context.net.exchange(connection, {
        method: 'GET',
        path: `${url.pathname}${url.search}`,
        headers: ['Host', hostAndPort(host, port), 'Accept', 'application/json'],
        body: [],
        answerTimeoutMs: FETCH_MS_MAX,
        answerBytesMax: KEYS_BYTES_MAX
      })
    })
    if (status === 200) return body
    throw new NetworkError(`http_status_${status}`, `HTTP status=${status}`)
  }
}
