import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { folder } from '../../test/harness/process.ts'
import { Logger } from '../base/log.ts'
import { NetworkError } from './network_error.ts'
import {
  checkSettings,
  OAuth2Client,
  type OAuth2Settings,
  type PostForm,
  TokenError
} from './oauth2_client.ts'

/** Made for this test alone, and used to record the assertions of Fluent Bit 5.1.1 below. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQCt0fw9lhrLbz8U
7nTheLM0EDA+k1GW8zBSDIWYEgHyrirHFOyM03zgiNw6BCD29Jb7QcBQYjhxLc0m
Er+dKhG+toYYgks39ZmxwKgpgnH7jIwwZnyF8fSU2QGg3aS3k8c2WFhNHDEJ9rbt
PWZTm34AbVDvF0DTNM+hB9cWA5SXTd/sfuFI6lbpDiXWB/JjacLY5dM306D9UXwH
7uvMn5rQzFrL5GFr1Jm6BOYLuof8y+dAclPTIGfCh1KPjr5jUjrkduYF2X/8B7e5
OLXilQ20Y9uyx9izv3Wm5/EpR0uhJX7NLv5AiylQy+DBB7Q6tTfTQ7bxdxGvTFQV
GeSnrgkpAgMBAAECggEAKOIPcJLaKYg4b51oi1G+4JuAJW+0DIuVjW7ZizuNDr3t
XNbsjnD92bgHCHRJJpy/2EgOSjnX6bLqoi5duEMZWmCG6MPYmkhfhoH4a479bTuR
C59HYZ/XtZzW97W6FN2iyQL9feGIHT5Upzc+VqLnf4U2uI2hFyxAO7Fi4xAjhnSM
sarrkffTNoqG4fvbCEst4NI7SAgEDmbB32wWxDdYoWF+48J+bydvOxDHtJe5p6bl
D712ADvAnd1nyB7SVKNpxUEeT5xcYyNPKtbtJFJmkL/pjoZb1LzL37vD2cQt5PL4
8Bz8yMNZhlxkUkS8xaeghQ835GgoUoOthWHRcE19IwKBgQDgC0mk5B9wTF0HaC62
6N9Kw7bbk8oxOflJQNRffssKwe8ibNCcaTMBPDrq33hdvikTdhrnP4emkgwaO9I9
D2ESI+sbEzkSmGAsJP4l0puNjgKl+l9oiS6wOaZNwxKLhsJOnrnu3q7/2mHdW1cB
igrQO/J/ONiuiSqJnBo+m4pk7wKBgQDGnNT9eAataLBlzxl6puvroY792QK3oEnn
IGM2S7giAMuYSx/9WX3slau1g4qlN/370BRACAeDn17vQstz9Zbjq2Gf563njkql
D6XKedtGwEaVIgJ6MhySw65GwsCPW3NTEqpbJIJATZGaZGKy90ZudI2lTiVJxPwq
XV/Tt3ljZwKBgQC6tM1na3BDrm+sV4buiPxkGtuM+wl5on17LVqORmTAj0NQpevn
HMgTlHTo/NgbDvi+LiNXaRsLlhQd3JJkridP7bzksE1UkMU8pItjS7Kz8Y+FcDQI
MqJE25YaoaEXw3K0ABSk2tBtiTkbNh44uygtxndczCvOr6JSUVORrx9S4wKBgQC2
RytGsQhXz/PMjCRTJ6zvpWdpW+gdhLMuts+2/gkw09AGpjPmvWJPZhGf1ejBt0CX
AaIEHhpfVz22knPMqcFgk2JWcjdtg27ITDMZP3raVQ6yQfNKGIGWxJZGhOha6VBP
FptYaIpN36LYsnbOzxhJuRhidPTN3kabzvRqh0GV0wKBgQCCFMUZP9brNDKMqfhb
d+xALMUBzZp1S9Kh9jjQLraosrWSGo0rz/6DLL8CNdglY7XCIs/5RYGS3wuvmdjG
qZDFUXfF+8gMITxYhRFbmCM7IyIa9qEzdykNuwMApkmMp5lgUf1g3phm0d5jIyqv
nP9G/HvDoSl6wMjLhIyk3A7bTw==
-----END PRIVATE KEY-----
`

const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIDBzCCAe+gAwIBAgIUcaH7HBQIBUZLN9fKV3pr0Yaj3ZIwDQYJKoZIhvcNAQEL
BQAwEzERMA8GA1UEAwwIc3BpbGx3YXkwHhcNMjYxMTIzMTIzNzEwWhcNMzYxMTIw
MTIzNzEwWjATMREwDwYDVQQDDAhzcGlsbHdheTCCASIwDQYJKoZIhvcNAQEBBQAD
ggEPADCCAQoCggEBAK3R/D2WGstvPxTudOF4szQQMD6TUZbzMFIMhZgSAfKuKscU
7IzTfOCI3DoEIPb0lvtBwFBiOHEtzSYSv50qEb62hhiCSzf1mbHAqCmCcfuMjDBm
fIXx9JTZAaDdpLeTxzZYWE0cMQn2tu09ZlObfgBtUO8XQNM0z6EH1xYDlJdN3+x+
4UjqVukOJdYH8mNpwtjl0zfToP1RfAfu68yfmtDMWsvkYWvUmboE5gu6h/zL50By
U9MgZ8KHUo+OvmNSOuR25gXZf/wHt7k4teKVDbRj27LH2LO/dabn8SlHS6Elfs0u
/kCLKVDL4MEHtDq1N9NDtvF3Ea9MVBUZ5KeuCSkCAwEAAaNTMFEwHQYDVR0OBBYE
FOCDzoIEYQRGZV+BKdKAyB3c8aMqMB8GA1UdIwQYMBaAFOCDzoIEYQRGZV+BKdKA
yB3c8aMqMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAKvkqOPx
Sviy1rIkDIOUA19+gdpZPYFNEPWEPobXmH7V+TYksqDfH2GXZLxHJvw36+YluHDC
ktWJhVsvTxDnsyy+hqtu0gkr2NijCCk2IHsq4CkePfxM/UdaOVSCHIIyuLyVd1Ba
DDU1hRCYKwAI5eW/Jx8V16N4CAUeZUBCKoVEKPkK/zNmknLt1Yj/T1LAmi99xIzL
uA98d+S3pDNoG4Gq6HxH3+3RILezLAu5Z00L8FvQ7pGi8tOyUJiHQvE++Xe9ArAD
LFeM8Afa/yXvR3C7uFXIRWm6NsclsiZnWIz3Lk8gwmbIQx4hPWqJuz9wVFcP0Emh
4ACIwtGL/HxRVOY=
-----END CERTIFICATE-----
`

/** What Fluent Bit signed in November 2026, the second time with jwt_header x5t and jwt_aud https://aud. */
const ASSERTION_KID =
  'eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjUyOUEyQzRCRjMxNjc1MkQ3NkEwOTFERTFBNjlBRERFQT' +
  'EyQzhBQTYifQ.eyJpc3MiOiJjaWQiLCJzdWIiOiJjaWQiLCJhdWQiOiJodHRwOi8vbG9jYWxob3N0OjE5MzAzIiwia' +
  'WF0IjoxNzk1NDM3NDM2LCJleHAiOjE3OTU0Mzc3MzYsImp0aSI6ImI5Y2EyNDUzLWY5NGYtNDEzMy1hMGI3LWUzZjR' +
  'hY2UyYmJjZCJ9.Ma7IwtzmVX-rWcWu3lnYKfFKuDpifXvuUEoW_ejTBInpcmsNVsgqA9esJ12vjdxbHg9E8YAVTGFW' +
  'STOFsL0DijwT_mYJry6jCSUUwbcZtTpxUAOzfWd10ialCbF6lP37OeK3MBUgzluds95YCZ7aP2bnEKpiV7XaAPg8Ww' +
  'EG6y6siizZEJsy8Dv_V0NBVWwhl5dO2G8YE3CIsJsvmT9vXSbbNxNWvrxUvAUjbKEdxy8QFiROpZT9WMeivc4DVCsW' +
  'SuEx75o_F4qTxzf4h1xCCC1KJ_8TYIKkx7W2XpzJCWgNG4oVJTnMss-Ih3Iqn7IHBpZYpsHIRGK0OEweIGbCYQ'
