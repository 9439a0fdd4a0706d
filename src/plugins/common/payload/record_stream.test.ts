import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../../test/harness/random.ts'
import { Logger } from '../../../base/log.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { decodeEvents } from '../../../record/event.ts'
import { beginEvent } from '../send_event.ts'
import { JsonPayload, JsonRefusals } from './json_payload.ts'
import { type RecordFormat, RecordStream } from './record_stream.ts'
import { SourcePair } from './source_pair.ts'
import { TextRecords, type TextWriter } from './text_records.ts'

const BYTES_MAX = 200

class Run {
  readonly stream: RecordStream
  readonly writer = new MsgpackWriter(1024)
  count = 0
  readonly dropped = new Map<string, number>()
  problem: string | undefined

  constructor(format: (context: InputContext) => RecordFormat) {
    const sink = {
      tag: 'in',
      writer: this.writer,
      commit: (count: number) => (this.count += count)
    }
    const context = {
      tag: 'in',
      sink: () => sink,
      clock: { now: () => 0 },
      log: new Logger({ sink: { colour: false, write: () => undefined }, level: 'off' }),
      dropped: (reason: string, _: number, bytes: number) =>
        this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + bytes)
    }
    // Nothing else of the context is used.
    this.stream = new RecordStream(
      format(context as unknown as InputContext),
      BYTES_MAX,
      context as unknown as InputContext
    )
  }

  take(...pieces: readonly Buffer[]): this {
    for (const piece of pieces) this.problem ??= this.stream.take(piece)
    return this
  }

  get bodies(): unknown[] {
    return [...decodeEvents(this.writer.written())].map(({ body }) => body)
  }
}

const TEXT_WRITER: TextWriter = {
  begin: () => undefined,
  write(bytes, start, end, out) {
    beginEvent(out, 0)
    out.mapHeader(1)
    out.string('log')
    out.stringBytes(bytes, start, end)
    return true
  },
  end: () => undefined
}

function json(context: InputContext): RecordFormat {
  const source = new SourcePair('from', 'tcp').from({ address: '::1', port: 7 })
  return new JsonPayload(BYTES_MAX, source, new JsonRefusals(context))
}

function texts(): RecordFormat {
  return new TextRecords({ separator: Buffer.from('\r\n') }, BYTES_MAX, TEXT_WRITER)
}

const FORMATS = { json, texts } as const

const SAMPLES = {
  json: '{"a":"b\\"}","c":[1,2.5,{"d":null}]} [true,"x"]\n{"e":{}},{"f":"\\u00e9é"}',
  texts: 'one\r\ntwo\r\n\r\nthree\rx\nlonger text with words\r\n'
} as const

/** A buffer cut at random places. */
function cut(bytes: Buffer, random: () => number): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(at + 1 + Math.floor(random() * 40), bytes.length)
    pieces.push(Buffer.from(bytes.subarray(at, end)))
    at = end
  }
  return pieces
}

for (const name of ['json', 'texts'] as const) {
  const sample = Buffer.from(SAMPLES[name])

  test(`${name}: the events do not depend on how what comes is cut`, () => {
    const whole = new Run(FORMATS[name]).take(sample)
    assert.ok(whole.count >= 3)
    for (let at = 1; at < sample.length; at++) {
      const run = new Run(FORMATS[name]).take(sample.subarray(0, at), sample.subarray(at))
      assert.deepEqual(run.bodies, whole.bodies, `cut at ${at}`)
      assert.equal(run.problem, undefined)
    }
    const bytes = new Run(FORMATS[name]).take(...[...sample].map(byte => Buffer.from([byte])))
    assert.deepEqual(bytes.bodies, whole.bodies)
  })

  for (let seed = 1; seed <= 20; seed++) {
    test(`${name}: mutated bytes become events, counted losses or the end of the connection (seed ${seed})`, () => {
      const random = seededRandom(seed)
      for (let round = 0; round < 200; round++) {
        const bytes = Buffer.concat(Array.from({ length: 5 }, () => sample))
        for (let change = Math.floor(random() * 8); change >= 0; change--) {
          bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
        }
        const run = new Run(FORMATS[name]).take(...cut(bytes, random))
        run.stream.end()
        assert.equal(run.bodies.length, run.count)
      }
    })
  }

  test(`${name}: a record that never ends is kept up to the limit, and no further`, () => {
    const run = new Run(FORMATS[name])
    const begin = name === 'json' ? '{"a":"' : 'x'
    run.take(Buffer.from(begin))
    let taken = begin.length
    for (; run.problem === undefined && taken < 1000; taken++) run.take(Buffer.from('x'))
    assert.equal(run.problem, 'too_long')
    assert.equal(taken, BYTES_MAX + 1)
    assert.deepEqual([...run.dropped], [['too_long', BYTES_MAX + 1]])
  })
}

test('a long record of single bytes is not read again with each of them', () => {
  let reads = 0
  const run = new Run(context => {
    const format = json(context)
    return {
      get count() {
        return format.count
      },
      get position() {
        return format.position
      },
      read(bytes, timeMs, out) {
        reads++
        return format.read(bytes, timeMs, out)
      },
      completes: (piece, total) => format.completes(piece, total)
    }
  })
  const text = Buffer.from('{"a":"}}}}]]]]","b":[{},{},{}]}')
  run.take(...[...text].map(byte => Buffer.from([byte])))
  assert.equal(run.count, 1)
  assert.equal(reads, 2)
})
