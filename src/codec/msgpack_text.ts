/**
 * MessagePack as msgpack-c prints it for debugging: `{"a"=>1, "b"=>[nil, 1.500000]}`. The default form of the stdout
 * output and filter, and of single values in file's csv and ltsv.
 * Source: Fluent Bit 5.1.1 lib/msgpack-c/src/objectc.c msgpack_object_print(); reference 11.4.
 *
 * @hot bench/pipelines.ts
 */
import type { JsonWriter } from './json_writer.ts'
import { contentCount, headerSize, readInteger, readNumber, typeOf } from './msgpack_reader.ts'
import { formatF } from './number_text.ts'

const QUOTE = 0x22
const HEX = '0123456789abcdef'

/**
 * Writes the value at `at`, which must be complete. Strings are written raw: the text cannot be read back.
 *
 * @returns The position after the value.
 */
export function printObject(source: Buffer, at: number, out: JsonWriter): number {
  const byte = source[at]
  const start = at + headerSize(byte)
  const count = contentCount(source, at)
  switch (typeOf(byte)) {
    case 'map':
      return printMap(source, start, count, out)
    case 'array':
      return printArray(source, start, count, out)
    case 'string':
      out.byte(QUOTE)
      out.raw(source, start, start + count)
      out.byte(QUOTE)
      break
    case 'binary':
      printBinary(source, start, start + count, out)
      break
    case 'extension':
      out.ascii(`(ext: ${source.readInt8(start - 1)})`)
      printBinary(source, start, start + count, out)
      break
    case 'integer':
      printInteger(source, at, out)
      break
    case 'float':
      out.ascii(printedFloat(source, at))
      break
    case 'boolean':
      out.ascii(byte === 0xc3 ? 'true' : 'false')
      break
    default:
      out.ascii('nil')
  }
  return start + count
}

function printMap(source: Buffer, at: number, count: number, out: JsonWriter): number {
  out.byte(0x7b)
  for (let index = 0; index < count; index++) {
    if (index > 0) out.ascii(', ')
    at = printObject(source, at, out)
    out.ascii('=>')
    at = printObject(source, at, out)
  }
  out.byte(0x7d)
  return at
}

function printArray(source: Buffer, at: number, count: number, out: JsonWriter): number {
  out.byte(0x5b)
  for (let index = 0; index < count; index++) {
    if (index > 0) out.ascii(', ')
    at = printObject(source, at, out)
  }
  out.byte(0x5d)
  return at
}

/** Printable ASCII as it is, a quote with a backslash, other bytes as `\xNN`. */
function printBinary(source: Buffer, start: number, end: number, out: JsonWriter): void {
  out.byte(QUOTE)
  for (let at = start; at < end; at++) {
    const byte = source[at]
    if (byte === QUOTE) out.ascii('\\"')
    else if (byte >= 0x20 && byte < 0x7f) out.byte(byte)
    else out.ascii(`\\x${HEX[byte >> 4]}${HEX[byte & 0x0f]}`)
  }
  out.byte(QUOTE)
}

function printInteger(source: Buffer, at: number, out: JsonWriter): void {
  const value = readInteger(source, at)
  if (typeof value === 'number') out.integer(value)
  else out.ascii(String(value))
}

function printedFloat(source: Buffer, at: number): string {
  const value = readNumber(source, at)
  // glibc prints the sign of a NaN, which only its bytes show.
  return Number.isNaN(value) && source[at + 1] > 0x7f ? '-nan' : formatF(value, 6)
}