const ASSERTION_X5T =
  'eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsIng1dCI6IlVwb3NTX01XZFMxMm9KSGVHbW10M3FFc2lxWSJ9.eyJpc' +
  '3MiOiJjaWQiLCJzdWIiOiJjaWQiLCJhdWQiOiJodHRwczovL2F1ZCIsImlhdCI6MTc5NTQzNzQzNiwiZXhwIjoxNzk' +
  '1NDM3NzM2LCJqdGkiOiJlNGVlZDUxYy0yYjY5LTQ2NzYtOGE5ZS0yYWU0ZTk2OWM0MDYifQ.WaY87LXnTsariNIlb2' +
  'TwZd8oEuqkNeu1gAbZDILGLBDlH7KPBsBIybqk5Wh3BuN3HxADHIe-3B2jBmdR23OpXW3CamrXK1jJOO9CDkTEEKlz' +
  'qHB-bT0f-6h1HdZ7eg0BbH3lIjXafBe0QvibEu_xr2tDg-lKdjkFNFrR2oHT2cPCS3iG2SKxHllLJNvqTi2b0RcfYi' +
  '1n5Wrrk2-JvsyyLaJfq77Z7prmIrcUbx40nNpCmKTeWByjAfITyx4C51chR4xIRDk5m6RWJMkwHufsSRZXiau1Vh6W' +
  'vcUJBhj3q7A3f6csVvRMfHaCMpC4jTMyeICZLdEjFL0NR-9lVkRk0A'

