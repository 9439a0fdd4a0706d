/** Sends each event of a chunk as a message of its own, as datagrams or in a stream. */
import type { JsonWriter } from '../../codec/json_writer.ts'
import { skip } from '../../codec/msgpack_reader.ts'
import type { Connection } from '../../net/connection.ts'
import type { DatagramSender } from '../../net/datagrams.ts'
import { NetworkError } from '../../net/network_error.ts'
import { type Delivery, OK, partial, retry } from '../../plugin/delivery.ts'
import { eventBodyAt, isGroupMark } from '../../record/event.ts'

/** Messages are sent when this much of them is ready. */
const BATCH_BYTES = 65_536

export interface EventEncoder {
  /** Where messages are appended. */
  readonly out: JsonWriter
  /** Appends the message of the event at `at`; gives the reason, with nothing appended, when there can be none. */
  append(chunk: Buffer, at: number): string | undefined
}

/**
 * Writes the messages one after the other. An event without one is given up. A failure of the network means that the chunk
 * is sent again, as nobody knows what has come.
 *
 * @throws {NetworkError}
 */
export async function streamEvents(
  chunk: Buffer,
  encoder: EventEncoder,
  connection: Connection
): Promise<Delivery> {
  const { out } = encoder
  const dropped = new DroppedEvents()
  connection.ignoreAnswers()
  out.clear()
  let event = 0
  for (let at = 0; at < chunk.length; at = skip(chunk, eventBodyAt(chunk, at)), event++) {
    if (isGroupMark(chunk, at)) continue
    const reason = encoder.append(chunk, at)
    if (reason !== undefined) dropped.add(reason, event)
    if (out.length < BATCH_BYTES) continue
    await connection.write(out.written())
    out.length = 0
  }
  if (out.length > 0) await connection.write(out.written())
  out.clear()
  return dropped.delivery
}

/**
 * Sends each message as what `split` makes of it: datagrams, or the reason why it cannot go. Besides, an event is given up
 * when the network does not take datagrams of its length. Else as `streamEvents`.
 */
export async function sendEvents(
  chunk: Buffer,
  encoder: EventEncoder,
  sender: DatagramSender,
  split: (message: Buffer) => readonly Buffer[] | string
): Promise<Delivery> {
  const { out } = encoder
  const dropped = new DroppedEvents()
  let datagrams: Buffer[] = []
  let events: number[] = []
  let bytes = 0
  const sendBatch = async (): Promise<void> => {
    for (const index of await sender.sendAll(datagrams)) dropped.add('too_long', events[index] ?? 0)
    datagrams = []
    events = []
    bytes = 0
  }
  try {
    let event = 0
    for (let at = 0; at < chunk.length; at = skip(chunk, eventBodyAt(chunk, at)), event++) {
      if (isGroupMark(chunk, at)) continue
      out.length = 0
      const parts = encoder.append(chunk, at) ?? split(Buffer.from(out.written()))
      if (typeof parts === 'string') {
        dropped.add(parts, event)
        continue
      }
      for (const part of parts) {
        datagrams.push(part)
        events.push(event)
        bytes += part.length
      }
      if (bytes >= BATCH_BYTES) await sendBatch()
    }
    await sendBatch()
  } catch (cause) {
    if (cause instanceof NetworkError) return retry(cause.reason)
    throw cause
  } finally {
    out.clear()
  }
  return dropped.delivery
}

/** Events that are given up, by reason. */
class DroppedEvents {
  readonly #events = new Map<string, number[]>()

  /** An event may come several times in a row, once for each of its datagrams. */
  add(reason: string, event: number): void {
    const events = this.#events.get(reason) ?? []
    if (events.at(-1) !== event) events.push(event)
    this.#events.set(reason, events)
  }

  get delivery(): Delivery {
    if (this.#events.size === 0) return OK
    return partial({ drop: [...this.#events].map(([reason, events]) => ({ reason, events })) })
  }
}
