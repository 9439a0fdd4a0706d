/**
 * What the ltsv and logfmt parsers do with the pairs that they find: time, casts, decoders.
 * Source: Fluent Bit 5.1.1 src/flb_parser_ltsv.c, src/flb_parser_logfmt.c.
 *
 * @hot bench/pipelines.ts
 */
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { FieldDecoders } from './decoders.ts'
import { FailureCounter } from './failure_log.ts'
import type { ParserLog } from './failure_log.ts'
import type { TimeReader } from './time.ts'
import type { Caster, CastType } from './types.ts'
import { Unescaper } from './unescape.ts'

export interface PairOptions {
  readonly name: string
  readonly timeKey: string
  readonly time: TimeReader | undefined
  /** Keeps the key that the time was read from. */
  readonly keepsTime: boolean
  readonly types: ReadonlyMap<string, CastType>
  readonly caster: Caster
  readonly decoders: FieldDecoders | undefined
  readonly log: ParserLog
}

/** How a value was written: as it is, not at all, or in quotes with escapes. */
export const PLAIN_VALUE = 0
export const BARE_KEY = 1
export const ESCAPED_VALUE = 2

interface CastKey {
  readonly name: string
  readonly bytes: Buffer
  readonly type: CastType
}

/** Writes the pairs of one text as a map. */
export class PairWriter {
  seconds = 0
  nanoseconds = 0
  readonly #name: string
  readonly #timeKey: Buffer
  readonly #time: TimeReader | undefined
  readonly #keepsTime: boolean
  readonly #casts: readonly CastKey[]
  readonly #caster: Caster
  readonly #decoders: FieldDecoders | undefined
  readonly #log: ParserLog
  readonly #timeFailures = new FailureCounter()
  readonly #unescaper = new Unescaper()
  #out = new MsgpackWriter(16)
  #map = 0
  #count = 0

  constructor(options: PairOptions) {
    this.#name = options.name
    this.#timeKey = Buffer.from(options.timeKey)
    this.#time = options.time
    this.#keepsTime = options.keepsTime
    this.#casts = [...options.types].map(([name, type]) => ({
      name,
      bytes: Buffer.from(name),
      type
    }))
    this.#caster = options.caster
    this.#decoders = options.decoders
    this.#log = options.log
  }

  begin(out: MsgpackWriter): void {
    this.#out = out
    this.#map = out.beginMap()
    this.#count = 0
    this.seconds = 0
    this.nanoseconds = 0
  }

  /** Takes a pair; false when it is a time that cannot be read, which fails the text. */
  add(
    bytes: Buffer,
    key: number,
    keyEnd: number,
    value: number,
    valueEnd: number,
    form: number
  ): boolean {
    if (this.#time !== undefined && valueEnd > value && isKey(bytes, key, keyEnd, this.#timeKey)) {
      if (!this.#readTime(this.#time, bytes, value, valueEnd)) return false
      if (!this.#keepsTime) return true
    }
    this.#out.stringBytes(bytes, key, keyEnd)
    this.#count++
    if (this.#casts.length > 0) this.#writeCast(bytes, key, keyEnd, value, valueEnd)
    else this.#writeValue(bytes, value, valueEnd, form)
    return true
  }

  /** Completes the map; false when it has no pair. */
  finish(): boolean {
    if (this.#count === 0) return this.fail()
    this.#out.endMap(this.#map, this.#count)
    this.#decoders?.decode(this.#out, this.#map)
    return true
  }

  /** Takes back what was written. */
  fail(): false {
    this.#out.length = this.#map
    return false
  }

  #writeValue(bytes: Buffer, value: number, valueEnd: number, form: number): void {
    if (form === PLAIN_VALUE) {
      this.#out.stringBytes(bytes, value, valueEnd)
    } else if (form === BARE_KEY) {
      this.#out.boolean(true)
    } else {
      this.#unescaper.utf8(bytes, value, valueEnd)
      this.#writeUnescaped()
    }
  }

  /** An unescaped NUL ends the text, as it does in C. */
  #writeUnescaped(): void {
    const { bytes, length } = this.#unescaper
    const nul = bytes.indexOf(0)
    this.#out.stringBytes(bytes, 0, nul < 0 || nul > length ? length : nul)
  }

  /** With `types`, values stay as written: no escapes, and a bare key has an empty text. */
  #writeCast(bytes: Buffer, key: number, keyEnd: number, value: number, valueEnd: number): void {
    for (const cast of this.#casts) {
      if (!isKey(bytes, key, keyEnd, cast.bytes)) continue
      this.#caster.write(cast.type, cast.name, bytes, value, valueEnd, this.#out)
      return
    }
    this.#out.stringBytes(bytes, value, valueEnd)
  }

  #readTime(time: TimeReader, bytes: Buffer, value: number, valueEnd: number): boolean {
    if (!time.read(bytes, value, valueEnd)) {
      if (this.#timeFailures.add()) {
        this.#log.error(`[parser] cannot parse '${bytes.toString('utf8', value, valueEnd)}'`)
        this.#log.error(`[parser:${this.#name}] Invalid time format ${time.format}`)
      }
      return false
    }
    this.seconds = time.seconds
    this.nanoseconds = time.nanoseconds
    return true
  }
}

function isKey(bytes: Buffer, start: number, end: number, key: Buffer): boolean {
  if (end - start !== key.length) return false
  for (let index = 0; index < key.length; index++) {
    if (bytes[start + index] !== key[index]) return false
  }
  return true
}
