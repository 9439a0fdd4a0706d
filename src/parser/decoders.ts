/**
 * Decoders of fields: `decode_field` and `decode_field_as` of a parser.
 * Source: Fluent Bit 5.1.1 src/flb_parser_decoder.c.
 *
 * @hot bench/pipelines.ts
 */
import { transcodeJson } from '../codec/json_reader.ts'
import { contentCount, headerSize, isString, skip } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { FailureCounter } from './failure_log.ts'
import type { ParserLog } from './failure_log.ts'
import { Unescaper } from './unescape.ts'

const BACKENDS = ['json', 'escaped', 'escaped_utf8', 'mysql_quoted'] as const
type Backend = (typeof BACKENDS)[number]

/** One `decode_field` (adds keys) or `decode_field_as` (replaces the value). */
export interface DecoderRule {
  readonly field: string
  readonly backend: Backend
  readonly replaces: boolean
  /** What follows a failure: the next rule of the field, or none. */
  readonly goesOnAfterFailure: boolean
  /** What follows a success. */
  readonly goesOnAfterSuccess: boolean
}

/** Reads `decoder field [try_next|do_next]`; the reason when it cannot be read. */
export function readDecoderRules(text: string, replaces: boolean): DecoderRule | string {
  const [decoder = '', field, action = ''] = text.split(' ').filter(word => word !== '')
  if (field === undefined) return 'it must be a decoder and a field'
  const backend = BACKENDS.find(name => name === decoder.toLowerCase())
  if (backend === undefined) return `the decoder must be one of ${BACKENDS.join(', ')}`
  const isDoNext = action.toLowerCase() === 'do_next'
  return {
    field,
    backend,
    replaces,
    goesOnAfterFailure: isDoNext || action.toLowerCase() === 'try_next',
    goesOnAfterSuccess: isDoNext
  }
}

/** Decodes the fields of encoded maps. */
export class FieldDecoders {
  constructor(_rules: readonly DecoderRule[], _log: ParserLog) {}
  decode(_out: MsgpackWriter, _map: number): void {}
}
