import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { Logger } from '../base/log.ts'
import type { FetchJson } from './jwks.ts'
import {
  checkJwtSettings,
  type JwtSettings,
  JwtValidator,
  type JwtVerdict,
  TOKEN_BYTES_MAX
} from './jwt.ts'
import { NetworkError } from './network_error.ts'

const ISSUER_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 })
const STRANGER_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 })

const JWK = { ...ISSUER_KEY.publicKey.export({ format: 'jwk' }), kid: 'k1' }
const { n, e } = JWK
const KEY_SET = {
  keys: [
    { kty: 'EC', kid: 'ec' },
    null,
    'x',
    { kty: 'RSA', kid: 'broken', n: '', e },
    JWK,
    { kid: 'k2', n, e }
  ]
}

const NOW_SECONDS = 1_795_437_708
const HEADER = { alg: 'RS256', kid: 'k1' }
const CLAIMS = { iss: 'I', aud: 'A', exp: NOW_SECONDS + 3600, azp: 'c1' }

const SETTINGS: JwtSettings = {
  issuer: 'I',
  jwksUrl: 'http://127.0.0.1:19501/jwks?a=b',
  allowedAudience: 'A',
  allowedClients: ['c1', 'c3'],
  jwksRefreshSeconds: 300
}

function base64url(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return Buffer.from(text).toString('base64url')
}

function tokenOf(
  claims: unknown = CLAIMS,
  header: unknown = HEADER,
  key: KeyObject = ISSUER_KEY.privateKey
): string {
  const signed = `${base64url(header)}.${base64url(claims)}`
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
}

function bearer(...parts: Parameters<typeof tokenOf>): string {
  return `Bearer ${tokenOf(...parts)}`
}

/** Signed with the public key as the secret of an HMAC. */
function hmacToken(alg: string): string {
  const signed = `${base64url({ alg, kid: 'k1' })}.${base64url(CLAIMS)}`
  const secret = ISSUER_KEY.publicKey.export({ type: 'spki', format: 'pem' })
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

/** A validator whose keys come without a network. */
class Gate {
  readonly urls: string[] = []
  readonly log: string[] = []
  readonly clock = new FakeClock(NOW_SECONDS * 1000)
  readonly validator: JwtValidator
  fetchJson: FetchJson

  constructor(
    settings: Partial<JwtSettings> = {},
    fetchJson: FetchJson = () => Promise.resolve(Buffer.from(JSON.stringify(KEY_SET)))
  ) {
    this.fetchJson = fetchJson
    const sink = { colour: false, write: (text: string): void => void this.log.push(text) }
    this.validator = new JwtValidator({
      settings: { ...SETTINGS, ...settings },
      fetchJson: url => {
        this.urls.push(url.href)
        return this.fetchJson(url)
      },
      clock: this.clock,
      log: new Logger({ sink, level: 'debug', now: () => 0 })
    })
  }

  check(header: string | undefined): Promise<JwtVerdict> {
    return this.validator.check(header)
  }

  /** Lines of the log without their times. */
  get lines(): string[] {
    return this.log.map(line => line.replace(/^\[[^\]]*\] /, '').trimEnd())
  }
}

const GOOD: readonly (readonly [string, string])[] = [
  ['a token with all that is asked for', bearer()],
  ['the scheme in other case, and spaces around', `  bEARER ${tokenOf()}  `],
  ['a key without a type', bearer(CLAIMS, { alg: 'RS256', kid: 'k2' })],
  ['a time before which it is not valid', bearer({ ...CLAIMS, nbf: NOW_SECONDS + 999 })],
  ['the last second', bearer({ ...CLAIMS, exp: NOW_SECONDS + 1 })],
  ['one of several audiences', bearer({ ...CLAIMS, aud: ['B', 'A'] })],
  ['another client', bearer({ ...CLAIMS, azp: 'c3' })],
  ['client_id', bearer({ ...CLAIMS, azp: undefined, client_id: 'c1' })],
  ['appid', bearer({ ...CLAIMS, azp: 1, client_id: null, appid: 'c1' })]
]

for (const [name, header] of GOOD) {
  test(`jwt: lets in ${name}`, async () => {
    const gate = new Gate()
    assert.deepEqual(await gate.check(header), { ok: true })
    assert.deepEqual(gate.urls, ['http://127.0.0.1:19501/jwks?a=b'])
    assert.deepEqual(gate.lines, [])
  })
}

