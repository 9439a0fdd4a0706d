/**
 * Records the trace events that Fluent Bit writes, into the `.msgpack` files beside:
 *
 *     FLUENT_BIT=/path/to/fluent-bit node test/data/trace/record.ts
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const HERE = import.meta.dirname

/** Longer than `flush` of the configurations. */
const FLUSHED_MS = 2_600

/** After this time a batch has been read. */
const BATCH_MS = 100

/** The batches of each chunk. */
type Chunks = readonly (readonly (readonly unknown[])[])[]

const program = process.env['FLUENT_BIT']
if (program === undefined) throw new Error('FLUENT_BIT does not name the program')
const sent = JSON.parse(readFileSync(join(HERE, 'sent.json'), 'utf8')) as Record<string, Chunks>
for (const [name, chunks] of Object.entries(sent)) {
  const events = await record(program, name, chunks)
  writeFileSync(join(HERE, `${name}.msgpack`), events)
  console.log(`${name}: ${events.length} bytes`)
}

async function record(fluentBit: string, name: string, chunks: Chunks): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'trace-'))
  const port = await freePort()
  const text = readFileSync(join(HERE, `${name}.conf`), 'utf8').replace('PORT', String(port))
  writeFileSync(join(folder, 'fluent-bit.conf'), text)
  const tap = `input=tcp.0 output=file output.path=${folder} output.file=trace output.format=msgpack`
  const child = spawn(fluentBit, ['-c', join(folder, 'fluent-bit.conf'), '--trace', tap], {
    stdio: 'ignore'
  })
  const ended = new Promise(resolve => child.on('close', resolve))
  await delay(500)
  for (const batches of chunks) {
    for (const batch of batches) {
      await send(port, batch)
    }
    await delay(FLUSHED_MS)
  }
  child.kill('SIGTERM')
  await ended
  const events = readFileSync(join(folder, 'trace'))
  rmSync(folder, { recursive: true })
  return events
}

/** Records that are sent in one piece come as one batch. */
async function send(port: number, batch: readonly unknown[]): Promise<void> {
  const socket = createConnection(port, '127.0.0.1')
  socket.end(batch.map(record => JSON.stringify(record)).join('\n') + '\n')
  await new Promise(resolve => socket.once('close', resolve))
  await delay(BATCH_MS)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
