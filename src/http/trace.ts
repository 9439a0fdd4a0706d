/**
 * Taps on inputs, set and taken away over HTTP: one input at a time under `/api/v1/trace/INPUT`, several in the body of
 * `/api/v1/traces/`.
 * Source: Fluent Bit 5.1.1 src/http_server/api/v1/trace.c
 *
 * Differs:
 * - `/api/v1/traces/` says that a tap was set when it was; Fluent Bit sets it and says -1. It knows `limit`, too.
 * - A body that is no JSON to its end is refused; Fluent Bit overlooks what follows a whole value.
 * - Keys are read as they are; Fluent Bit takes `p` and even an empty key for `prefix`.
 */
import type { Logger } from '../base/log.ts'
import type { TraceLimit } from '../engine/chunk_trace.ts'
import type { TapOutcome, TapRequest, TraceTaps } from '../engine/trace_taps.ts'
import type { HttpReply, HttpRequest } from '../net/http_server.ts'
import { exact, jsonReply, type Route } from './route.ts'

const TRACE_PATH = '/api/v1/trace/'
const TRACES_PATH = '/api/v1/traces/'

const OK = { status: 'ok' }
const ERROR = { status: 'error' }
const NOT_FOUND = { status: 'not found' }

/** What a GET asks for. */
const DEFAULT_TAP: TapRequest = { prefix: 'trace.', output: 'stdout', properties: [] }

type Taps = Pick<TraceTaps, 'start' | 'stop'>

/** A mistake in what a request asks for; the text is for the log. */
class RequestError extends Error {}

export function traceRoutes(taps: Taps, log: Logger): Route[] {
  return [
    exact(TRACES_PATH, request => answerForSeveral(request, taps, log)),
    { path: TRACE_PATH, match: 'prefix', handle: request => answerForOne(request, taps, log) }
  ]
}

async function answerForOne(request: HttpRequest, taps: Taps, log: Logger): Promise<HttpReply> {
  // As it is in the path: nothing is decoded.
  const input = request.path.slice(TRACE_PATH.length)
  if (request.method === 'DELETE') {
    return taps.stop(input) ? jsonReply(201, OK) : jsonReply(404, NOT_FOUND)
  }
  if (request.method === 'GET') {
    const outcome = await taps.start(input, DEFAULT_TAP)
    if (outcome !== 'on') log.error(`unable to enable tracing for ${input}`)
    return replyTo(outcome)
  }
  if (request.method !== 'POST') return jsonReply(404, NOT_FOUND)
  if (request.body.length === 0) {
    log.error('missing json parameters')
    return { status: 503 }
  }
  let tap: TapRequest | undefined
  try {
    const parameters = parsed(request.body)
    if (parameters === undefined) throw new RequestError('unable to parse json parameters')
    // Any other value asks for nothing.
    if (!isMap(parameters.value)) return jsonReply(200, OK)
    tap = tapOf(parameters.value)
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    log.error(error.message)
    return jsonReply(503, ERROR)
  }
  const outcome = await taps.start(input, tap)
  if (outcome !== 'on') log.error('error when enabling tracing')
  return replyTo(outcome)
}

function replyTo(outcome: TapOutcome): HttpReply {
  if (outcome === 'on') return jsonReply(200, OK)
  return outcome === 'failed' ? jsonReply(503, ERROR) : jsonReply(404, NOT_FOUND)
}

async function answerForSeveral(request: HttpRequest, taps: Taps, log: Logger): Promise<HttpReply> {
  const { method, body } = request
  // These two answers are Fluent Bit's, though nothing was done.
  if (body.length === 0) return jsonReply(400, OK)
  const parameters = parsed(body)
  if (parameters === undefined) {
    log.error('unable to parse json parameters')
    return jsonReply(200, OK)
  }
  const { value } = parameters
  if (!isMap(value)) return refused('input is not an object')
  const names = value['inputs']
  if (!Array.isArray(names)) return refused('inputs not found')
  if (!names.every(name => typeof name === 'string')) return refused('invalid input')
  const start = tapStarter(value, taps, log)
  const inputs: [string, unknown][] = []
  for (const name of names) {
    if (method === 'POST') inputs.push([name, await start(name)])
    else if (method === 'DELETE') {
      taps.stop(name)
      inputs.push([name, OK])
    } else inputs.push([name, { ...ERROR, message: 'method not allowed' }])
  }
  return jsonReply(200, { inputs: Object.fromEntries(inputs), result: OK })
}

/** Sets the same tap on one input after the other. */
function tapStarter(
  parameters: Parameters,
  taps: Taps,
  log: Logger
): (input: string) => Promise<unknown> {
  const failed = { ...ERROR, returncode: -1 }
  let tap: TapRequest
  try {
    tap = tapOf(parameters)
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    log.error(error.message)
    return async () => failed
  }
  return async input => ((await taps.start(input, tap)) === 'on' ? OK : failed)
}

function refused(message: string): HttpReply {
  return jsonReply(503, { ...ERROR, message })
}

type Parameters = Readonly<Record<string, unknown>>

/** Undefined for a text that is no JSON. */
function parsed(body: Buffer): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(body.toString('utf8')) }
  } catch {
    return undefined
  }
}

function isMap(value: unknown): value is Parameters {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @throws {RequestError} When a value is of the wrong kind. */
function tapOf({ prefix = '', output = 'stdout', params = {}, limit }: Parameters): TapRequest {
  if (typeof prefix !== 'string') throw new RequestError('prefix is not a string')
  if (typeof output !== 'string') throw new RequestError('output is not a string')
  if (!isMap(params)) throw new RequestError('output params is not a maps')
  const properties = Object.entries(params).map(([key, value]) => {
    if (typeof value !== 'string') throw new RequestError('output parameter key is not a string')
    return [key, value] as const
  })
  return { prefix, output, properties, limit: limit === undefined ? undefined : limitOf(limit) }
}

function limitOf(limit: unknown): TraceLimit {
  if (!isMap(limit)) throw new RequestError('limit must be a map of limit types')
  const [entry, ...others] = Object.entries(limit)
  if (entry === undefined || others.length > 0) {
    throw new RequestError('limit must have a single limit type')
  }
  const [unit, value] = entry
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new RequestError('limit type must be an integer')
  }
  if (unit !== 'seconds' && unit !== 'count') throw new RequestError('unknown limit type')
  return { unit, value }
}
