/** What one MQTT client sends, from its CONNECT to its DISCONNECT. */
import type { Timer } from '../../../base/clock.ts'
import { hostAndPort } from '../../../net/address.ts'
import type { ServerConnection, StreamHandler } from '../../../net/listener.ts'
import type { InputContext } from '../../../plugin/context.ts'
import type { MessageEvents } from './message_event.ts'
import { PacketBuffer } from './packet_buffer.ts'
import {
  bodyStart,
  connack,
  CONNECT,
  DISCONNECT,
  INCOMPLETE,
  MALFORMED,
  packetEnd,
  packetType,
  PINGREQ,
  PINGRESP,
  pubcomp,
  Publish,
  PUBLISH,
  PUBREL,
  readConnect,
  SUBSCRIBE,
  UNSUBSCRIBE,
  VERSION_REFUSED
} from './packets.ts'

/** What the sessions of an input share. */
export interface SessionHost {
  readonly context: InputContext
  readonly events: MessageEvents
  /** Longest packet. */
  readonly packetBytesMax: number
}

export class MqttSession implements StreamHandler {
  readonly #connection: ServerConnection
  readonly #host: SessionHost
  readonly #buffer = new PacketBuffer()
  readonly #message = new Publish()
  /** Of the messages since the last commit. */
  readonly #answers: number[] = []
  #count = 0
  #isConnected = false
  #hasWarned = false
  #connectTimer: Timer | undefined

  constructor(connection: ServerConnection, host: SessionHost) {
    this.#connection = connection
    this.#host = host
    this.#awaitConnect()
  }

  data(read: Buffer): void {
    const bytes = this.#buffer.join(read)
    let at = 0
    while (at < bytes.length && this.#connection.isOpen) {
      const next = this.#takePacket(bytes, at)
      if (next === INCOMPLETE) break
      at = next
    }
    this.#commit()
    if (this.#connection.isOpen) this.#buffer.keep(bytes, at)
    else this.#buffer.clear()
  }

  closed(): void {
    this.#connectTimer?.cancel()
    if (this.#buffer.length > 0) {
      this.#host.context.dropped('incomplete', this.#isConnected ? 1 : 0, this.#buffer.length)
    }
  }

  /** A client that says nothing must not keep its place; one that is not read may wait. */
  #awaitConnect(): void {
    const { context } = this.#host
    const { acceptTimeoutMs: limitMs, reportsAcceptTimeout } = context.net.server
    if (limitMs <= 0) return
    this.#connectTimer = context.clock.after(limitMs, () => {
      if (context.paused || context.ready() !== undefined) {
        this.#awaitConnect()
        return
      }
      const line = this.#closing(`no CONNECT within ${limitMs / 1000} seconds`)
      if (reportsAcceptTimeout) context.log.error(line)
      else context.log.debug(line)
      this.#connection.close('accept_timeout')
    })
  }

  /** Takes the packet at `at` and gives its end; `INCOMPLETE` when more of it has to come. */
  #takePacket(bytes: Buffer, at: number): number {
    const { packetBytesMax } = this.#host
    const type = packetType(bytes, at)
    const records = type === PUBLISH && this.#isConnected ? 1 : 0
    if (!this.#isConnected && type !== CONNECT) {
      this.#refuse('malformed', 'expected CONNECT', records, bytes.length - at)
      return bytes.length
    }
    const end = packetEnd(bytes, at, bytes.length)
    if (end === MALFORMED) {
      this.#refuse('malformed', 'malformed length', records, bytes.length - at)
      return bytes.length
    }
    if (end - at > packetBytesMax) {
      const problem = `a packet of ${end - at} bytes is longer than buffer_size, which is ${packetBytesMax}`
      this.#refuse('too_long', problem, records, end - at)
      return bytes.length
    }
    if (end === INCOMPLETE || end > bytes.length) return INCOMPLETE
    if (!this.#takeWhole(type, bytes, at, end)) {
      this.#refuse('malformed', `malformed packet of type ${type}`, records, bytes.length - at)
    }
    return end
  }

  /** Takes a packet that has come; false when it is malformed. */
  #takeWhole(type: number, bytes: Buffer, at: number, end: number): boolean {
    switch (type) {
      case CONNECT:
        return this.#connect(bytes, bodyStart(bytes, at), end)
      case PUBLISH:
        return this.#publish(bytes, at, end)
      case PUBREL: {
        const idAt = bodyStart(bytes, at)
        if (end - idAt !== 2) return false
        this.#answer(pubcomp(bytes, idAt))
        return true
      }
      case PINGREQ:
        this.#answer(PINGRESP)
        return true
      case SUBSCRIBE:
      case UNSUBSCRIBE:
        this.#host.context.log.debug('a client wants to subscribe: nothing is published here')
        return true
      case DISCONNECT:
        this.#commit()
        this.#connection.close()
        return true
      default:
        return false
    }
  }

  #connect(bytes: Buffer, at: number, end: number): boolean {
    const request = readConnect(bytes, at, end)
    if (request === undefined) return false
    if (!request.isKnown) {
      this.#answer(VERSION_REFUSED)
      this.#refuse('protocol_version', 'only MQTT 3.1 and 3.1.1 are spoken here', 0, end - at)
      return true
    }
    this.#connectTimer?.cancel()
    this.#isConnected = true
    this.#answer(connack(!request.isClean))
    return true
  }

  #publish(bytes: Buffer, at: number, end: number): boolean {
    const message = this.#message
    if (!message.read(bytes, at, end)) return false
    message.answer(bytes, this.#answers)
    const { context, events } = this.#host
    const { writer } = context.sink(context.tag)
    const problem = events.write(bytes, message, context.clock.now(), writer)
    if (problem === undefined) {
      this.#count++
      if (events.ignoredBytes > 0) context.dropped('after_map', 0, events.ignoredBytes)
      return true
    }
    context.dropped(problem, 1, end - message.payloadAt)
    if (!this.#hasWarned) {
      const isJson = problem === 'not_a_map'
      context.log.warn(
        isJson ? 'MQTT Packet is not a JSON map' : 'MQTT Packet incomplete or is not JSON'
      )
      this.#hasWarned = true
    }
    return true
  }

  /** Hands over what has come; the senders get their answers when it is stored. */
  #commit(): void {
    const { context } = this.#host
    const count = this.#count
    this.#count = 0
    if (this.#answers.length === 0) {
      if (count > 0) context.sink(context.tag).commit(count)
      return
    }
    const answers = Buffer.from(this.#answers)
    this.#answers.length = 0
    if (count === 0) this.#connection.write(answers)
    else context.sink(context.tag).commit(count, () => this.#connection.write(answers))
  }

  /** Sends an answer after those of the messages before it, where they are due. */
  #answer(bytes: Buffer): void {
    this.#commit()
    this.#connection.write(bytes)
  }

  #refuse(reason: string, problem: string, records: number, bytes: number): void {
    const { context } = this.#host
    this.#commit()
    context.dropped(reason, records, bytes)
    context.log.error(this.#closing(problem))
    this.#connection.close(reason)
  }

  #closing(problem: string): string {
    const { address, port } = this.#connection.peer
    return `connection from ${hostAndPort(address, port)} is closed: ${problem}`
  }
}