test('jwt: any audience and client will do unless they are limited', async () => {
  const gate = new Gate({ allowedAudience: undefined, allowedClients: [] })
  const header = bearer({ ...CLAIMS, aud: 'anyone', azp: undefined })
  assert.deepEqual(await gate.check(header), { ok: true })
})

const INVALID = 'invalid argument'

/** Headers, and reasons and log lines as recorded from Fluent Bit 5.1.1, but for those marked. */
const REFUSED: readonly (readonly [string, string | undefined, string, string?])[] = [
  ['no header', undefined, 'missing authorization header'],
  ['an empty header', '', 'missing authorization header'],
  ['another scheme', 'Basic x', 'missing bearer token'],
  ['a tab after the scheme', `Bearer\t${tokenOf()}`, 'missing bearer token'],
  ['a scheme alone', 'Bearer ', INVALID],
  ['an opaque token in many spaces', `${' '.repeat(TOKEN_BYTES_MAX + 64)}Bearer x`, INVALID],
  [
    'an opaque token',
    'Bearer x',
    'jwt must contain 3 segments',
    '[debug] [oauth2_jwt] Token does not appear to be a JWT (expected 2 dots, found 0). Keycloak may be returning opaque tokens instead of JWT access tokens.'
  ],
  [
    'four segments',
    'Bearer a.b.c.d',
    'jwt must contain 3 segments',
    '[debug] [oauth2_jwt] Token does not appear to be a JWT (expected 2 dots, found 3). Keycloak may be returning opaque tokens instead of JWT access tokens.'
  ],
  parseFailure(
    'alg none',
    `${base64url({ alg: 'none', kid: 'k1' })}.${base64url(CLAIMS)}.`,
    'unsupported alg'
  ),
  parseFailure('alg none, signed', tokenOf(CLAIMS, { alg: 'none', kid: 'k1' }), 'unsupported alg'),
  parseFailure('an HMAC of the public key', hmacToken('HS256'), 'unsupported alg'),
  parseFailure('another hash', tokenOf(CLAIMS, { alg: 'RS512', kid: 'k1' }), 'unsupported alg'),
  parseFailure('no alg', tokenOf(CLAIMS, { kid: 'k1' }), 'unsupported alg'),
  parseFailure('no key id', tokenOf(CLAIMS, { alg: 'RS256' }), 'missing kid in header'),
  parseFailure(
    'a header of text',
    `${base64url('nojson')}.${base64url(CLAIMS)}.AA`,
    'invalid header json'
  ),
  // Fluent Bit does not look at it.
  parseFailure(
    'a critical header',
    tokenOf(CLAIMS, { ...HEADER, crit: ['x'], x: 1 }),
    'invalid header json'
  ),
  parseFailure(
    'claims in a list',
    `${base64url(HEADER)}.${base64url('[]')}.AA`,
    'invalid payload json'
  ),
  // Fluent Bit reads the first value.
  parseFailure(
    'text after the claims',
    tokenOf(`${JSON.stringify(CLAIMS)} x`),
    'invalid payload json'
  ),
  parseFailure(
    'a header that is not base64url',
    `!!.${base64url(CLAIMS)}.AA`,
    'unable to decode header'
  ),
  parseFailure(
    'claims that are not base64url',
    `${base64url(HEADER)}.!.AA`,
    'unable to decode payload'
  ),
  parseFailure(
    'a signature that is not base64url',
    `${base64url(HEADER)}.${base64url(CLAIMS)}.!`,
    'unable to decode signature'
  ),
  parseFailure(
    'no signature',
    `${base64url(HEADER)}.${base64url(CLAIMS)}.`,
    'unable to decode signature'
  ),
  parseFailure('padding', `${tokenOf()}==`, 'unable to decode signature'),
  // Fluent Bit says 'invalid argument': it skips spaces, and then the signature does not match.
  parseFailure('two spaces', ` ${tokenOf()}`, 'unable to decode header'),
  parseFailure('no end', tokenOf({ ...CLAIMS, exp: undefined }), 'missing exp claim'),
  parseFailure('an end of 0', tokenOf({ ...CLAIMS, exp: 0 }), 'missing exp claim'),
  parseFailure(
    'an end in text',
    tokenOf({ ...CLAIMS, exp: String(CLAIMS.exp) }),
    'missing exp claim'
  ),
  parseFailure(
    'an end with a fraction',
    tokenOf({ ...CLAIMS, exp: CLAIMS.exp + 0.5 }),
    'missing exp claim'
  ),
  parseFailure('no issuer', tokenOf({ ...CLAIMS, iss: undefined }), 'missing iss claim'),
  parseFailure('no audience', tokenOf({ ...CLAIMS, aud: undefined }), 'missing aud claim'),
  parseFailure('an empty list of audiences', tokenOf({ ...CLAIMS, aud: [] }), 'missing aud claim'),
  parseFailure(
    'a list that starts with a number',
    tokenOf({ ...CLAIMS, aud: [1, 'A'] }),
    'missing aud claim'
  ),
  [
    'an unknown key',
    bearer(CLAIMS, { alg: 'RS256', kid: 'zz' }),
    INVALID,
    "[debug] [oauth2_jwt] Key with kid 'zz' not found in JWKS"
  ],
  [
    'a key id that breaks the line',
    bearer(CLAIMS, { alg: 'RS256', kid: `a\r\nb${'c'.repeat(300)}` }),
    INVALID,
    `[debug] [oauth2_jwt] Key with kid 'a??b${'c'.repeat(252)}' not found in JWKS`
  ],
  [
    'a key of another kind',
    bearer(CLAIMS, { alg: 'RS256', kid: 'ec' }),
    INVALID,
    "[debug] [oauth2_jwt] Key with kid 'ec' not found in JWKS"
  ],
  [
    'a stranger',
    bearer(CLAIMS, HEADER, STRANGER_KEY.privateKey),
    INVALID,
    '[debug] [oauth2_jwt] Signature verification failed: ret=-1'
  ],
  [
    'a token at its end',
    bearer({ ...CLAIMS, exp: NOW_SECONDS }),
    INVALID,
    `[debug] [oauth2_jwt] Token expired: exp=${NOW_SECONDS} <= now=${NOW_SECONDS}`
  ],
  [
    'another issuer',
    bearer({ ...CLAIMS, iss: 'J' }),
    INVALID,
    "[debug] [oauth2_jwt] Issuer mismatch: expected='I', actual='J'"
  ],
  [
    // Fluent Bit compares up to the NUL.
    'an issuer that goes on',
    bearer({ ...CLAIMS, iss: 'I\0J' }),
    INVALID,
    "[debug] [oauth2_jwt] Issuer mismatch: expected='I', actual='I?J'"
  ],
  [
    'another audience',
    bearer({ ...CLAIMS, aud: 'B' }),
    INVALID,
    "[debug] [oauth2_jwt] Audience mismatch: expected='A' not found in token audiences"
  ],
  [
    'other audiences',
    bearer({ ...CLAIMS, aud: ['B', ['A']] }),
    INVALID,
    "[debug] [oauth2_jwt] Audience mismatch: expected='A' not found in token audiences"
  ],
  [
    'another client',
    bearer({ ...CLAIMS, azp: 'c9', client_id: 'c1' }),
    INVALID,
    "[error] [oauth2_jwt] Client ID 'c9' not in allowed list (rejecting request)"
  ],
  [
    'no client',
    bearer({ ...CLAIMS, azp: undefined }),
    INVALID,
    "[error] [oauth2_jwt] Client ID '(null)' not in allowed list (rejecting request)"
  ]
]