const SETTINGS: OAuth2Settings = {
  tokenUrl: 'http://127.0.0.1:19301/token?x=1',
  clientId: 'my:id',
  clientSecret: 's3cr3t+/ü',
  userAgent: undefined,
  scope: undefined,
  audience: undefined,
  resource: undefined,
  authMethod: 'basic',
  jwtKeyFile: undefined,
  jwtCertFile: undefined,
  jwtAudience: undefined,
  jwtHeader: 'kid',
  jwtTtlSeconds: 300,
  refreshSkewSeconds: 60,
  connectTimeoutMs: 10_000,
  timeoutMs: 60_000
}

type Request = Parameters<PostForm>[1]

/** A token endpoint without a network: what it was asked, and how it answers. */
class Endpoint {
  readonly urls: string[] = []
  readonly requests: Request[] = []
  readonly log: string[] = []
  readonly clock: FakeClock
  readonly client: OAuth2Client
  /** Gets the number of the request. */
  answer: (count: number) => ReturnType<PostForm>

  constructor(options: {
    readonly settings?: Partial<OAuth2Settings>
    readonly answer?: (count: number) => ReturnType<PostForm>
    readonly nowMs?: number
    readonly id?: string
  }) {
    this.clock = new FakeClock(options.nowMs ?? 1_000_000)
    this.answer = options.answer ?? (count => ok(bearer(`tok${count}`)))
    const sink = { colour: false, write: (text: string): void => void this.log.push(text) }
    this.client = new OAuth2Client({
      settings: { ...SETTINGS, ...options.settings },
      post: (url, form) => {
        this.urls.push(url.href)
        return this.answer(this.requests.push(form))
      },
      clock: this.clock,
      log: new Logger({ sink, level: 'debug', now: () => 0 }),
      newId: () => options.id ?? 'one'
    })
  }

  /** Lines of the log without their times. */
  get lines(): string[] {
    return this.log.map(line => line.replace(/^\[[^\]]*\] /, '').trimEnd())
  }
}

function bearer(token: string, expiresIn: unknown = 3600): string {
  return JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: expiresIn })
}

function ok(body: string): ReturnType<PostForm> {
  return Promise.resolve({ status: 200, body: Buffer.from(body) })
}

function keyFiles(t: TestContext): { jwtKeyFile: string; jwtCertFile: string; path: string } {
  const path = folder(t, { 'key.pem': KEY, 'cert.pem': CERTIFICATE })
  return { jwtKeyFile: join(path, 'key.pem'), jwtCertFile: join(path, 'cert.pem'), path }
}

/** The error of a call that must fail. */
async function failure(client: OAuth2Client): Promise<TokenError> {
  const error: unknown = await client.token().then(
    token => assert.fail(`got ${token}`),
    (cause: unknown) => cause
  )
  assert.ok(error instanceof TokenError, inspect(error))
  return error
}

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }

/** Settings, and the request as recorded from Fluent Bit 5.1.1. */
const REQUESTS: readonly (readonly [string, Partial<OAuth2Settings>, Request])[] = [
  [
    'basic puts id and secret into a header, as they are',
    {},
    {
      headers: { ...FORM, Authorization: 'Basic bXk6aWQ6czNjcjN0Ky/DvA==' },
      body: 'grant_type=client_credentials',
      connectTimeoutMs: 10_000,
      timeoutMs: 60_000
    }
  ],
  [
    'post puts them into the form, after what is asked for',
    {
      authMethod: 'POST',
      scope: 'a b.c/d~e_f-g*h',
      audience: 'https://aud/',
      resource: 'urn:r',
      userAgent: 'ua/1',
      connectTimeoutMs: 1,
      timeoutMs: 2
    },
    {
      headers: { ...FORM, 'User-Agent': 'ua/1' },
      body: 'grant_type=client_credentials&scope=a%20b.c/d~e_f-g%2Ah&audience=https%3A//aud/&resource=urn%3Ar&client_id=my%3Aid&client_secret=s3cr3t%2B/%C3%BC',
      connectTimeoutMs: 1,
      timeoutMs: 2
    }
  ],
  [
    'an ampersand is part of an id or a secret, and ends a scope as in Fluent Bit',
    { authMethod: 'post', clientId: 'a&b', clientSecret: 'c&d=', scope: 's&x=1', audience: '' },
    {
      headers: FORM,
      body: 'grant_type=client_credentials&scope=s&x=1&client_id=a%26b&client_secret=c%26d=',
      connectTimeoutMs: 10_000,
      timeoutMs: 60_000
    }
  ],
  [
    'a user agent is sent as UTF-8, before the credentials',
    { userAgent: 'ü' },
    {
      headers: {
        ...FORM,
        'User-Agent': '\u00c3\u00bc',
        Authorization: 'Basic bXk6aWQ6czNjcjN0Ky/DvA=='
      },
      body: 'grant_type=client_credentials',
      connectTimeoutMs: 10_000,
      timeoutMs: 60_000
    }
  ]
]

for (const [name, settings, expected] of REQUESTS) {
  test(`oauth2_client: ${name}`, async () => {
    const endpoint = new Endpoint({ settings })
    assert.equal(await endpoint.client.authorization(), 'Bearer tok1')
    assert.deepEqual(endpoint.requests, [expected])
    const names = endpoint.requests.map(({ headers }) => Object.keys(headers))
    assert.deepEqual(names, [Object.keys(expected.headers)], 'order of headers')
    assert.deepEqual(endpoint.urls, ['http://127.0.0.1:19301/token?x=1'])
    assert.deepEqual(endpoint.lines, [
      '[debug] [oauth2] HTTP Status=200',
      "[ info] [oauth2] access token from '127.0.0.1:19301' retrieved"
    ])
  })
}

const ASSERTIONS: readonly (readonly [string, Partial<OAuth2Settings>, string])[] = [
  [ASSERTION_KID, { tokenUrl: 'http://localhost:19303' }, 'b9ca2453-f94f-4133-a0b7-e3f4ace2bbcd'],
  [
    ASSERTION_X5T,
    { jwtHeader: 'x5t', jwtAudience: 'https://aud', jwtTtlSeconds: 0 },
    'e4eed51c-2b69-4676-8a9e-2ae4e969c406'
  ]
]

for (const [assertion, settings, id] of ASSERTIONS) {
  test(`oauth2_client: private_key_jwt signs as Fluent Bit with ${settings.jwtHeader ?? 'kid'}`, async t => {
    const endpoint = new Endpoint({
      settings: { clientId: 'cid', authMethod: 'private_key_jwt', ...keyFiles(t), ...settings },
      nowMs: 1_795_437_436_115,
      id
    })
    await endpoint.client.token()
    const body = `grant_type=client_credentials&client_id=cid&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=${assertion}`
    const { connectTimeoutMs, timeoutMs } = SETTINGS
    assert.deepEqual(endpoint.requests, [{ headers: FORM, body, connectTimeoutMs, timeoutMs }])
  })
}

