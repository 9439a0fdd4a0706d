/**
 * The names of values by their type, from the files that collectd has them in too.
 * Source: Fluent Bit 5.1.1 plugins/in_collectd/typesdb.c and typesdb_parser.c; collectd's types.db(5).
 *
 *     line   = type 1*SP source *( ( SP / "," ) source )    ; lines that begin with # are comments
 *     source = name ":" *any                                ; of a source, the name alone matters
 *
 * Differs: tabs separate as spaces do, lines may begin with spaces, and the last line needs no line end.
 */
import { readFileSync } from 'node:fs'
import { systemError } from '../../../base/system_error.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'

/** A type, ready to be written: texts in MessagePack. */
export interface DataType {
  readonly name: Buffer
  readonly values: readonly Buffer[]
}

/** By names whose characters are bytes. */
export type DataTypes = ReadonlyMap<string, DataType>

/**
 * Reads files in turn; the last entry of a type counts.
 *
 * @param paths Separated by commas.
 * @throws {Error} When a file cannot be read or has a line that is no type; the message names it.
 */
export function loadTypes(paths: string): DataTypes {
  const types = new Map<string, DataType>()
  for (const path of paths.split(',').filter(item => item !== '')) {
    const problem = addTypes(readTypes(path), types)
    if (problem !== undefined) throw new Error(`failed to parse '${path}': ${problem}`)
  }
  return types
}

function readTypes(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (cause) {
    throw new Error(`failed to open '${path}': ${systemError(cause).text}`, { cause })
  }
}

/** Adds the types of a file; says what is wrong with its first bad line. */
function addTypes(text: string, types: Map<string, DataType>): string | undefined {
  const lines = text
    .split(/[\r\n]+/)
    .map(line => line.split(/[ \t,]+/).filter(word => word !== ''))
    .filter(([first]) => first !== undefined && !first.startsWith('#'))
  for (const [index, [type = '', ...sources]] of lines.entries()) {
    const bad = sources.find(source => !source.includes(':'))
    if (sources.length > 0 && bad === undefined) {
      const values = sources.map(source => encoded(source.slice(0, source.indexOf(':'))))
      types.set(type, { name: encoded(type), values })
    } else if (index < lines.length - 1) {
      return bad === undefined ? `type '${type}' has no values` : `cannot add value '${bad}'`
    }
    // Fluent Bit passes over a last line that is no type.
  }
  return undefined
}

function encoded(latin1: string): Buffer {
  const out = new MsgpackWriter(32)
  out.latin1String(latin1)
  return out.written()
}
