/** Inputs that make events of datagrams. */
import type { Signal } from '../../base/signal.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import type { Peer } from '../../net/listener.ts'
import type { InputContext } from '../../plugin/context.ts'
import type { Input, Loss } from '../../plugin/define.ts'

/**
 * Writes the events of one datagram, with `timeMs` (milliseconds since the epoch) as their time, and says how many. What it
 * cannot use it counts itself.
 */
export type DatagramDecoder = (
  bytes: Buffer,
  timeMs: number,
  out: MsgpackWriter,
  peer: Peer
) => number

/** How every input of datagrams loses records. */
export const DATAGRAM_LOSS: Loss = {
  when: 'running',
  message:
    'UDP has no answers: what comes while the input is held back or is not running, and what comes faster than it is read, is lost'
}

/**
 * @param decoder Called once, at the start.
 * @param greeting What the log says at the start, before the address.
 * @param ending What it says after the address.
 */
export function datagramInput(
  context: InputContext,
  defaults: {
    readonly port: number
    readonly receiveBufferBytes?: number | undefined
    /** What the events are, logs unless given. */
    readonly signal?: Signal
  },
  greeting: string,
  decoder: () => DatagramDecoder,
  ending = ''
): Input {
  const { clock, log } = context
  const { signal } = defaults
  const lost = new MsgpackWriter(1024)
  let decode: DatagramDecoder = () => 0
  const listener = context.net.datagrams(defaults, (bytes, peer) => {
    if (context.paused) {
      // Datagrams cannot be held back; the events are made to be counted.
      lost.length = 0
      context.dropped('paused', decode(bytes, clock.now(), lost, peer), bytes.length)
      return
    }
    const sink = context.sink(context.tag, signal)
    const count = decode(bytes, clock.now(), sink.writer, peer)
    if (count > 0) sink.commit(count)
  })
  return {
    async start() {
      decode = decoder()
      await listener.start()
      log.info(`${greeting} ${listener.host}:${listener.port}${ending}`)
    },
    stop: () => listener.stop()
  }
}
