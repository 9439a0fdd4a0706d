/**
 * Takes forward messages, acknowledges them and counts their events by the options that follow them: it finds those in the
 * bytes without reading what comes before.
 *
 *     node forward_sink.ts PORT RECORDS
 *
 * Prints `ready`, and `taken` when that many records have come.
 */
import { createServer } from 'node:net'

/** The options of a message end with these, as both agents write them: an ID of 24 characters, then how many events. */
const CHUNK = Buffer.from('\xa5chunk\xb8', 'latin1')
const ID_BYTES = 24
const SIZE = Buffer.from('\xa4size', 'latin1')
const OPTIONS_BYTES = CHUNK.length + ID_BYTES + SIZE.length + 5

const [port = 0, records = 0] = process.argv.slice(2).map(Number)
let taken = 0

const server = createServer({ noDelay: true }, socket => {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('error', () => undefined)
  socket.on('data', (bytes: Buffer) => {
    const all = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    let at = all.indexOf(CHUNK)
    while (at >= 0 && at + OPTIONS_BYTES <= all.length) {
      const id = at + CHUNK.length
      const size = id + ID_BYTES + SIZE.length
      taken += sizeAt(all, size)
      socket.write(Buffer.concat([ANSWER, all.subarray(id - 1, id + ID_BYTES)]))
      at = all.indexOf(CHUNK, size)
    }
    // What the end cuts off is looked at again.
    rest = Buffer.from(all.subarray(at >= 0 ? at : -CHUNK.length))
    if (taken >= records) console.log('taken')
  })
})
server.listen(port, '127.0.0.1', () => console.log('ready'))

/** `{"ack":` */
const ANSWER = Buffer.from('\x81\xa3ack', 'latin1')

function sizeAt(bytes: Buffer, at: number): number {
  const type = bytes[at] ?? 0
  if (type === 0xce) return bytes.readUInt32BE(at + 1)
  if (type === 0xcd) return bytes.readUInt16BE(at + 1)
  return type === 0xcc ? (bytes[at + 1] ?? 0) : type
}
