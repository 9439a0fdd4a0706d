/**
 * MQTT 3.1.1 packets, as far as a server needs them that only takes messages.
 * Source: OASIS MQTT 3.1.1, sections 2 and 3; Fluent Bit 5.1.1 plugins/in_mqtt/mqtt_prot.c.
 *
 *     packet  = type(4 bits) flags(4 bits) length body      ; length: 1 to 4 bytes, 7 bits each, the lowest first
 *     connect = name level(1) flags(1) keep-alive(2) *any   ; name, topic: length(2) bytes
 *     publish = topic [ packet-id(2) ] payload              ; an id from QoS 1 on
 */

export const CONNECT = 1
export const PUBLISH = 3
const PUBACK = 4
const PUBREC = 5
export const PUBREL = 6
export const SUBSCRIBE = 8
export const UNSUBSCRIBE = 10
export const PINGREQ = 12
export const DISCONNECT = 14

export const PINGRESP = Buffer.from([0xd0, 0])
/** The answer to protocol versions other than 3.1 and 3.1.1. */
export const VERSION_REFUSED = Buffer.from([0x20, 2, 0, 1])

/** The length of the packet has not come yet. */
export const INCOMPLETE = -1
/** The bytes are no packet. */
export const MALFORMED = -2

const LENGTH_BYTES_MAX = 4

/** Which of the types above it is. */
export function packetType(bytes: Buffer, at: number): number {
  return bytes[at] >>> 4
}

/**
 * The end of the packet at `at`, which may lie beyond `end`; `INCOMPLETE` and `MALFORMED` are below 0.
 *
 * @param end Where the bytes end that have come.
 */
export function packetEnd(bytes: Buffer, at: number, end: number): number {
  let length = 0
  for (let index = 0; index < LENGTH_BYTES_MAX; index++) {
    const byteAt = at + 1 + index
    if (byteAt >= end) return INCOMPLETE
    length += (bytes[byteAt] & 0x7f) * 128 ** index
    if (bytes[byteAt] < 0x80) return byteAt + 1 + length
  }
  return MALFORMED
}

/** Where the body of a whole packet starts. */
export function bodyStart(bytes: Buffer, at: number): number {
  let index = at + 1
  while (bytes[index] >= 0x80) index++
  return index + 1
}

/** What a CONNECT wants: the version, and whether it asks for a session without a past; undefined when it is malformed. */
export function readConnect(
  bytes: Buffer,
  at: number,
  end: number
): { readonly isKnown: boolean; readonly isClean: boolean } | undefined {
  if (end - at < 2) return undefined
  const levelAt = at + 2 + bytes.readUInt16BE(at)
  if (levelAt + 1 >= end) return undefined
  const protocol = bytes.latin1Slice(at + 2, levelAt)
  // Bridges set the highest bit.
  const level = bytes[levelAt] & 0x7f
  const isKnown = (protocol === 'MQTT' && level === 4) || (protocol === 'MQIsdp' && level === 3)
  return { isKnown, isClean: (bytes[levelAt + 1] & 0x02) !== 0 }
}

export function connack(isSessionPresent: boolean): Buffer {
  return Buffer.from([0x20, 2, isSessionPresent ? 1 : 0, 0])
}

export function pubcomp(bytes: Buffer, idAt: number): Buffer {
  return Buffer.from([0x70, 2, bytes[idAt], bytes[idAt + 1]])
}

/** Where the parts of a PUBLISH lie. */
export class Publish {
  qos = 0
  topicAt = 0
  /** A packet id follows from QoS 1 on. */
  topicEnd = 0
  payloadAt = 0
  end = 0

  /** Finds the parts of a whole packet; false when it is malformed. */
  read(bytes: Buffer, at: number, end: number): boolean {
    const start = bodyStart(bytes, at)
    this.qos = (bytes[at] >>> 1) & 3
    if (this.qos === 3 || end - start < 2) return false
    this.topicAt = start + 2
    this.topicEnd = this.topicAt + bytes.readUInt16BE(start)
    this.payloadAt = this.topicEnd + (this.qos > 0 ? 2 : 0)
    this.end = end
    return this.payloadAt <= end
  }

  /** Appends what a sender is to get once the message is stored: PUBACK or PUBREC, nothing for QoS 0. */
  answer(bytes: Buffer, answers: number[]): void {
    if (this.qos === 0) return
    const type = this.qos === 1 ? PUBACK : PUBREC
    answers.push(type << 4, 2, bytes[this.topicEnd], bytes[this.topicEnd + 1])
  }
}
