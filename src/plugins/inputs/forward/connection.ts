/**
 * One connection of a sender: its handshake where there is one, then frame after frame.
 *
 * What is wrong with a single event costs that event; what is wrong with a frame ends the connection, without an
 * acknowledgement, so that a sender that asks for those sends it again.
 *
 * @hot bench/pipelines.ts
 */
import type { Timer } from '../../../base/clock.ts'
import type { Signal } from '../../../base/signal.ts'
import { CompressionError, detectCompression, expand } from '../../../codec/compression.ts'
import {
  contentCount,
  headerSize,
  isMap,
  skip,
  skipChecked
} from '../../../codec/msgpack_reader.ts'
import { hostAndPort } from '../../../net/address.ts'
import type { ServerConnection, StreamHandler } from '../../../net/listener.ts'
import type { EventSink, InputContext } from '../../../plugin/context.ts'
import type { RefusedInput } from '../../common/refused_input.ts'
import { Acks } from './acks.ts'
import { EventCopier } from './event_copier.ts'
import { Frame } from './frame.ts'
import { FrameSplitter, type SpareBuffers } from './frame_splitter.ts'
import { Handshake, type HandshakeSettings } from './handshake.ts'
import type { Tags } from './tags.ts'

/** What the connections of an instance share. */
export interface Receiver {
  readonly context: InputContext
  readonly refused: RefusedInput
  readonly tags: Tags
  readonly spares: SpareBuffers
  readonly handshake: HandshakeSettings | undefined
  readonly handshakeMs: number
  /** Longest frame, and longest payload, also when it is expanded. */
  readonly frameBytesMax: number
  readonly payloadBytesMax: number
  /** Resolves when the input is no longer held back. */
  resumed(): Promise<void>
  /** Connections whose senders are gone and whose frames are not all taken yet. */
  readonly leaving: Set<ForwardConnection>
}

/** Both are used within one turn only. */
const frame = new Frame()
const copier = new EventCopier()

export class ForwardConnection implements StreamHandler {
  readonly #receiver: Receiver
  readonly #connection: ServerConnection
  readonly #splitter: FrameSplitter
  readonly #acks: Acks
  #handshake: Handshake | undefined
  #handshakeTimer: Timer | undefined
  /** True while a frame needs time. */
  #isBusy = false
  /** True when nothing more is taken. */
  #isDone = false
  /** A wrong name of a compression is told of once. */
  #hasWarned = false

  constructor(connection: ServerConnection, receiver: Receiver) {
    const { handshake, frameBytesMax, spares } = receiver
    this.#receiver = receiver
    this.#connection = connection
    this.#splitter = new FrameSplitter(frameBytesMax, spares)
    this.#acks = new Acks(connection)
    if (handshake !== undefined) this.#greet(handshake)
  }

  data(bytes: Buffer): Promise<void> | undefined {
    const own = this.#handshake === undefined ? bytes : this.#shakeHands(this.#handshake, bytes)
    if (own.length === 0) return undefined
    this.#splitter.push(own)
    return this.#takeFrames()
  }