test('oauth2_client: an assertion stays JSON with quotes in ids; x5t#S256 is a SHA-256', async t => {
  const endpoint = new Endpoint({
    settings: {
      authMethod: 'private_key_jwt',
      ...keyFiles(t),
      clientId: 'a"b',
      jwtAudience: 'q"',
      jwtHeader: 'X5T#s256',
      jwtTtlSeconds: 7
    }
  })
  await endpoint.client.token()
  const form = new URLSearchParams(endpoint.requests.at(0)?.body)
  const [header = '', claims = ''] = (form.get('client_assertion') ?? '').split('.')
  const decoded = [header, claims].map(text => Buffer.from(text, 'base64url').toString())
  assert.deepEqual(decoded, [
    '{"alg":"RS256","typ":"JWT","X5T#s256":"mHngJxvDHxgQ29P-EItzoa9OnNnMcj3LgT4vop5eu58"}',
    '{"iss":"a\\"b","sub":"a\\"b","aud":"q\\"","iat":1000,"exp":1007,"jti":"one"}'
  ])
})

test('oauth2_client: a token is kept until refresh_skew_seconds before nine tenths of its life', async () => {
  const endpoint = new Endpoint({ settings: { refreshSkewSeconds: 40 } })
  assert.equal(await endpoint.client.token(), 'tok1')
  endpoint.clock.advance((3240 - 40) * 1000 - 1)
  assert.equal(await endpoint.client.token(), 'tok1')
  endpoint.clock.advance(1)
  assert.equal(await endpoint.client.token(), 'tok2')
  assert.equal(endpoint.requests.length, 2)
})

test('oauth2_client: refresh_skew_seconds of 0 is 60', async () => {
  const endpoint = new Endpoint({ settings: { refreshSkewSeconds: 0 } })
  assert.equal(await endpoint.client.token(), 'tok1')
  endpoint.clock.advance((3240 - 60) * 1000)
  assert.equal(await endpoint.client.token(), 'tok2')
})

test('oauth2_client: callers at the same time share a request, and its failure', async () => {
  const first = Promise.withResolvers<{ status: number; body: Buffer }>()
  const endpoint = new Endpoint({ answer: () => first.promise })
  const calls = [endpoint.client.token(), endpoint.client.authorization(), endpoint.client.token()]
  first.resolve({ status: 500, body: Buffer.from('{"error":"x"}') })
  const results = await Promise.allSettled(calls)
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected']
  )
  assert.equal(endpoint.requests.length, 1)

  endpoint.answer = () => ok(bearer('later'))
  const tokens = await Promise.all([endpoint.client.token(), endpoint.client.token()])
  assert.deepEqual(tokens, ['later', 'later'])
  assert.equal(endpoint.requests.length, 2)
})

test('oauth2_client: of deliveries that were refused with one token, one causes a request', async () => {
  const endpoint = new Endpoint({})
  const header = await endpoint.client.authorization()
  endpoint.client.invalidate(header)
  assert.equal(await endpoint.client.token(), 'tok2')
  endpoint.client.invalidate(header)
  endpoint.client.invalidate('tok1')
  assert.equal(await endpoint.client.token(), 'tok2')
  endpoint.client.invalidate('tok2')
  assert.equal(await endpoint.client.token(), 'tok3')
  assert.equal(endpoint.requests.length, 3)
})

const GOOD: readonly (readonly [string, string])[] = [
  ['{"token_type":"mac","expires_in":"3600","access_token":"t"}', 't'],
  ['{"TOKEN_TYPE":"Bearer","Expires_In":3600,"ACCESS_token":"up"}', 'up'],
  ['{"token_type":"Bearer","expires_in":3600,"access_token":"a\\/b\\u0041"}', 'a/bA'],
  [bearer('T'.repeat(6000)), 'T'.repeat(6000)],
  [bearer('t', 68), 't']
]

for (const [body, token] of GOOD) {
  test(`oauth2_client: takes the token of ${body.slice(0, 60)}`, async () => {
    assert.equal(await new Endpoint({ answer: () => ok(body) }).client.token(), token)
  })
}

