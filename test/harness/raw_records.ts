/**
 * Records that JavaScript values cannot hold (repeated keys, texts that are not UTF-8, 32-bit floats), sent through a
 * pipeline as bytes and shown as text with every type told apart.
 */
import {
  contentCount,
  headerSize,
  readInteger,
  readNumber,
  skip,
  typeOf
} from '../../src/codec/msgpack_reader.ts'
import { type Encodable, MsgpackWriter } from '../../src/codec/msgpack_writer.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineInput, defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { OK } from '../../src/plugin/delivery.ts'
import { eventBodyAt, writeEventHeader } from '../../src/record/event.ts'
import { type PipelineOptions, startPipeline } from './pipeline.ts'

/** One value as it is encoded. */
export class Raw {
  readonly bytes: Buffer

  constructor(hex: string) {
    this.bytes = Buffer.from(hex, 'hex')
  }
}

type Item = Encodable | Raw

/** A map of pairs as given: keys may repeat. */
export function record(...pairs: readonly (readonly [key: Item, value: Item])[]): Buffer {
  const out = new MsgpackWriter(256)
  out.mapHeader(pairs.length)
  for (const item of pairs.flat()) {
    if (item instanceof Raw) out.raw(item.bytes, 0, item.bytes.length)
    else out.value(item)
  }
  return Buffer.from(out.written())
}

/** Encodes bodies that JavaScript can hold. */
export function records(...bodies: readonly Encodable[]): Buffer[] {
  return bodies.map(body => {
    const out = new MsgpackWriter(256)
    out.value(body)
    return Buffer.from(out.written())
  })
}

export interface FilterRun {
  /** What reached the output: `{"a"=>1}`, with the tag in front when it is not `app`. */
  readonly records: readonly string[]
  /** What filters and emitters logged, and errors. */
  readonly log: readonly string[]
  /** Printed on standard output. */
  readonly stdout: string
}

/** Sends one batch with the tag `app` through the filters and returns what came out. */
export async function filterRecords(
  filters: string,
  bodies: readonly Buffer[],
  options: PipelineOptions & { readonly tag?: string; readonly parsersFile?: boolean } = {}
): Promise<FilterRun> {
  const tag = options.tag ?? 'app'
  const ends = new RawEnds()
  const run = await startPipeline(configuration(filters, tag, options.parsersFile ?? false), {
    ...options,
    plugins: [ends.input, ends.output]
  })
  ends.push(tag, bodies)
  run.flush()
  await run.stop()
  const log = run.log.filter(line => /\[(filter|input:emitter):|^\[error\]/.test(line))
  return { records: ends.shown(tag), log, stdout: run.stdout }
}

function configuration(filters: string, tag: string, parsersFile: boolean): string {
  return `${parsersFile ? '[SERVICE]\n    parsers_file parsers.conf\n' : ''}[INPUT]
    name raw
    tag  ${tag}
${filters}
[OUTPUT]
    name  shown
    match *
`
}

/** A [FILTER] section that matches everything. */
export function section(name: string, ...properties: readonly string[]): string {
  const lines = [`name ${name}`, 'match *', ...properties]
  return `[FILTER]\n${lines.map(line => `    ${line}\n`).join('')}`
}

/** The two ends of a pipeline, as plugins. */
class RawEnds {
  readonly input: Plugin
  readonly output: Plugin
  readonly #taken: { tag: string; text: string }[] = []
  #context: InputContext | undefined

  constructor() {
    this.input = defineInput({
      name: 'raw',
      summary: 'Encoded records that a test pushes',
      options: {},
      create: (_, context) => ({ start: () => void (this.#context = context) })
    })
    this.output = defineOutput({
      name: 'shown',
      summary: 'Keeps records as text',
      options: {},
      create: () => ({
        flush: ({ tag, bytes }) => {
          for (let at = 0; at < bytes.length; ) {
            const bodyAt = eventBodyAt(bytes, at)
            this.#taken.push({ tag, text: show(bytes, bodyAt) })
            at = skip(bytes, bodyAt)
          }
          return OK
        }
      })
    })
  }

  push(tag: string, bodies: readonly Buffer[]): void {
    const sink = this.#context?.sink(tag)
    if (sink === undefined) throw new Error('the input is not started')
    bodies.forEach((body, index) => {
      writeEventHeader(sink.writer, 1_700_000_000 + index, 0)
      sink.writer.raw(body, 0, body.length)
    })
    sink.commit(bodies.length)
  }

  shown(tag: string): string[] {
    return this.#taken.map(taken => (taken.tag === tag ? taken.text : `${taken.tag} ${taken.text}`))
  }
}

/**
 * A value as text: bytes of strings as latin1, `f64:1.5` and `f32:1.5` for floats, `bin:` and hex for binary data.
 */
export function show(bytes: Buffer, at: number): string {
  const byte = bytes[at]
  const start = at + headerSize(byte)
  const count = contentCount(bytes, at)
  switch (typeOf(byte)) {
    case 'map':
      return `{${showPairs(bytes, start, count).join(', ')}}`
    case 'array':
      return `[${showItems(bytes, start, count).join(', ')}]`
    case 'string':
      return JSON.stringify(bytes.latin1Slice(start, start + count))
    case 'binary':
      return `bin:${bytes.toString('hex', start, start + count)}`
    case 'extension':
      return `ext(${bytes.readInt8(start - 1)},${bytes.toString('hex', start, start + count)})`
    case 'integer':
      return String(readInteger(bytes, at))
    case 'float':
      return `${byte === 0xca ? 'f32' : 'f64'}:${readNumber(bytes, at)}`
    case 'boolean':
      return String(byte === 0xc3)
    default:
      return 'nil'
  }
}

function showItems(bytes: Buffer, start: number, count: number): string[] {
  const items: string[] = []
  for (let at = start; items.length < count; at = skip(bytes, at)) items.push(show(bytes, at))
  return items
}

function showPairs(bytes: Buffer, start: number, count: number): string[] {
  const items = showItems(bytes, start, count * 2)
  return Array.from({ length: count }, (_, index) => `${items[2 * index]}=>${items[2 * index + 1]}`)
}

/**
 * One record with a value of every type, a repeated key, a key that is binary data and one that is a number. What
 * Fluent Bit 5.1.1 makes of it was recorded by sending the same bytes to its forward input.
 */
export const ODD = record(
  ['a', 'x'],
  ['a', 'y'],
  ['i', 5],
  ['f', new Raw('cb3ff0000000000000')],
  ['n', null],
  ['t', true],
  ['m', { k: 'v', l: { z: 1 } }],
  ['l', [1, 'two', null]],
  ['bad', new Raw('a3ff6180')],
  ['b', Buffer.from('bin')],
  [Buffer.from('bky'), 'binkey'],
  [5, 'intkey']
)

/** `ODD` as `show` writes it. */
export const ODD_PAIRS = [
  '"a"=>"x"',
  '"a"=>"y"',
  '"i"=>5',
  '"f"=>f64:1',
  '"n"=>nil',
  '"t"=>true',
  '"m"=>{"k"=>"v", "l"=>{"z"=>1}}',
  '"l"=>[1, "two", nil]',
  '"bad"=>"\u00ffa\u0080"',
  '"b"=>bin:62696e',
  'bin:626b79=>"binkey"',
  '5=>"intkey"'
]
