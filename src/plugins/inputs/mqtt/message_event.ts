/** The event of a message: its topic, and the JSON map that is its payload. */
import { skipWhiteSpace, transcodeJson } from '../../../codec/json_reader.ts'
import { contentCount, headerSize, isMap } from '../../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { beginEvent } from '../../common/send_event.ts'
import type { Publish } from './packets.ts'

export class MessageEvents {
  readonly #payloadKey: string | undefined
  readonly #payload = new MsgpackWriter(2048)
  /** Bytes of the last payload after its map, which are of no use. */
  ignoredBytes = 0

  /** @param payloadKey What the payload goes under; its pairs go beside the topic without it. */
  constructor(payloadKey: string | undefined) {
    this.#payloadKey = payloadKey
  }

  /** Writes the event of a message; or else writes nothing and gives the reason to drop it. */
  write(
    bytes: Buffer,
    message: Publish,
    timeMs: number,
    out: MsgpackWriter
  ): 'not_json' | 'not_a_map' | undefined {
    const { topicAt, topicEnd, payloadAt, end } = message
    const payload = this.#payload
    payload.length = 0
    const next = transcodeJson(bytes, payloadAt, end, payload)
    if (next < 0) return 'not_json'
    if (!isMap(payload.bytes[0])) return 'not_a_map'
    this.ignoredBytes = end - skipWhiteSpace(bytes, next, end)
    beginEvent(out, timeMs)
    const isNested = this.#payloadKey !== undefined
    out.mapHeader(isNested ? 2 : contentCount(payload.bytes, 0) + 1)
    out.string('topic')
    out.stringBytes(bytes, topicAt, topicEnd)
    if (isNested) out.string(this.#payloadKey)
    out.raw(payload.bytes, isNested ? 0 : headerSize(payload.bytes[0]), payload.length)
    return undefined
  }
}