const REFUSED: readonly (readonly [string, ReturnType<PostForm>, string, string])[] = [
  ['status 201', answer(201, bearer('t')), 'token_refused', 'HTTP status=201'],
  [
    'a known error code',
    answer(401, '{"error":"invalid_client","error_description":"s3cr3t+/ü"}'),
    'token_refused',
    'HTTP status=401, error=invalid_client'
  ],
  ['any other text', answer(400, '{"error":"s3cr3t+/ü"}'), 'token_refused', 'HTTP status=400'],
  ['no JSON', ok('s3cr3t+/ü'), 'token_malformed', 'the answer is not a JSON object'],
  ['an empty answer', ok(''), 'token_malformed', 'the answer is not a JSON object'],
  ['no object', ok('["s3cr3t+/ü"]'), 'token_malformed', 'the answer is not a JSON object'],
  ['null', ok('null'), 'token_malformed', 'the answer is not a JSON object'],
  [
    'no token',
    ok('{"token_type":"x","expires_in":3600}'),
    'token_malformed',
    'no valid access_token'
  ],
  ['an empty token', ok(bearer('')), 'token_malformed', 'no valid access_token'],
  ['a token for two lines', ok(bearer('t\r\nX: y')), 'token_malformed', 'no valid access_token'],
  [
    'no token type',
    ok('{"access_token":"s3cr3t+/ü","access_token":"t","expires_in":3600}'),
    'token_malformed',
    'no token_type'
  ],
  [
    'no end',
    ok('{"access_token":"t","token_type":"Bearer"}'),
    'token_malformed',
    'no valid expires_in'
  ],
  ['half a second', ok(bearer('t', 3600.5)), 'token_malformed', 'no valid expires_in'],
  ['a negative end', ok(bearer('t', -1)), 'token_malformed', 'no valid expires_in'],
  [
    'an end within the skew',
    ok(bearer('t', 66)),
    'token_malformed',
    "the token's life without a tenth is 60 seconds, it must be more than refresh_skew_seconds, which is 60"
  ]
]

function answer(status: number, body: string): ReturnType<PostForm> {
  return Promise.resolve({ status, body: Buffer.from(body) })
}

for (const [name, response, reason, words] of REFUSED) {
  test(`oauth2_client: ${name} is no token`, async () => {
    const error = await failure(new Endpoint({ answer: () => response }).client)
    assert.deepEqual(
      [error.reason, error.message],
      [reason, `cannot get an access token: ${words}`]
    )
    assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /s3cr3t|czNjcjN0/)
  })
}

test('oauth2_client: a failure of the network keeps its reason and cause', async () => {
  const cause = new NetworkError('connection_refused', 'Connection refused')
  const error = await failure(new Endpoint({ answer: () => Promise.reject(cause) }).client)
  assert.deepEqual(
    [error.reason, error.message, error.cause],
    ['connection_refused', 'cannot get an access token: Connection refused', cause]
  )
})

test('oauth2_client: key files are read for each assertion, and their failures are told', async t => {
  const { path, ...files } = keyFiles(t)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ec = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const odd = folder(t, { 'ec.pem': ec, 'text.pem': 'no key' })
  const broken: readonly (readonly [Partial<OAuth2Settings>, string])[] = [
    [
      { jwtKeyFile: join(path, 'none') },
      `private key file "${path}/none" cannot be read: No such file or directory`
    ],
    [
      { jwtCertFile: join(path, 'none') },
      `certificate file "${path}/none" cannot be read: No such file or directory`
    ],
    [
      { jwtCertFile: join(odd, 'text.pem') },
      `certificate "${odd}/text.pem" is not valid PEM or DER`
    ],
    [
      { jwtKeyFile: join(odd, 'text.pem') },
      `"${odd}/text.pem" must be an RSA key in PEM, without a passphrase`
    ],
    [
      { jwtKeyFile: join(odd, 'ec.pem') },
      `"${odd}/ec.pem" must be an RSA key in PEM, without a passphrase`
    ]
  ]
  for (const [settings, words] of broken) {
    const all = { authMethod: 'private_key_jwt', ...files, ...settings }
    const endpoint = new Endpoint({ settings: all })
    const error = await failure(endpoint.client)
    assert.deepEqual(
      [error.reason, error.message],
      ['token_key', `cannot get an access token: ${words}`]
    )
    assert.deepEqual(endpoint.requests, [])
  }
})

