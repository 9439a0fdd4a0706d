/** A second Spillway: the outputs tcp and udp send to the inputs tcp and udp. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { certificates } from '../harness/certificates.ts'
import { needs } from '../harness/peers.ts'
import { startPipeline } from '../harness/pipeline.ts'
import { startServer } from '../harness/server_input.ts'

const BODIES = Array.from({ length: 2000 }, (_, n) => ({
  n,
  text: `é "${n}" }] `.repeat(n % 40),
  list: [n, { deep: null }]
}))

for (const [plugin, format] of [
  ['tcp', 'json'],
  ['tcp', 'json_lines'],
  ['tcp', 'json_stream'],
  ['udp', 'json'],
  ['udp', 'json_lines']
] as const) {
  for (const isSecure of plugin === 'tcp' ? [false, true] : [false]) {
    const title = `output ${plugin} sends ${format}${isSecure ? ' over TLS' : ''} to input ${plugin}`
    test(title, isSecure ? needs('openssl') : {}, async t => {
      const tls = isSecure ? certificates() : undefined
      const { server: pair, authority } = tls ?? {}
      const server = await startServer(
        t,
        plugin,
        `buffer_size 4096
    chunk_size 64
    ${pair === undefined ? '' : `tls on\n    tls.crt_file ${pair.certificate}\n    tls.key_file ${pair.key}`}`
      )
      const sender = await startPipeline(`
[INPUT]
    name lib
    tag  app
[OUTPUT]
    name  ${plugin}
    match *
    host  127.0.0.1
    port  ${server.port}
    format ${format}
    json_date_key false
    ${authority === undefined ? '' : `tls on\n    tls.ca_file ${authority}`}
`)
      t.after(() => sender.stop())
      const bodies = plugin === 'udp' ? BODIES.slice(0, 50) : BODIES
      sender.push('app', ...bodies)
      sender.flush()
      // As JSON, each chunk is an array, and an array is one record; a datagram holds an array of one.
      const expected =
        format !== 'json'
          ? bodies
          : plugin === 'tcp'
            ? [{ msg: bodies }]
            : bodies.map(body => ({ msg: [body] }))
      assert.deepEqual(await server.bodies(expected.length), expected)
    })
  }
}
