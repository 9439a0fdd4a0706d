/**
 * A form as the body of a request: `key=value&key=value`, one event.
 * Source: Fluent Bit 5.1.1 plugins/in_http/http_prot.c parse_payload_urlencoded(), sds_uri_decode().
 *
 * As there, white space round keys and values is left out, keys are taken as they are, `+` is a space, a value with a `%`
 * that is not followed by two hexadecimal digits is taken as it is, and what has no key or no `=` is passed over.
 * Differs: values may have more than 1024 bytes, where Fluent Bit cuts them off.
 */
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { FinishEvent } from '../../common/json_body.ts'
import { beginEvent } from '../../common/send_event.ts'
import { EVENT_HEADER_BYTES } from '../../../record/event.ts'

/** What C calls white space. */
const SPACES = ' \t\n\v\f\r'

const NOT_ESCAPED = /%(?![\dA-Fa-f]{2})/
const ESCAPED = /%([\dA-Fa-f]{2})/g

/**
 * Writes the event of a form.
 *
 * @param warn Called with the name of each field whose value is taken as it is.
 * @returns Events written: 0 for a form without fields.
 */
export function writeForm(
  body: Buffer,
  out: MsgpackWriter,
  timeMs: number,
  finish: FinishEvent | undefined,
  warn: (field: string) => void
): 0 | 1 {
  const fields = fieldsOf(body.latin1Slice())
  if (fields.length === 0) return 0
  const mapAt = out.length + EVENT_HEADER_BYTES
  beginEvent(out, timeMs)
  out.mapHeader(fields.length)
  for (const [key, value] of fields) {
    const isEncoded = !NOT_ESCAPED.test(value)
    if (!isEncoded) warn(key)
    out.latin1String(key)
    out.latin1String(isEncoded ? decode(value) : value)
  }
  finish?.(out, mapAt)
  return 1
}

/** One character is one byte. */
function fieldsOf(text: string): (readonly [key: string, value: string])[] {
  return text.split('&').flatMap(entry => {
    const field = entry.startsWith('\n') ? entry.slice(1) : entry
    const sign = field.indexOf('=')
    return sign < 1 ? [] : [[trim(field.slice(0, sign)), trim(field.slice(sign + 1))] as const]
  })
}

/** By hand: a regular expression would look at long runs of spaces again and again. */
function trim(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && SPACES.includes(text.charAt(start))) start++
  while (end > start && SPACES.includes(text.charAt(end - 1))) end--
  return text.slice(start, end)
}

function decode(value: string): string {
  return value
    .replaceAll('+', ' ')
    .replace(ESCAPED, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