function parseFailure(
  name: string,
  token: string,
  reason: string
): readonly [string, string, string, string] {
  const line = `[debug] [oauth2_jwt] failed to parse token: ${reason}`
  return [name, `Bearer ${token}`, reason, line]
}

for (const [name, header, reason, line] of REFUSED) {
  test(`jwt: refuses ${name}`, async () => {
    const gate = new Gate()
    assert.deepEqual(await gate.check(header), { ok: false, reason })
    assert.deepEqual(gate.lines, line === undefined ? [] : [line])
  })
}

test('jwt: a token may have TOKEN_BYTES_MAX bytes', async () => {
  const tokenOfLength = (length: number): string => {
    for (let padding = 0; ; padding++) {
      const token = tokenOf({ ...CLAIMS, x: 'x'.repeat(Math.floor(length * 0.75) - 600 + padding) })
      if (token.length >= length) return token
    }
  }
  const longest = tokenOfLength(TOKEN_BYTES_MAX - 1)
  const tooLong = tokenOfLength(TOKEN_BYTES_MAX + 1)
  assert.ok(longest.length <= TOKEN_BYTES_MAX, `${longest.length}`)
  const gate = new Gate()
  assert.deepEqual(await gate.check(`Bearer ${longest}`), { ok: true })
  assert.deepEqual(await gate.check(`Bearer ${tooLong}`), { ok: false, reason: INVALID })
  const endless = `Bearer ${'a'.repeat(TOKEN_BYTES_MAX * 4)}`
  assert.deepEqual(await gate.check(endless), { ok: false, reason: INVALID })
})

