/** Expected records are those of Fluent Bit 5.1.1, but where a title says what it does instead. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../../test/harness/server_input.ts'

const PARSERS = {
  files: { 'parsers.conf': '[PARSER]\n    Name   object\n    Format json\n' },
  service: 'parsers_file parsers.conf'
}

test('each datagram holds any number of JSON records', async t => {
  const server = await startServer(t, 'udp')
  await server.send('{"a":1}{"b":2}\n{"c":3}', '[1,2]{"x":1}', '', '{"d":1},')
  assert.deepEqual(await server.bodies(6), [
    { a: 1 },
    { b: 2 },
    { c: 3 },
    { msg: [1, 2] },
    { x: 1 },
    { d: 1 }
  ])
  assert.deepEqual(server.lines(), ['[ info] listening on 127.0.0.1:PORT with 1 worker'])
})

test('a value that a datagram holds a part of is lost and counted; the next one is looked at afresh', async t => {
  const server = await startServer(t, 'udp')
  await server.send('{"a":1}{"b":', '2}', '{"c":3}')
  assert.deepEqual(await server.bodies(2), [{ a: 1 }, { c: 3 }])
  assert.deepEqual(server.dropped('incomplete'), [1, 5])
  assert.deepEqual(server.dropped('not_an_event'), [1, 1])
  assert.deepEqual(server.dropped('malformed'), [1, 1])
})

test('records before text that is not JSON are kept, which Fluent Bit loses', async t => {
  const server = await startServer(t, 'udp')
  await server.send('{"a":1} garbage', '{"c":3}')
  assert.deepEqual(await server.bodies(2), [{ a: 1 }, { c: 3 }])
  assert.deepEqual(server.dropped('malformed'), [1, 7])
})

test('the end of a datagram ends a text, which Fluent Bit loses without a separator', async t => {
  const server = await startServer(t, 'udp', 'format none')
  await server.send('one\ntwo', 'three', '\nfour\n\nfive\n')
  assert.deepEqual(
    await server.bodies(5),
    ['one', 'two', 'three', 'four', 'five'].map(log => ({ log }))
  )
})

test('source_address_key adds the address of each sender', async t => {
  const server = await startServer(t, 'udp', 'source_address_key from')
  await server.send('{"a":1}[1]')
  await server.send('{"a":2}')
  const bodies = (await server.bodies(3)) as { from: string }[]
  for (const { from } of bodies) assert.match(from, /^udp:\/\/127\.0\.0\.1:\d+$/)
  assert.equal(bodies[0].from, bodies[1].from)
  assert.notEqual(bodies[0].from, bodies[2].from)
})

test('a parser makes the records of texts', async t => {
  const server = await startServer(t, 'udp', 'parser object', PARSERS)
  await server.send('{"a":1}\nbad')
  assert.deepEqual(await server.bodies(2), [{ a: 1 }, { log: 'bad' }])
  assert.deepEqual(server.lines(), [
    "[ warn] 'parser' requires line-delimited payloads; switching format from 'json' to 'none'",
    '[ info] listening on 127.0.0.1:PORT with 1 worker'
  ])
})

test('a datagram is cut at chunk_size less a byte, and what is cut off is counted', async t => {
  const server = await startServer(t, 'udp', 'format none\n    chunk_size 1\n    buffer_size 64')
  await server.send('x'.repeat(1023), 'y'.repeat(1025), 'z')
  assert.deepEqual(await server.bodies(3), [
    { log: 'x'.repeat(1023) },
    { log: 'y'.repeat(1023) },
    { log: 'z' }
  ])
  assert.deepEqual(server.dropped('too_long'), [0, 2])
  assert.deepEqual(server.lines().slice(1), [
    '[ warn] a datagram is longer than 1023 bytes: the rest of it is lost'
  ])
})

test('while the input is held back, datagrams are lost and their records counted', async t => {
  let isDown = true
  const server = await startServer(t, 'udp', 'mem_buf_limit 100', {
    output: 'name collect\n    match *\n    retry_limit no_limits',
    answer: () => (isDown ? { kind: 'retry', reason: 'down' } : { kind: 'ok' })
  })
  const first = JSON.stringify({ a: 'x'.repeat(200) })
  await server.send(first)
  await server.run.until(() => server.run.log.some(line => line.includes('paused')))
  await server.send('{"b":1}{"b":2}')
  await server.run.until(() => server.dropped('paused')[0] > 0)
  assert.deepEqual(server.dropped('paused'), [2, 14])
  isDown = false
  await server.run.until(() => {
    server.run.clock.advance(1000)
    return server.run.bodies.length === 1
  })
  assert.deepEqual(server.run.bodies, [{ a: 'x'.repeat(200) }])
})
