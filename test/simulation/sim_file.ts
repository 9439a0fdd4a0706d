/** A file of the simulated disk: its bytes as programs see them, and what of them is on the medium. */
import type { Dice } from './dice.ts'

const FIRST_BYTES = 256

export class SimFile {
  #data = Buffer.alloc(FIRST_BYTES)
  length = 0
  /** The first bytes that are on the medium. */
  #syncedLength = 0
  /** What is on the medium, where that is not what programs see. */
  #medium: Buffer | undefined
  /** Bytes that the medium never gets, as their sync failed. */
  #forgotten: { readonly from: number; readonly to: number } | undefined

  get content(): Buffer {
    return this.#data.subarray(0, this.length)
  }

  write(bytes: Buffer, position: number): void {
    this.#changes(position)
    const end = position + bytes.length
    if (end > this.#data.length) {
      const larger = Buffer.alloc(Math.max(end, this.#data.length * 2))
      larger.set(this.content)
      this.#data = larger
    }
    if (position > this.length) this.#data.fill(0, this.length, position)
    this.#data.set(bytes, position)
    this.length = Math.max(this.length, end)
  }

  truncate(length: number): void {
    this.#changes(length)
    this.#data.fill(0, Math.min(length, this.length), this.length)
    this.length = Math.min(length, this.length)
  }

  /** What a sync that starts now is for. */
  mark(): number {
    return this.length
  }

  /** A sync has ended well. */
  synced(mark: number): void {
    const end = Math.min(mark, this.length)
    this.#syncedLength = end
    this.#medium = undefined
    const { from, to } = this.#forgotten ?? { from: 0, to: 0 }
    if (from >= Math.min(to, end)) return
    this.#medium = Buffer.from(this.#data.subarray(0, end))
    this.#medium.fill(0, from, Math.min(to, end))
  }

  /** A sync has failed, and what it was for counts as written all the same. */
  forget(mark: number): void {
    const from = Math.min(this.#forgotten?.from ?? this.#syncedLength, this.#syncedLength)
    if (mark > from) this.#forgotten = { from, to: Math.max(mark, this.#forgotten?.to ?? 0) }
  }

  losePower(dice: Dice): void {
    const tail = this.#data.subarray(this.#syncedLength, this.length)
    const start = this.#medium ?? this.#data.subarray(0, this.#syncedLength)
    const left =
      this.#medium === undefined && tail.length > 0 ? leftOf(tail, dice) : Buffer.alloc(0)
    this.#data = Buffer.concat([start, left])
    this.length = this.#data.length
    this.#syncedLength = this.length
    this.#medium = undefined
    this.#forgotten = undefined
  }

  /** Keeps what is on the medium apart before bytes of it change. */
  #changes(position: number): void {
    if (position >= this.#syncedLength || this.#medium !== undefined) return
    this.#medium = Buffer.from(this.#data.subarray(0, this.#syncedLength))
  }
}

/** What a loss of power leaves of bytes that were not synced. */
function leftOf(tail: Buffer, dice: Dice): Buffer {
  const bytes = dice.int(0, tail.length)
  switch (dice.weighted({ nothing: 2, all: 2, some: 3, zeros: 2, garbage: 1 })) {
    case 'nothing':
      return Buffer.alloc(0)
    case 'all':
      return Buffer.from(tail)
    case 'some':
      return Buffer.from(tail.subarray(0, bytes))
    case 'zeros':
      return Buffer.concat([tail.subarray(0, bytes), Buffer.alloc(tail.length - bytes)])
    case 'garbage': {
      const left = Buffer.from(tail)
      for (let at = bytes; at < left.length; at++) left[at] = dice.int(0, 255)
      return left
    }
  }
}
