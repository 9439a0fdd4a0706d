/**
 * Frames of WebSocket, RFC 6455 section 5.2:
 *
 *     FIN, 3 reserved bits, opcode (4) | MASK, length (7) | length: 16 bits if 126, 64 bits if 127 | mask (4 bytes) | payload
 *
 * A client masks what it sends, a server does not.
 */
import { NetworkError } from '../../../net/network_error.ts'

export const OPCODES = { text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const
export type Opcode = (typeof OPCODES)[keyof typeof OPCODES]

const FIN = 0x80
const RESERVED = 0x70
const MASKED = 0x80
const CONTROL = 0x8
export const MASK_BYTES = 4

/** Payload of a control frame, section 5.5. */
const CONTROL_BYTES_MAX = 125

/** A head without a mask has 10 bytes at most. */
const HEAD_BYTES_MAX = 10

/** The head of a whole message; `mask` has four bytes. */
export function frameHead(opcode: Opcode, length: number, mask: Buffer): Buffer {
  const first = FIN | opcode
  if (length < 126) return Buffer.concat([Buffer.of(first, MASKED | length), mask])
  const wide = Buffer.alloc(length < 65_536 ? 4 : 10)
  wide[0] = first
  wide[1] = MASKED | (wide.length === 4 ? 126 : 127)
  if (wide.length === 4) wide.writeUInt16BE(length, 2)
  else wide.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([wide, mask])
}

/** Masks the payload in place. */
export function applyMask(payload: Buffer, mask: Buffer): void {
  for (let at = 0; at < payload.length; at++) payload[at] ^= mask[at & 3]
}

/** Reads what a server sends: takes its control frames and passes over its messages, of whatever length. */
export class FrameReader {
  readonly #take: (opcode: number, payload: Buffer) => void
  /** The head of the frame that has begun, until it is whole. */
  readonly #head = Buffer.alloc(HEAD_BYTES_MAX)
  #headLength = 0
  /** Of the frame whose head is whole: payload still to come, and what is kept of it. */
  #left = -1
  #payload = Buffer.alloc(0)

  /** @param take Gets each control frame, whose payload it may keep. */
  constructor(take: (opcode: number, payload: Buffer) => void) {
    this.#take = take
  }

  /** @throws {NetworkError} `protocol_error` for what a server must not send; nothing may be read after that. */
  feed(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#left < 0) {
        this.#head[this.#headLength++] = bytes[at++]
        this.#beginPayload()
      } else {
        const end = Math.min(at + this.#left, bytes.length)
        if (this.#isControl) bytes.copy(this.#payload, this.#payload.length - this.#left, at, end)
        this.#left -= end - at
        at = end
      }
      if (this.#left === 0) this.#endFrame()
    }
  }

  get #isControl(): boolean {
    return (this.#head[0] & CONTROL) !== 0
  }

  /** Sets `#left` when the head is whole. */
  #beginPayload(): void {
    const [first, second] = this.#head
    if (this.#headLength < 2) return
    const length = second & ~MASKED
    if (this.#headLength === 2) this.#checkHead(first, second, length)
    const headLength = length < 126 ? 2 : length === 126 ? 4 : 10
    if (this.#headLength < headLength) return
    if (headLength === 2) this.#left = length
    else if (headLength === 4) this.#left = this.#head.readUInt16BE(2)
    else this.#left = Number(this.#head.readBigUInt64BE(2))
    if (this.#isControl) this.#payload = Buffer.alloc(this.#left)
  }

  #checkHead(first: number, second: number, length: number): void {
    if ((first & RESERVED) !== 0) throw wrong('uses an extension that was not agreed on')
    if ((second & MASKED) !== 0) throw wrong('masks its frames')
    if (!this.#isControl) return
    if (length > CONTROL_BYTES_MAX || (first & FIN) === 0) throw wrong('sent a long control frame')
  }

  #endFrame(): void {
    const opcode = this.#head[0] & 0x0f
    const payload = this.#payload
    const isControl = this.#isControl
    this.#headLength = 0
    this.#left = -1
    if (isControl) this.#take(opcode, payload)
  }
}

function wrong(what: string): NetworkError {
  return new NetworkError('protocol_error', `the server ${what}`)
}
