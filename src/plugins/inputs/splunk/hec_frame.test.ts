import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Encodable, MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { decodeEvents } from '../../../record/event.ts'
import { beginEvent } from '../../common/send_event.ts'
import { HecFrame } from './hec_frame.ts'

/** An event with this body, finished by a frame, in a buffer that has room for the event alone. */
function finished(frame: HecFrame, body: Encodable): unknown[] {
  const sample = new MsgpackWriter()
  beginEvent(sample, 1500)
  sample.value(body)
  const out = new MsgpackWriter(sample.length)
  beginEvent(out, 1500)
  const bodyAt = out.length
  out.value(body)
  frame.finish?.(out, bodyAt)
  const [event, ...others] = decodeEvents(out.written())
  assert.deepEqual(others, [])
  return [event?.metadata, event?.body]
}

const SENDER = { token: 'Splunk \u00e9', address: '10.0.0.1' }

test('a frame puts the token into the metadata of an event, and the address into its record', () => {
  const frame = new HecFrame({ token: undefined, address: 'from' }, SENDER)
  for (const size of [0, 1, 14, 15, 16, 65_535]) {
    const body = new Map(Array.from({ length: size }, (_, index) => [`k${index}`, index]))
    assert.deepEqual(finished(frame, body), [
      // Headers are bytes, here those of Latin-1.
      new Map([['hec_token', 'Splunk \ufffd']]),
      new Map<string, unknown>([...body, ['from', '10.0.0.1']])
    ])
  }
})

test('a frame puts token and address into the record, in this order', () => {
  const frame = new HecFrame({ token: 'tok', address: 'from' }, { ...SENDER, token: 'Splunk t' })
  const [metadata, body] = finished(frame, { a: 1 })
  assert.deepEqual(metadata, new Map())
  assert.deepEqual(
    [...(body as Map<string, unknown>)],
    [
      ['a', 1],
      ['tok', 'Splunk t'],
      ['from', '10.0.0.1']
    ]
  )
})

test('a frame without token and address changes nothing', () => {
  const keys = { token: undefined, address: 'from' }
  assert.equal(new HecFrame(keys, { token: undefined, address: undefined }).finish, undefined)
})
