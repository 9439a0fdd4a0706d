import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonWriter } from './json_writer.ts'
import { printObject } from './msgpack_text.ts'

/** MessagePack in hex and its text. Recorded from out_stdout of Fluent Bit 5.1.1, fed by in_forward. */
const PRINTED: readonly (readonly [string, string])[] = [
  ['c0', 'nil'],
  ['c3', 'true'],
  ['c2', 'false'],
  ['7f', '127'],
  ['e0', '-32'],
  ['cfffffffffffffffff', '18446744073709551615'],
  ['d38000000000000000', '-9223372036854775808'],
  ['cb3ff0000000000000', '1.000000'],
  ['cb8000000000000000', '-0.000000'],
  ['cb3fb999999999999a', '0.100000'],
  ['ca3dcccccd', '0.100000'],
  ['cb444b1ae4d6e2ef50', '1000000000000000000000.000000'],
  ['cb7ff0000000000000', 'inf'],
  ['cb7ff8000000000000', 'nan'],
  ['cbfff8000000000000', '-nan'],
  ['a4225c0ac3', '""\\\n\u00c3"'],
  ['c407610022ff5c7f1f', '"a\\x00\\"\\xff\\\\x7f\\x1f"'],
  ['d401ab', '(ext: 1)"\\xab"'],
  ['d4ff41', '(ext: -1)"A"'],
  ['90', '[]'],
  ['9301c0a161', '[1, nil, "a"]'],
  ['80', '{}'],
  ['82a16101a16102', '{"a"=>1, "a"=>2}'],
  ['8192010281a0c3', '{[1, 2]=>{""=>true}}']
]

for (const [hex, text] of PRINTED) {
  test(`${hex} is printed as ${JSON.stringify(text)}`, () => {
    const encoded = Buffer.from(`${hex}c0`, 'hex')
    const out = new JsonWriter({ capacity: 1 })
    const next = printObject(encoded, 0, out)
    assert.equal(out.written().toString('latin1'), text)
    assert.equal(next, encoded.length - 1)
  })
}
