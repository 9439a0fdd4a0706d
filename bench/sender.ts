/**
 * Sends records to an agent as fast as it takes them; the last one holds the end mark.
 *
 *     node sender.ts forward|syslog|http PORT RECORDS
 *
 * Prints a line when the agent has taken all.
 */
import { request, Agent } from 'node:http'
import { connect, type Socket } from 'node:net'
import { END_MARK } from './generate.ts'

/** Events of one PackedForward message, and of one request. */
const FORWARD_EVENTS = 500
const HTTP_EVENTS = 300

/** Messages that wait for their acknowledgement. */
const FORWARD_UNDER_WAY = 8
const HTTP_CONNECTIONS = 4

const CHUNK_ID = '0123456789abcdef'

const [protocol = '', ...numbers] = process.argv.slice(2)
const [port = 0, records = 0] = numbers.map(Number)
const SENDERS: Readonly<Record<string, () => Promise<void>>> = {
  forward: sendForward,
  syslog: sendSyslog,
  http: sendHttp
}
await SENDERS[protocol]?.()
console.log('taken')

/** About 300 bytes of a record, as fields. */
function fields(index: number): Record<string, string | number> {
  return {
    log: `request ${index} finished ${index === records - 1 ? END_MARK : 'without error'}: GET /api/v1/orders/${index % 9973}?expand=items`,
    level: index % 17 === 0 ? 'warn' : 'info',
    stream: 'stdout',
    status: 200 + (index % 5),
    took: (index * 7919) % 977,
    pod: `orders-6d9c7b5f4d-${String(index % 100).padStart(5, 'x')}`,
    namespace: 'production',
    host: `node-${index % 16}.eu-north-1.compute.internal`,
    trace: `4bf92f3577b34da6a3ce929d0e0e${String(index % 10_000).padStart(4, '0')}`
  }
}

function sendForward(): Promise<void> {
  const body = forwardMessage(0, FORWARD_EVENTS)
  const last = forwardMessage(records - FORWARD_EVENTS, FORWARD_EVENTS)
  const messages = records / FORWARD_EVENTS
  const answer = Buffer.from([0x81, 0xa3, ...Buffer.from('ack'), 0xb0, ...Buffer.from(CHUNK_ID)])
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let sent = 0
    let taken = 0
    let bytes = 0
    const fill = (): void => {
      while (sent < messages && sent - taken < FORWARD_UNDER_WAY) {
        sent++
        socket.write(sent === messages ? last : body)
      }
    }
    socket.setNoDelay(true)
    socket.once('connect', fill)
    socket.once('error', reject)
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length
      taken = Math.floor(bytes / answer.length)
      if (taken < messages) fill()
      else {
        socket.end()
        resolve()
      }
    })
  })
}

function forwardMessage(first: number, count: number): Buffer {
  const events = Buffer.concat(
    Array.from({ length: count }, (_, index) =>
      Buffer.concat([
        Buffer.from([0x92, 0xd7, 0x00, 0x65, 0x53, 0xf1, 0x00, 0, 0, 0, index & 0xff]),
        map(fields(first + index))
      ])
    )
  )
  const head = Buffer.from([0x93, 0xa5, ...Buffer.from('bench'), 0xc6, 0, 0, 0, 0])
  head.writeUInt32BE(events.length, head.length - 4)
  const options = Buffer.concat([
    Buffer.from([0x82, 0xa4, ...Buffer.from('size'), 0xcd, count >> 8, count & 0xff]),
    Buffer.from([0xa5, ...Buffer.from('chunk'), 0xb0, ...Buffer.from(CHUNK_ID)])
  ])
  return Buffer.concat([head, events, options])
}

function map(record: Readonly<Record<string, string | number>>): Buffer {
  const entries = Object.entries(record)
  const parts: Buffer[] = [Buffer.from([0x80 | entries.length])]
  for (const [key, value] of entries) parts.push(text(key), encoded(value))
  return Buffer.concat(parts)
}

function encoded(value: string | number): Buffer {
  return typeof value === 'string' ? text(value) : Buffer.from([0xcd, value >> 8, value & 0xff])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const head = bytes.length < 32 ? [0xa0 | bytes.length] : [0xd9, bytes.length]
  return Buffer.concat([Buffer.from(head), bytes])
}

async function sendSyslog(): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  const lines = 1000
  const block = syslogLines(0, lines)
  await write(socket, Buffer.alloc(0))
  for (let sent = lines; sent < records; sent += lines) await write(socket, block)
  await write(socket, syslogLines(records - lines, lines))
  socket.end()
}

function syslogLines(first: number, count: number): Buffer {
  const lines = Array.from({ length: count }, (_, index) => {
    const { log, host, level, took, trace } = fields(first + index)
    return `<134>1 2026-10-10T06:00:00.${String(index).padStart(3, '0')}000Z ${host} orders ${1000 + index} ID47 [meta level="${level}" took="${took}" trace="${trace}"] ${log}\n`
  })
  return Buffer.from(lines.join(''))
}

function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, error => (error ? reject(error) : resolve()))
  })
}

async function sendHttp(): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: HTTP_CONNECTIONS })
  const body = httpBody(0, HTTP_EVENTS)
  const requests = records / HTTP_EVENTS - 1
  let sent = 0
  const work = async (): Promise<void> => {
    while (sent < requests) {
      sent++
      await post(agent, body)
    }
  }
  await Promise.all(Array.from({ length: HTTP_CONNECTIONS }, work))
  await post(agent, httpBody(records - HTTP_EVENTS, HTTP_EVENTS))
  agent.destroy()
}

function httpBody(first: number, count: number): Buffer {
  return Buffer.from(
    JSON.stringify(Array.from({ length: count }, (_, index) => fields(first + index)))
  )
}

function post(agent: Agent, body: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/json', 'content-length': body.length }
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { agent, port, host: '127.0.0.1', method: 'POST', path: '/bench', headers },
      response => {
        response.resume()
        response.once('end', () => {
          if (response.statusCode === 201) resolve()
          else reject(new Error(`the agent answered ${response.statusCode}`))
        })
      }
    )
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}
