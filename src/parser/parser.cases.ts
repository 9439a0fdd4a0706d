/** What the tests of all parsers share: parsing a text into plain values, and their contract. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decode, type Decoded, skipChecked } from '../codec/msgpack_reader.ts'
import { Float, MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { ParserLog } from './failure_log.ts'
import { parseValue, type Parser } from './parser.ts'
import { createParser, type ParserDefinition } from './registry.ts'

/** 2026-11-23T12:00:00Z, the now of parsers under test. */
export const NOW_MS = 1_795_435_200_000

/** A log that keeps its lines. */
export class KeptLog implements ParserLog {
  readonly lines: string[] = []

  warn(message: string): void {
    this.lines.push(`warn ${message}`)
  }

  error(message: string): void {
    this.lines.push(`error ${message}`)
  }
}

export function testParser(definition: ParserDefinition, log: ParserLog = new KeptLog()): Parser {
  return createParser(definition, log, () => NOW_MS)
}

export interface Parsed {
  readonly seconds: number
  readonly nanoseconds: number
  readonly record: unknown
}

/** Parses a text; undefined when the parser fails. */
export function parse(parser: Parser, text: string | Buffer): Parsed | undefined {
  const bytes = Buffer.from(text)
  const out = new MsgpackWriter(16)
  if (!parseValue(parser, bytes, 0, bytes.length, out)) return undefined
  assert.equal(skipChecked(out.bytes, 0, out.length), out.length, 'one whole value')
  return {
    seconds: parser.seconds,
    nanoseconds: parser.nanoseconds,
    record: plain(decode(out.written(), 0))
  }
}

/** The record that a text gives. */
export function recordOf(parser: Parser, text: string | Buffer): unknown {
  return parse(parser, text)?.record
}

/** Maps as objects, doubles with a whole value as `Float`. */
function plain(value: Decoded): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (!(value instanceof Map)) return value
  const pairs = [...value].map(([key, item]): [string, unknown] => {
    assert.equal(typeof key, 'string')
    return [key as string, plain(item)]
  })
  return Object.fromEntries(pairs)
}

/** A double that has a whole value. */
export function double(value: number): Float {
  return new Float(value)
}

/**
 * Checks with any text, and with texts near to those given, that the parser never throws, writes
 * one whole map on success, and leaves the output as it was on failure.
 */
export function checkContract(parser: Parser, samples: readonly string[], numRuns = 1000): void {
  const near = fc
    .tuple(fc.constantFrom(...samples), fc.nat(), fc.nat(3), fc.uint8Array({ maxLength: 4 }))
    .map(([sample, at, removed, added]) => {
      const bytes = Buffer.from(sample)
      const cut = at % (bytes.length + 1)
      return Buffer.concat([bytes.subarray(0, cut), added, bytes.subarray(cut + removed)])
    })
  const any = fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.from(bytes))
  const around = fc.uint8Array({ maxLength: 3 })
  fc.assert(
    fc.property(fc.oneof(near, any), around, (text, margin) => {
      const bytes = Buffer.concat([margin, text, margin])
      const out = new MsgpackWriter(1)
      out.string('before')
      const before = Buffer.from(out.written())
      const isParsed = parseValue(parser, bytes, margin.length, margin.length + text.length, out)
      assert.deepEqual(out.bytes.subarray(0, before.length), before)
      if (!isParsed) {
        assert.equal(out.length, before.length)
        return
      }
      assert.equal(skipChecked(out.bytes, before.length, out.length), out.length)
      assert.ok(decode(out.bytes, before.length) instanceof Map)
      assert.ok(Number.isSafeInteger(parser.seconds))
      assert.ok(parser.nanoseconds >= 0 && parser.nanoseconds < 1e9)
    }),
    { numRuns }
  )
}