  /** Most senders that want no acknowledgements leave as soon as they have sent: what has come whole is taken. */
  closed(): void {
    this.#handshakeTimer?.cancel()
    if (this.#isBusy) this.#receiver.leaving.add(this)
    else this.finish()
  }

  /** Takes nothing more. */
  finish(): void {
    this.#isDone = true
    const { unread } = this.#splitter
    if (unread > 0) this.#receiver.context.dropped('incomplete', 1, unread)
    this.#splitter.release()
    this.#receiver.leaving.delete(this)
  }

  // --- the handshake

  #greet(settings: HandshakeSettings): void {
    const { context, handshakeMs } = this.#receiver
    this.#handshake = new Handshake(settings)
    this.#connection.write(this.#handshake.hello)
    if (handshakeMs <= 0) return
    this.#handshakeTimer = context.clock.after(handshakeMs, () => {
      this.#refuseSender('handshake_timeout', `no PING within ${handshakeMs / 1000} seconds`)
    })
  }

  /** Takes the sender's part of the handshake; gives what comes behind it. */
  #shakeHands(handshake: Handshake, bytes: Buffer): Buffer {
    const result = handshake.take(bytes)
    const nothing = bytes.subarray(bytes.length)
    if (result === undefined) return nothing
    this.#handshakeTimer?.cancel()
    if (result.pong !== undefined) this.#connection.write(result.pong)
    if (result.isGreeted) {
      this.#handshake = undefined
      return result.rest
    }
    this.#refuseSender('handshake', result.fault ?? '')
    return nothing
  }

  #refuseSender(reason: string, fault: string): void {
    this.#receiver.context.log.error(`${fault}: the connection from ${this.#peer} is closed`)
    this.#connection.close(reason)
  }

  // --- frames

  /** Takes all frames that have come; a promise while one of them needs time. */
  #takeFrames(): Promise<void> | undefined {
    const splitter = this.#splitter
    const { context } = this.#receiver
    let work: Promise<void> | undefined
    this.#acks.collect()
    while (work === undefined && !this.#isDone) {
      if (context.paused && splitter.unread > 0) work = this.#receiver.resumed()
      else if (splitter.next()) work = this.#takeFrame(splitter.bytes, splitter.start, splitter.end)
      else break
    }
    this.#acks.send()
    if (splitter.fault !== undefined) this.#refuseStream(splitter.fault)
    // A connection that is silent holds nothing.
    else if (work === undefined && splitter.unread === 0) splitter.release()
    this.#isBusy = work !== undefined
    if (work === undefined && this.#receiver.leaving.has(this)) this.finish()
    return work?.then(() => this.#takeFrames())
  }

  #takeFrame(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const fault = frame.read(bytes, start)
    if (fault !== undefined) this.#refuse(fault, end - start)
    else if (frame.mode === 'packed') return this.#takePacked(bytes)
    else if (frame.mode === 'forward') this.#takeForward(bytes, start, end)
    else this.#takeMessage(bytes, end - start)
    return undefined
  }

  #takeMessage(bytes: Buffer, frameBytes: number): void {
    const { eventsAt, eventsEnd, metadataAt } = frame
    const sink = this.#sink(bytes)
    if (copier.write(bytes, eventsAt, metadataAt, eventsEnd, sink.writer)) {
      sink.commit(1, this.#receipt(bytes))
    } else this.#refuse('invalid time', frameBytes)
  }

  #takeForward(bytes: Buffer, start: number, end: number): void {
    const { eventsAt } = frame
    const sink = this.#sink(bytes)
    const { writer } = sink
    const before = writer.length
    const firstAt = eventsAt + headerSize(bytes[eventsAt])
    copier.copy(bytes, firstAt, end, writer, contentCount(bytes, eventsAt))
    const { written, at } = copier
    const fault = frame.readOptions(bytes, at >= 0 ? at : skip(bytes, eventsAt))
    if (fault !== undefined) {
      writer.length = before
      this.#refuse(fault, end - start)
      return
    }
    this.#countDropped()
    sink.commit(written, this.#receipt(bytes))
  }

  #takePacked(bytes: Buffer): Promise<void> | undefined {
    const { payloadBytesMax, tags } = this.#receiver
    const { eventsAt, eventsEnd, signal, hasOptions, compressed } = frame
    const payload = bytes.subarray(eventsAt, eventsEnd)
    if (payload.length > payloadBytesMax) {
      this.#refuseStream('too_large', payload.length)
      return undefined
    }
    const tag = tags.read(bytes, frame.tagAt, frame.tagEnd)
    const receipt = this.#receipt(bytes)
    const magic = hasOptions ? detectCompression(payload) : undefined
    const kind = magic ?? (hasOptions ? compressed : undefined)
    if (kind === undefined) {
      this.#store(payload, tag, signal, receipt)
      return undefined
    }
    if (compressed !== undefined && compressed !== kind && !this.#hasWarned) {
      this.#hasWarned = true
      this.#receiver.context.log.warn(
        `compressed=${compressed} but magic says ${kind}; using magic`
      )
    }
    return this.#expand(kind, payload, tag, signal, receipt)
  }

  async #expand(
    kind: 'gzip' | 'zstd',
    payload: Buffer,
    tag: string,
    signal: Signal,
    receipt: (() => void) | undefined
  ): Promise<void> {
    const { context, payloadBytesMax } = this.#receiver
    const content = await expand(kind, payload, payloadBytesMax).catch(faultOf)
    while (context.paused && !this.#isDone) await this.#receiver.resumed()
    if (this.#isDone) context.dropped('incomplete', 1, payload.length)
    else if (Buffer.isBuffer(content)) this.#store(content, tag, signal, receipt)
    else this.#refuse(lowerFirst(content.message), payload.length, content.reason)
  }

  #store(payload: Buffer, tag: string, signal: Signal, receipt: (() => void) | undefined): void {
    const sink = this.#receiver.tags.sink(tag, signal)
    if (signal === 'logs') {
      copier.copy(payload, 0, payload.length, sink.writer)
      this.#countDropped()
      sink.commit(copier.written, receipt)
      return
    }
    const count = countContexts(payload)
    if (count < 0) {
      this.#refuse(`could not decode ${signal}`, payload.length)
      return
    }
    sink.writer.raw(payload, 0, payload.length)
    sink.commit(count, receipt)
  }

  #sink(bytes: Buffer): EventSink {
    const { tags } = this.#receiver
    return tags.sink(tags.read(bytes, frame.tagAt, frame.tagEnd), 'logs')
  }

  #receipt(bytes: Buffer): (() => void) | undefined {
    return frame.chunkAt < 0 ? undefined : this.#acks.expect(bytes, frame.chunkAt)
  }

  // --- what is wrong

  #countDropped(): void {
    const { dropped, droppedBytes } = copier
    if (dropped === 0) return
    const line = `${dropped} events (${droppedBytes} bytes) from ${this.#peer} cannot be read and are dropped`
    this.#receiver.refused.add('not_an_event', dropped, droppedBytes, line)
  }

  #refuseStream(fault: 'not_a_frame' | 'too_large', bytes = this.#splitter.unread): void {
    const { payloadBytesMax } = this.#receiver
    if (fault === 'not_a_frame') this.#refuse('no frame of the forward protocol', bytes)
    else this.#refuse(`incoming data exceed limit (${payloadBytesMax} bytes)`, bytes, fault)
  }

  /** Gives up a frame and with it the connection: where the next one starts may not be known. */
  #refuse(fault: string, bytes: number, reason = 'malformed'): void {
    const line = `${fault}: the connection from ${this.#peer} is closed`
    this.#isDone = true
    this.#receiver.refused.add(reason, 1, bytes, line)
    this.#splitter.release()
    // The frames before it are taken.
    this.#acks.send()
    this.#connection.close(reason)
  }

  /** As log lines name it. */
  get #peer(): string {
    const { address, port } = this.#connection.peer
    return address === '' ? 'the unix socket' : hostAndPort(address, port)
  }
}

/** Encoded contexts of metrics or traces, which are maps; -1 when the bytes are something else. */
function countContexts(payload: Buffer): number {
  let count = 0
  for (let at = 0; at < payload.length; count++) {
    at = isMap(payload[at]) ? skipChecked(payload, at, payload.length) : -1
    if (at < 0) return -1
  }
  return count
}

/** What is wrong with compressed bytes; other errors are ours. */
function faultOf(cause: unknown): CompressionError {
  if (cause instanceof CompressionError) return cause
  throw cause
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
