/**
 * Sends records through filters as bytes and shows what comes out with every type told apart, so
 * that tests can use repeated keys, texts that are not UTF-8 and 32-bit floats.
 */
import {
  contentCount,
  headerSize,
  readInteger,
  readNumber,
  skip,
  typeOf
} from '../../src/codec/msgpack_reader.ts'
import type { Encodable } from '../../src/codec/msgpack_writer.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineInput, defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { OK } from '../../src/plugin/delivery.ts'
import { eventBodyAt } from '../../src/record/event.ts'
import { Encoded, encodeEvent, type Pair } from './odd_events.ts'
import { type PipelineOptions, startPipeline } from './pipeline.ts'

/** A record: an object, or pairs whose keys may repeat. */
export type TestRecord = Readonly<Record<string, Encodable>> | readonly Pair[]

export interface FilterRun {
  /** What reached the output: `{"a"=>1}`, with the tag in front when it is not `app`. */
  readonly records: readonly string[]
  /** What filters and emitters logged, but for the lines of a normal start. */
  readonly log: readonly string[]
  /** Printed on standard output. */
  readonly stdout: string
  readonly exitCode: number
}

/** Sends one batch with the tag `app` through filters. */
export async function filterRecords(
  filters: string,
  records: readonly TestRecord[],
  options: PipelineOptions & { readonly tag?: string } = {}
): Promise<FilterRun> {
  const tag = options.tag ?? 'app'
  const ends = new PipelineEnds()
  const run = await startPipeline(configuration(filters, tag, options), {
    ...options,
    plugins: [ends.input, ends.output]
  })
  ends.push(tag, records)
  run.flush()
  const exitCode = await run.stop()
  const log = run.log.filter(
    line =>
      /\[filter:|\[input:emitter:|^\[error\]/.test(line) &&
      !/initializing|storage_strategy/.test(line)
  )
  return { records: ends.shown(tag), log, stdout: run.stdout, exitCode }
}

function configuration(filters: string, tag: string, { files }: PipelineOptions): string {
  const service = files?.['parsers.conf'] === undefined ? '' : SERVICE
  const input = `[INPUT]\n    name encoded_batch\n    tag ${tag}\n`
  return `${service}${input}${filters}[OUTPUT]\n    name shown\n    match *\n`
}

const SERVICE = '[SERVICE]\n    parsers_file parsers.conf\n'

/** A [FILTER] section that matches everything. */
export function section(name: string, ...properties: readonly string[]): string {
  const lines = [`name ${name}`, 'match *', ...properties]
  return `[FILTER]\n${lines.map(line => `    ${line}\n`).join('')}`
}

/** A configuration of an input, the filters and an output, for `checkConfiguration`. */
export function withEnds(filters: string): string {
  return `[INPUT]\n    name lib\n${filters}[OUTPUT]\n    name collect\n    match *\n`
}

/** The two ends of a pipeline, as plugins. */
class PipelineEnds {
  readonly #taken: { readonly tag: string; readonly text: string }[] = []
  #context: InputContext | undefined

  readonly input: Plugin = defineInput({
    name: 'encoded_batch',
    summary: 'One batch of encoded records',
    options: {},
    create: (_, context) => ({
      start: () => {
        this.#context = context
      }
    })
  })

  readonly output: Plugin = defineOutput({
    name: 'shown',
    summary: 'Keeps records as text',
    options: {},
    create: () => ({
      flush: ({ tag, bytes }) => {
        for (let at = 0; at < bytes.length;) {
          const bodyAt = eventBodyAt(bytes, at)
          this.#taken.push({ tag, text: show(bytes, bodyAt) })
          at = skip(bytes, bodyAt)
        }
        return OK
      }
    })
  })

  push(tag: string, records: readonly TestRecord[]): void {
    const sink = this.#context?.sink(tag)
    if (sink === undefined) throw new Error('the input is not started')
    for (const [index, record] of records.entries()) {
      const pairs: readonly Pair[] = isPairs(record) ? record : Object.entries(record)
      const event = encodeEvent([1_700_000_000 + index, 0], pairs)
      sink.writer.raw(event, 0, event.length)
    }
    sink.commit(records.length)
  }

  shown(tag: string): string[] {
    return this.#taken.map(taken => (taken.tag === tag ? taken.text : `${taken.tag} ${taken.text}`))
  }
}

function isPairs(record: TestRecord): record is readonly Pair[] {
  return Array.isArray(record)
}

/**
 * A value as text: bytes of strings as latin1, `f64:1.5` and `f32:1.5` for floats, `bin:` and hex
 * for binary data.
 */
function show(bytes: Buffer, at: number): string {
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
 * One record with a value of every type, a repeated key, a key that is binary data and one that is
 * a number. What Fluent Bit 5.1.1 makes of it was recorded by sending the same bytes to its forward
 * input.
 */
export const ODD: readonly Pair[] = [
  ['a', 'x'],
  ['a', 'y'],
  ['i', 5],
  ['f', new Encoded('cb3ff0000000000000')],
  ['n', null],
  ['t', true],
  ['m', { k: 'v', l: { z: 1 } }],
  ['l', [1, 'two', null]],
  ['bad', new Encoded('a3ff6180')],
  ['b', Buffer.from('bin')],
  [Buffer.from('bky'), 'binkey'],
  [5, 'intkey']
]

/** The entries of `ODD` by name, as `show` writes them. */
const ODD_SHOWN: readonly (readonly [name: string, text: string])[] = [
  ['a', '"a"=>"x"'],
  ['a', '"a"=>"y"'],
  ['i', '"i"=>5'],
  ['f', '"f"=>f64:1'],
  ['n', '"n"=>nil'],
  ['t', '"t"=>true'],
  ['m', '"m"=>{"k"=>"v", "l"=>{"z"=>1}}'],
  ['l', '"l"=>[1, "two", nil]'],
  ['bad', '"bad"=>"\u00ffa\u0080"'],
  ['b', '"b"=>bin:62696e'],
  ['bky', 'bin:626b79=>"binkey"'],
  ['5', '5=>"intkey"']
]

/**
 * `ODD` as text, without the entries of these keys (`bky` and `5` too) and with more at the end.
 */
export function odd(without: readonly string[] = [], ...added: readonly string[]): string {
  const kept = ODD_SHOWN.filter(([name]) => !without.includes(name)).map(([, text]) => text)
  return `{${[...kept, ...added].join(', ')}}`
}
