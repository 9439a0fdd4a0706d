/**
 * Events from records that come one after the other on a connection, in parts of any size.
 *
 * What is not whole yet is kept; it is only looked at again when its end has come, so that a sender of single bytes costs
 * no more than one of large blocks.
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { InputContext } from '../../../plugin/context.ts'

/** Given by `read` when a record is longer than allowed. */
export const TOO_LONG = -1

/** Given by `read` when nobody can say where the next record begins. */
export const LOST = -2

/** Finds the records in what has come on one connection, and makes events of them. */
export interface RecordFormat {
  /** Events that the last `read` has written. */
  readonly count: number
  /** Where the last `read` stopped: begin of the first record that is not whole, or cannot be taken. */
  readonly position: number
  /** Takes all whole records. Gives `position`, `TOO_LONG` or `LOST`; events before the problem are written. */
  read(bytes: Buffer, timeMs: number, out: MsgpackWriter): number
  /**
   * Whether a record may be whole now. Asked once for each part that follows after `read` has left something.
   *
   * @param total Bytes since `position`, with `piece`, which are the last of them.
   */
  completes(piece: Buffer, total: number): boolean
}

/** Why a connection cannot go on. */
export type StreamProblem = 'too_long' | 'malformed'

const EMPTY = Buffer.alloc(0)

/** Bytes that the buffer for joining is made for; longer records get one of their own. */
const JOINED_BYTES = 262_144

/** For all connections: what is joined is read at once. */
let joined = EMPTY

export class RecordStream {
  readonly #format: RecordFormat
  readonly #bytesMax: number
  readonly #context: InputContext
  /** The begin of a record whose end has not come yet, and room for more of it. */
  #kept = EMPTY
  #length = 0

  /** @param bytesMax Longest record that is kept until its end comes. */
  constructor(format: RecordFormat, bytesMax: number, context: InputContext) {
    this.#format = format
    this.#bytesMax = bytesMax
    this.#context = context
  }

  /** Takes the next bytes; says what is wrong when the connection has to end. */
  take(piece: Buffer): StreamProblem | undefined {
    const total = this.#length + piece.length
    if (this.#length > 0 && !this.#format.completes(piece, total)) {
      if (total > this.#bytesMax) return this.#giveUp('too_long', total)
      this.#append(piece)
      return undefined
    }
    const bytes = this.#length === 0 ? piece : this.#join(piece)
    const sink = this.#context.sink(this.#context.tag)
    const at = this.#format.read(bytes, this.#context.clock.now(), sink.writer)
    const { count, position } = this.#format
    if (count > 0) sink.commit(count)
    const left = bytes.length - position
    if (at === LOST) return this.#giveUp('malformed', left)
    if (at === TOO_LONG || left > this.#bytesMax) return this.#giveUp('too_long', left)
    this.#keep(bytes, at)
    return undefined
  }

  /** Nothing more comes: counts what is not whole. */
  end(): void {
    if (this.#length > 0) this.#context.dropped('incomplete', 1, this.#length)
    this.#clear()
  }

  #giveUp(problem: StreamProblem, bytes: number): StreamProblem {
    this.#context.dropped(problem, 1, bytes)
    this.#clear()
    return problem
  }

  #clear(): void {
    this.#kept = EMPTY
    this.#length = 0
  }

  #append(piece: Buffer): void {
    const length = this.#length + piece.length
    if (length > this.#kept.length) {
      const larger = Buffer.allocUnsafeSlow(length * 2)
      this.#kept.copy(larger, 0, 0, this.#length)
      this.#kept = larger
    }
    piece.copy(this.#kept, this.#length)
    this.#length = length
  }

  #join(piece: Buffer): Buffer {
    const length = this.#length + piece.length
    if (joined.length === 0) joined = Buffer.allocUnsafeSlow(JOINED_BYTES)
    const target = length <= joined.length ? joined : Buffer.allocUnsafeSlow(length)
    this.#kept.copy(target, 0, 0, this.#length)
    piece.copy(target, this.#length)
    return target.subarray(0, length)
  }

  /** Keeps `bytes` from `at` on; asks the format, so that it knows how the record goes on. */
  #keep(bytes: Buffer, at: number): void {
    this.#clear()
    if (at === bytes.length) return
    const rest = bytes.subarray(at)
    this.#kept = Buffer.from(rest)
    this.#length = rest.length
    this.#format.completes(rest, rest.length)
  }
}
