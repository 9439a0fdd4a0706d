/** Runs an input that listens, with senders that send any bytes. */
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { sendDatagrams } from './datagrams.ts'
import { freePort } from './peers.ts'
import { type PipelineOptions, startPipeline, type TestPipeline } from './pipeline.ts'

export interface ServerRun {
  readonly run: TestPipeline
  readonly port: number
  /** Opens a connection to the port, or to a unix socket, and sends. */
  connect(...pieces: readonly (string | Uint8Array)[]): Promise<Sender>
  connectTo(target: NetConnectOpts): Promise<Sender>
  /** Sends datagrams to the port. */
  send(...datagrams: readonly (string | Uint8Array)[]): Promise<void>
  /** Bodies of all events, once there are so many. */
  bodies(count: number): Promise<unknown[]>
  /** Records and bytes that the input has given up for a reason. */
  dropped(reason: string): [records: number, bytes: number]
  /** Connections that the input has ended for a reason. */
  refused(reason: string): number
  /** What the plugin has logged, after the two lines that every input starts with; `PORT` stands for its port. */
  lines(): string[]
}

/** A connection of a sender. */
export class Sender {
  readonly socket: Socket
  isClosed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('close', () => (this.isClosed = true))
    socket.resume()
  }

  /** Sends a piece in packets of its own. */
  async send(piece: string | Uint8Array): Promise<void> {
    await new Promise<void>(resolve => this.socket.write(piece, () => resolve()))
    // Another turn of the loop lets the other side read what is there.
    await new Promise(resolve => setImmediate(resolve))
  }
}

/**
 * @param keys Of the input section, besides its name, tag and port; a line each.
 * @param options `service` is added to the service section, `output` replaces `collect`.
 */
export async function startServer(
  t: TestContext,
  plugin: string,
  keys = '',
  options: PipelineOptions & { readonly service?: string; readonly output?: string } = {}
): Promise<ServerRun> {
  const { service = '', output = 'name collect\n    match *' } = options
  const port = await freePort()
  const run = await startPipeline(
    `
[SERVICE]
    flush 1
    ${service}
[INPUT]
    name   ${plugin}
    tag    in
    listen 127.0.0.1
    port   ${port}
    ${keys}
[OUTPUT]
    ${output}
`,
    options
  )
  const senders: Sender[] = []
  t.after(async () => {
    for (const { socket } of senders) socket.destroy()
    await run.stop()
  })
  const name = `${plugin}.0`
  const connectTo = async (target: NetConnectOpts): Promise<Sender> => {
    const sender = new Sender(connect(target))
    senders.push(sender)
    await once(sender.socket, 'connect')
    sender.socket.setNoDelay()
    return sender
  }
  return {
    run,
    port,
    connectTo,
    async connect(...pieces) {
      const sender = await connectTo({ port, host: '127.0.0.1' })
      for (const piece of pieces) await sender.send(piece)
      return sender
    },
    send: (...datagrams) => sendDatagrams(port, datagrams),
    async bodies(count) {
      await run.until(() => run.counter('fluentbit_input_records_total', { name }) >= count)
      run.flush()
      await run.until(() => run.bodies.length >= count)
      return run.bodies
    },
    dropped(reason) {
      const labels = { kind: 'input', name, reason }
      return [
        run.counter('spillway_dropped_records_total', labels),
        run.counter('spillway_dropped_bytes_total', labels)
      ]
    },
    refused: reason =>
      run.counter('spillway_connections_refused_total', { kind: 'input', name, reason }),
    lines() {
      const prefix = `[input:${plugin}:${name}] `
      return run.log
        .filter(line => line.includes(prefix))
        .slice(2)
        .map(line => line.replace(prefix, '').replaceAll(`:${port}`, ':PORT'))
    }
  }
}