test('oauth2_client: a client shows nothing of its settings', () => {
  const { client } = new Endpoint({})
  assert.doesNotMatch(inspect(client, { depth: 9, showHidden: true }), /s3cr3t/)
})

const MISTAKES: readonly (readonly [Partial<OAuth2Settings>, string, string])[] = [
  [
    { authMethod: 'zz' },
    'oauth2.auth_method',
    'value must be one of basic, post, private_key_jwt: current value is "zz"'
  ],
  [{ tokenUrl: undefined }, 'oauth2.enable', 'oauth2 requires token_url and client_id'],
  [{ clientId: '' }, 'oauth2.enable', 'oauth2 requires token_url and client_id'],
  [
    { clientSecret: undefined, authMethod: 'Post' },
    'oauth2.auth_method',
    'oauth2 basic/post require client_secret'
  ],
  [
    { authMethod: 'private_key_jwt', jwtKeyFile: '/k' },
    'oauth2.auth_method',
    'oauth2 private_key_jwt requires jwt_key_file and jwt_cert_file'
  ],
  [
    { tokenUrl: 'nourl' },
    'oauth2.token_url',
    'value must be a URL with http:// or https://: current value is "nourl"'
  ],
  [
    { tokenUrl: 'ftp://h/' },
    'oauth2.token_url',
    'value must be a URL with http:// or https://: current value is "ftp://h/"'
  ],
  [
    { tokenUrl: 'http://h:abc/' },
    'oauth2.token_url',
    'value must be a URL with http:// or https://: current value is "http://h:abc/"'
  ],
  [
    { tokenUrl: 'http://user:s3cr3t@h/' },
    'oauth2.token_url',
    'value must have neither a user nor a password'
  ],
  [
    { tokenUrl: 'http://user:s3cr3t@h:abc/' },
    'oauth2.token_url',
    'value must be a URL with http:// or https://'
  ],
  [{ userAgent: 'a\r\nb' }, 'oauth2.user_agent', 'value must not have control characters']
]

for (const [settings, key, message] of MISTAKES) {
  test(`oauth2_client: refuses ${JSON.stringify(settings)}`, () => {
    assert.deepEqual(checkSettings({ ...SETTINGS, ...settings }), { key, message })
  })
}

test('oauth2_client: finds no mistake in what Fluent Bit takes', t => {
  assert.equal(checkSettings(SETTINGS), undefined)
  assert.equal(checkSettings({ ...SETTINGS, tokenUrl: 'https://h' }), undefined)
  const jwt = { authMethod: 'PRIVATE_KEY_JWT', clientSecret: undefined, ...keyFiles(t) }
  assert.equal(checkSettings({ ...SETTINGS, ...jwt }), undefined)
})

/** POST by node:http. */
const post: PostForm = async (url, { headers, body }) => {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request(url, { method: 'POST', headers, agent: false }, resolve).on('error', reject).end(body)
  const response = await promise
  const pieces = (await response.toArray()) as Buffer[]
  return { status: response.statusCode ?? 0, body: Buffer.concat(pieces) }
}

test('oauth2_client: gets a token from a server, and reports when it is gone', async t => {
  const seen: (string | undefined)[] = []
  const server = createServer((incoming, response) => {
    const { method, url, headers } = incoming
    seen.push(method, url, headers['content-type'], headers.authorization)
    incoming.on('data', (piece: Buffer) => seen.push(piece.toString()))
    incoming.on('end', () => response.end(bearer('from-server')))
  })
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const sink = { colour: false, write: (): void => undefined }
  const client = new OAuth2Client({
    settings: { ...SETTINGS, tokenUrl: `http://127.0.0.1:${port}/token`, scope: 'a b' },
    post,
    clock: new FakeClock(0),
    log: new Logger({ sink, level: 'off' })
  })
  assert.equal(await client.authorization(), 'Bearer from-server')
  assert.deepEqual(seen, [
    'POST',
    '/token',
    'application/x-www-form-urlencoded',
    'Basic bXk6aWQ6czNjcjN0Ky/DvA==',
    'grant_type=client_credentials&scope=a%20b'
  ])

  server.closeAllConnections()
  await new Promise(resolve => void server.close(resolve))
  client.invalidate('from-server')
  assert.equal((await failure(client)).reason, 'connection_refused')
})