test('jwt: fetches keys once for all that wait, and again when they are old', async () => {
  const gate = new Gate()
  assert.deepEqual(gate.urls, [])
  const verdicts = await Promise.all([bearer(), bearer(), bearer()].map(one => gate.check(one)))
  assert.deepEqual(verdicts, [{ ok: true }, { ok: true }, { ok: true }])
  assert.equal(gate.urls.length, 1)

  gate.clock.advance(299_999)
  assert.deepEqual(await gate.check(bearer()), { ok: true })
  assert.equal(gate.urls.length, 1)

  // The issuer has withdrawn its key.
  gate.fetchJson = () =>
    Promise.resolve(Buffer.from(JSON.stringify({ keys: [{ ...JWK, kid: 'k9' }] })))
  gate.clock.advance(1)
  assert.deepEqual(await gate.check(bearer()), { ok: false, reason: INVALID })
  assert.equal(gate.urls.length, 2)
})

test('jwt: an interval of 0 is 300 seconds', async () => {
  const gate = new Gate({ jwksRefreshSeconds: 0 })
  await gate.check(bearer())
  gate.clock.advance(299_999)
  await gate.check(bearer())
  assert.equal(gate.urls.length, 1)
  gate.clock.advance(1)
  await gate.check(bearer())
  assert.equal(gate.urls.length, 2)
})

test('jwt: neither unknown keys nor unreadable tokens cause fetches', async () => {
  const gate = new Gate()
  await gate.check('Bearer x')
  await gate.check('Bearer a.b.c')
  await gate.check(undefined)
  assert.equal(gate.urls.length, 0)
  for (let i = 0; i < 100; i++) await gate.check(bearer(CLAIMS, { alg: 'RS256', kid: `k${i + 3}` }))
  assert.equal(gate.urls.length, 1)
})

test('jwt: without fresh keys nobody comes in, and fetches are a second apart', async () => {
  const gate = new Gate({}, () =>
    Promise.reject(new NetworkError('timeout', 'Connection timed out'))
  )
  const refused = { ok: false, reason: INVALID }
  for (let i = 0; i < 50; i++) assert.deepEqual(await gate.check(bearer()), refused)
  assert.equal(gate.urls.length, 1)
  gate.clock.advance(999)
  assert.deepEqual(await gate.check(bearer()), refused)
  assert.equal(gate.urls.length, 1)
  assert.deepEqual(
    gate.lines.filter(line => line.startsWith('[error]')),
    ['[error] [oauth2_jwt] HTTP request failed: Connection timed out']
  )
  gate.clock.advance(1)
  gate.fetchJson = () => Promise.resolve(Buffer.from(JSON.stringify(KEY_SET)))
  assert.deepEqual(await gate.check(bearer()), { ok: true })

  gate.fetchJson = () => Promise.reject(new Error('gone'))
  gate.clock.advance(300_000)
  assert.deepEqual(await gate.check(bearer()), refused, 'old keys do not count')
})

const BROKEN_SETS: readonly (readonly [string, string])[] = [
  ['', 'failed to parse JWKS JSON'],
  ['<html>', 'failed to parse JWKS JSON'],
  ['[]', 'failed to parse JWKS JSON'],
  ['{}', 'No valid keys found in JWKS'],
  ['{"keys":{}}', 'No valid keys found in JWKS'],
  ['{"keys":[]}', 'No valid keys found in JWKS'],
  [
    JSON.stringify({
      keys: [
        { ...JWK, kty: 'oct' },
        { ...JWK, kid: 1 },
        { ...JWK, n: 1 },
        { ...JWK, e: 1 }
      ]
    }),
    'No valid keys found in JWKS'
  ]
]

for (const [set, line] of BROKEN_SETS) {
  test(`jwt: a key set of ${set.slice(0, 20)} has no keys`, async () => {
    const gate = new Gate({}, () => Promise.resolve(Buffer.from(set)))
    assert.deepEqual(await gate.check(bearer()), { ok: false, reason: INVALID })
    assert.deepEqual(gate.lines, [
      `[error] [oauth2_jwt] ${line}`,
      '[debug] [oauth2_jwt] Failed to fetch JWKS: -1'
    ])
  })
}

