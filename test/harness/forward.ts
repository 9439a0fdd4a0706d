/** A client of the forward protocol that says what a test has it say. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { type Encodable, Extension, MsgpackWriter } from '../../src/codec/msgpack_writer.ts'

/** 1700000000.123456789 as an EventTime. */
export const EVENT_TIME = new Extension(0, Buffer.from('6553f100075bcd15', 'hex'))

/** Values one after the other. */
export function packed(...values: readonly Encodable[]): Buffer {
  const out = new MsgpackWriter()
  for (const value of values) out.value(value)
  return Buffer.from(out.written())
}

export class ForwardClient {
  readonly socket: Socket
  received = Buffer.alloc(0)
  isClosed = false

  /** @param target A port of 127.0.0.1, or the path of a unix socket. */
  static async open(t: TestContext, target: number | string): Promise<ForwardClient> {
    const socket = typeof target === 'number' ? connect(target, '127.0.0.1') : connect(target)
    t.after(() => socket.destroy())
    const client = new ForwardClient(socket)
    await once(socket, 'connect')
    return client
  }

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('data', bytes => (this.received = Buffer.concat([this.received, bytes as Buffer])))
    socket.on('end', () => (this.isClosed = true))
    socket.on('close', () => (this.isClosed = true))
  }

  /** Sends bytes, or values as frames. */
  send(...frames: readonly (Buffer | readonly Encodable[])[]): void {
    const bytes = frames.map(frame => (Buffer.isBuffer(frame) ? frame : packed(frame)))
    this.socket.write(Buffer.concat(bytes))
  }
}
