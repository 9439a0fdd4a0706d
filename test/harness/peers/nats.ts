/** nats-server, and a subscriber to it. */
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import { freePort, listens, type Peer, startPeer } from '../peers.ts'

export interface NatsMessage {
  readonly subject: string
  readonly payload: string
}

export interface NatsServer {
  readonly peer: Peer
  readonly port: number
  /** All that was published since the server started, in order. */
  messages(): readonly NatsMessage[]
}

/** Starts a NATS server that somebody listens to. */
export async function startNats(t: TestContext): Promise<NatsServer> {
  const port = await freePort()
  const peer = await startPeer(t, {
    program: 'nats-server',
    args: ['--addr', '127.0.0.1', '--port', String(port)],
    ready: () => listens(port)
  })
  const subscriber = new Subscriber(t, port)
  await peer.until(() => subscriber.subscribed)
  return { peer, port, messages: () => subscriber.messages }
}

/**
 * Subscribes to every subject:
 *
 *     < INFO {…}\r\n
 *     > CONNECT {…}\r\nSUB > 1\r\nPING\r\n
 *     < PONG\r\n
 *     < MSG <subject> 1 <bytes>\r\n<payload>\r\n
 */
class Subscriber {
  readonly messages: NatsMessage[] = []
  subscribed = false
  #received = ''

  constructor(t: TestContext, port: number) {
    const socket = connect(port, '127.0.0.1')
    t.after(() => socket.destroy())
    // The test may end the server first.
    socket.on('error', () => undefined)
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.#received += text
      while (this.#takeOne(line => socket.write(line)));
    })
    socket.write('CONNECT {"verbose":false}\r\nSUB > 1\r\nPING\r\n')
  }

  #takeOne(answer: (line: string) => void): boolean {
    const end = this.#received.indexOf('\r\n')
    if (end < 0) return false
    const [verb, subject, , ...sizes] = this.#received.slice(0, end).split(' ')
    const start = end + 2
    const next = verb === 'MSG' ? start + Number(sizes.at(-1)) + 2 : start
    if (this.#received.length < next) return false
    if (verb === 'PING') answer('PONG\r\n')
    if (verb === 'PONG') this.subscribed = true
    if (verb === 'MSG') {
      const payload = Buffer.from(this.#received.slice(start, next - 2), 'latin1').toString()
      this.messages.push({ subject, payload })
    }
    this.#received = this.#received.slice(next)
    return true
  }
}
