/**
 * The files of chunks: append-only, made of blocks that each carry their checksum, so that a file that a crash cut off
 * is good up to its first bad byte.
 *
 *     file  = "SPWYCHK1" block*
 *     block = crc32 type length events payload
 *
 * `crc32` (4 bytes) is over all that follows in the block; `type` 1 byte, `length` 4 bytes of the payload, `events` 4
 * bytes, how many events the payload holds. Numbers are big endian. The first block says what the chunk is; further
 * ones hold events, or what outputs have settled. Fluent Bit's own layout (fluent_bit_chunk.ts) has one checksum and one
 * length for the whole file, which a crash leaves behind the content.
 */
import { crc32 } from 'node:zlib'
import { type Signal, SIGNALS } from '../base/signal.ts'

const MAGIC = Buffer.from('SPWYCHK1', 'latin1')
const HEAD_BYTES = 13

/** Payload of one block: more than a chunk and the largest record that any input hands over. */
const PAYLOAD_BYTES_MAX = 1_073_741_824

const BLOCK = { origin: 1, events: 2, settled: 3 } as const

type BlockType = (typeof BLOCK)[keyof typeof BLOCK]

/** What a chunk is, beside its events. */
export interface ChunkOrigin {
  readonly tag: string
  /** Alias or name of the input. */
  readonly input: string
  /** Aliases or names of the outputs that a conditional route chose; absent where the tag chooses. */
  readonly outputs?: readonly string[]
  /** What the events are; logs where absent. */
  readonly signal?: Signal
}

/** What one output needs no more. */
export interface Settled {
  /** What tells the output from others, also over a change of the configuration. */
  readonly output: string
  /** Events of the chunk, from 0, that are still to be delivered; absent when none is. */
  readonly left?: readonly number[]
}

/** Why the rest of a file cannot be used. */
export type BadBlock = 'torn_block' | 'bad_checksum' | 'bad_header' | 'bad_block'

export interface ReadChunk {
  /** Undefined when not even the first block can be read. */
  readonly origin: ChunkOrigin | undefined
  readonly events: number
  /** Payloads of events, shared with the file's bytes. */
  readonly pieces: readonly Buffer[]
  readonly settled: readonly Settled[]
  /** Bytes of the file that are good. */
  readonly end: number
  readonly problem: BadBlock | undefined
}

/** The pieces that a new file starts with. */
export function startOfFile(origin: ChunkOrigin): Buffer[] {
  return [MAGIC, ...block(BLOCK.origin, Buffer.from(JSON.stringify(origin)), 0)]
}

/** The pieces of a block of events. */
export function eventsBlock(payload: Buffer, events: number): Buffer[] {
  return block(BLOCK.events, payload, events)
}

/** The pieces of a block that says what an output has settled. */
export function settledBlock(settled: Settled): Buffer[] {
  return block(BLOCK.settled, Buffer.from(JSON.stringify(settled)), 0)
}

function block(type: BlockType, payload: Buffer, events: number): Buffer[] {
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  head[4] = type
  head.writeUInt32BE(payload.length, 5)
  head.writeUInt32BE(events, 9)
  head.writeUInt32BE(crc32(payload, crc32(head.subarray(4))), 0)
  return [head, payload]
}

/** Reads a file as far as it is good; never throws. */
export function readChunkFile(file: Buffer): ReadChunk {
  const reader = new BlockReader(file)
  reader.run()
  return reader
}

function parse(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString())
  } catch {
    return undefined
  }
}

function isOrigin(value: unknown): value is ChunkOrigin {
  const { tag, input, outputs, signal } = fieldsOf(value)
  const isListed = outputs === undefined || (Array.isArray(outputs) && outputs.every(isText))
  const isKnown = signal === undefined || SIGNALS.some(known => known === signal)
  return isText(tag) && isText(input) && isListed && isKnown
}

function isSettled(value: unknown): value is Settled {
  const { output, left } = fieldsOf(value)
  return isText(output) && (left === undefined || (Array.isArray(left) && left.every(follows)))
}

/** True for the number of an event that is higher than the one before it. */
function follows(event: unknown, index: number, all: readonly unknown[]): boolean {
  return Number.isSafeInteger(event) && Number(event) > (index === 0 ? -1 : Number(all[index - 1]))
}

function fieldsOf(value: unknown): Readonly<Partial<Record<string, unknown>>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

class BlockReader implements ReadChunk {
  readonly #file: Buffer
  origin: ChunkOrigin | undefined
  events = 0
  readonly pieces: Buffer[] = []
  readonly settled: Settled[] = []
  end = 0
  problem: BadBlock | undefined

  constructor(file: Buffer) {
    this.#file = file
  }

  run(): void {
    const file = this.#file
    if (!file.subarray(0, MAGIC.length).equals(MAGIC)) {
      // A file that was cut off within its first bytes is like any other that was cut off.
      this.problem = MAGIC.subarray(0, file.length).equals(file) ? 'torn_block' : 'bad_header'
      return
    }
    let at = MAGIC.length
    while (at < file.length) {
      const next = this.#block(at)
      if (next === undefined) return
      at = next
      this.end = at
    }
    if (this.origin === undefined) this.problem = 'torn_block'
  }

  /** Takes the block at a position; gives where the next one starts, undefined when this one is bad. */
  #block(at: number): number | undefined {
    const file = this.#file
    if (at + HEAD_BYTES > file.length) return this.#fail('torn_block')
    const length = file.readUInt32BE(at + 5)
    const next = at + HEAD_BYTES + length
    if (length > PAYLOAD_BYTES_MAX) return this.#fail('bad_block')
    if (next > file.length) return this.#fail('torn_block')
    if (crc32(file.subarray(at + 4, next)) !== file.readUInt32BE(at)) {
      return this.#fail('bad_checksum')
    }
    const payload = file.subarray(at + HEAD_BYTES, next)
    const isFirst = this.origin === undefined
    const type = file[at + 4]
    if (type === BLOCK.events && !isFirst) {
      this.pieces.push(payload)
      this.events += file.readUInt32BE(at + 9)
      return next
    }
    const value = parse(payload)
    if (type === BLOCK.origin && isFirst && isOrigin(value)) this.origin = value
    else if (type === BLOCK.settled && !isFirst && isSettled(value)) this.settled.push(value)
    else return this.#fail('bad_block')
    return next
  }

  #fail(problem: BadBlock): undefined {
    this.problem = problem
    return undefined
  }
}