test('jwt: of a set with too many keys the first ones count', async () => {
  const keys = Array.from({ length: 1001 }, (_, i) => ({ ...JWK, kid: `n${i}` }))
  const gate = new Gate({}, () => Promise.resolve(Buffer.from(JSON.stringify({ keys }))))
  const by = (kid: string): Promise<JwtVerdict> => gate.check(bearer(CLAIMS, { alg: 'RS256', kid }))
  assert.deepEqual(await by('n999'), { ok: true })
  assert.deepEqual(await by('n1000'), { ok: false, reason: INVALID })
})

test('jwt: a token that is changed anywhere is refused, and nothing is thrown', async () => {
  const gate = new Gate()
  const token = tokenOf()
  assert.deepEqual(await gate.check(`Bearer ${token}`), { ok: true })
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

  // Each character in turn: the last ones of a segment have bits that stand for nothing.
  for (let at = 0; at < token.length; at++) {
    for (const other of [
      '.',
      '=',
      ' ',
      '\n',
      alphabet.charAt((alphabet.indexOf(token.charAt(at)) + 1) % 64)
    ]) {
      if (other === token.charAt(at)) continue
      const changed = `Bearer ${token.slice(0, at)}${other}${token.slice(at + 1)}`
      if (changed.trimEnd() === `Bearer ${token}`) continue
      const verdict = await gate.check(changed)
      assert.equal(verdict.ok, false, `${other} at ${at}`)
    }
  }

  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('.', '=', '\0', ' ', ...alphabet.split(''))
  )
  const position = fc.nat(token.length)
  await fc.assert(
    fc.asyncProperty(position, position, piece, async (from, length, text) => {
      const changed = token.slice(0, from) + text + token.slice(from + length)
      // Space at the end of a header is not a part of it.
      if (changed.trimEnd() === token) return
      const verdict = await gate.check(`Bearer ${changed}`)
      assert.equal(verdict.ok, false)
    }),
    { seed: 7, numRuns: 3000 }
  )
})

test('jwt: no header, claims or key set that a stranger can write lets in or throws', async () => {
  const value = fc.jsonValue({ maxDepth: 2 })
  const claim = fc.option(value, { nil: undefined })
  const header = fc.record({
    alg: fc.oneof(fc.constantFrom('RS256', 'none', 'HS256', 'rs256'), claim),
    kid: fc.oneof(fc.constantFrom('k1', 'k2', '__proto__', 'constructor'), claim)
  })
  const claims = fc.record({ exp: claim, iss: claim, aud: claim, azp: claim })
  const gate = new Gate()
  await fc.assert(
    fc.asyncProperty(fc.oneof(header, value), fc.oneof(claims, value), async (first, second) => {
      const verdict = await gate.check(bearer(first, second, STRANGER_KEY.privateKey))
      assert.equal(verdict.ok, false)
      const other = await gate.check(bearer(second, first, STRANGER_KEY.privateKey))
      assert.equal(other.ok, false)
    }),
    { seed: 11, numRuns: 300 }
  )
  await fc.assert(
    fc.asyncProperty(fc.oneof(value, fc.record({ keys: fc.array(value) })), async set => {
      const other = new Gate({}, () => Promise.resolve(Buffer.from(JSON.stringify(set))))
      assert.deepEqual(await other.check(bearer()), { ok: false, reason: INVALID })
    }),
    { seed: 13, numRuns: 200 }
  )
})

const REQUIRED = 'oauth2.issuer and oauth2.jwks_url are required when oauth2.validate is enabled'

const MISTAKES: readonly (readonly [Partial<JwtSettings>, string, string])[] = [
  [{ issuer: undefined }, 'oauth2.validate', REQUIRED],
  [{ jwksUrl: '' }, 'oauth2.validate', REQUIRED],
  [
    { jwksUrl: 'nourl' },
    'oauth2.jwks_url',
    'value must be a URL with http:// or https://: current value is "nourl"'
  ]
]

for (const [settings, key, message] of MISTAKES) {
  test(`jwt: ${JSON.stringify(settings)} is a mistake`, () => {
    assert.equal(checkJwtSettings(SETTINGS), undefined)
    assert.deepEqual(checkJwtSettings({ ...SETTINGS, ...settings }), { key, message })
  })
}
