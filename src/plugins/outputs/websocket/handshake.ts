/**
 * The handshake of WebSocket, RFC 6455 section 4: a GET request, and the answer 101 that proves that its key was read.
 * Source: Fluent Bit 5.1.1 plugins/out_websocket/websocket.c flb_ws_handshake().
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Connection } from '../../../net/connection.ts'
import { NetworkError } from '../../../net/network_error.ts'

const KEY_BYTES = 16
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Of the answer, no more is read. */
const ANSWER_BYTES_MAX = 8192

export interface HandshakeSettings {
  /** Path and query. */
  readonly path: string
  /** `host:port`. */
  readonly host: string
  /** Names and values, one character is one byte. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly keepsAlive: boolean
  readonly answerTimeoutMs: number
}

/** @throws {NetworkError} `handshake_refused` when the server has answered otherwise, or as the connection failed. */
export async function shakeHands(
  connection: Connection,
  settings: HandshakeSettings
): Promise<void> {
  const key = randomBytes(KEY_BYTES).toString('base64')
  await connection.write(Buffer.from(requestText(settings, key), 'latin1'))
  const head = await readHead(connection, settings.answerTimeoutMs)
  checkAnswer(
    head,
    createHash('sha1')
      .update(key + GUID)
      .digest('base64')
  )
}

function requestText({ path, host, headers, keepsAlive }: HandshakeSettings, key: string): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Content-Length: 0',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    'Sec-WebSocket-Version: 13',
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(keepsAlive ? ['Connection: keep-alive'] : [])
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** The head of the answer; what follows it stays with the connection. */
async function readHead(connection: Connection, limitMs: number): Promise<string> {
  let bytes: Buffer = Buffer.alloc(0)
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n')
    if (end >= 0) {
      connection.unread(bytes.subarray(end + 4))
      return bytes.latin1Slice(0, end)
    }
    if (bytes.length > ANSWER_BYTES_MAX) throw refused('with a head that is too long')
    bytes = Buffer.concat([bytes, await connection.read(limitMs)])
  }
}

function checkAnswer(head: string, accept: string): void {
  const [start = '', ...lines] = head.split('\r\n')
  const status = /^HTTP\/1\.1 (?<status>\d{3})(?: |$)/.exec(start)?.groups?.['status']
  if (status === undefined) throw refused('with what is not HTTP')
  if (status !== '101') throw refused(`with status ${status}`)
  const headers = new Map(lines.map(line => headerOf(line)))
  if (headers.get('upgrade')?.toLowerCase() !== 'websocket') throw refused('for another protocol')
  if (headers.get('sec-websocket-accept') !== accept)
    throw refused('with a wrong Sec-WebSocket-Accept')
}

function headerOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(':')
  return [line.slice(0, Math.max(colon, 0)).trim().toLowerCase(), line.slice(colon + 1).trim()]
}

function refused(how: string): NetworkError {
  return new NetworkError('handshake_refused', `the server answered the handshake ${how}`)
}
