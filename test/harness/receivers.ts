/** What outputs send to: sockets of this process that keep what comes. */
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import type { KeyPair } from './certificates.ts'

export interface DatagramReceiver {
  readonly port: number
  /** All that have come, in order. */
  readonly datagrams: readonly Buffer[]
}

export async function receiveDatagrams(t: TestContext): Promise<DatagramReceiver> {
  const socket = createSocket('udp4')
  const datagrams: Buffer[] = []
  socket.on('message', bytes => void datagrams.push(bytes))
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve))
  t.after(() => socket.close())
  return { port: socket.address().port, datagrams }
}

export interface StreamReceiver {
  readonly port: number
  /** All bytes that have come, of all connections in the order in which they came. */
  readonly received: Buffer
  /** Connections that were ever made. */
  readonly connections: readonly Socket[]
}

export interface StreamOptions {
  /** Speaks TLS, with this certificate. */
  readonly tls?: KeyPair
  /** Called with each connection, and with what comes on it. */
  readonly accept?: (socket: Socket) => void
  readonly take?: (bytes: Buffer, socket: Socket) => void
  /** A port to listen on; a free one unless given. */
  readonly port?: number
}

export async function receiveStream(
  t: TestContext,
  options: StreamOptions = {}
): Promise<StreamReceiver> {
  const pieces: Buffer[] = []
  const connections: Socket[] = []
  const serve = (socket: Socket): void => {
    connections.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => {
      pieces.push(bytes)
      options.take?.(bytes, socket)
    })
    options.accept?.(socket)
  }
  const server = options.tls === undefined ? createServer(serve) : tlsServer(options.tls, serve)
  await new Promise<void>(resolve => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    for (const socket of connections) socket.destroy()
  })
  return {
    port: (server.address() as AddressInfo).port,
    get received() {
      return Buffer.concat(pieces)
    },
    connections
  }
}

function tlsServer({ certificate, key }: KeyPair, serve: (socket: Socket) => void): Server {
  return createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, serve)
}
