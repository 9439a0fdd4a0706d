/** Runs an output over HTTP, with a server that answers as a real one would not. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import type { Output, OutputPlugin } from '../../src/plugin/define.ts'
import type { Delivery } from '../../src/plugin/delivery.ts'
import { type PipelineOptions, startPipeline, type TestPipeline } from './pipeline.ts'

export const NO_BODY = 'Content-Length: 0\r\n\r\n'
export const ACCEPTED = `HTTP/1.1 200 OK\r\n${NO_BODY}`

/** What the server does with a request: sends a text, or something else with the connection. */
export type Answer = string | ((socket: Socket) => void)

/** A server of bytes, which answers as a real one would not. */
export class TestServer {
  /** Whole requests as they came, heads and bodies. */
  readonly raw: Buffer[] = []
  connections = 0
  closed = 0
  port = 0
  /** Called for each request, counted from 1. */
  answer: (number: number) => Answer = () => ACCEPTED
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  /** @param tls Has it speak TLS. */
  constructor(tls?: TlsOptions) {
    const serve = (socket: Socket): void => this.#serve(socket)
    this.#server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve)
  }

  async listen(test: TestContext, address = '127.0.0.1'): Promise<this> {
    this.#server.listen(0, address)
    await once(this.#server, 'listening')
    test.after(() => {
      this.#server.close()
      for (const socket of this.#sockets) socket.destroy()
    })
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  get requests(): string[] {
    return this.raw.map(request => request.toString())
  }

  /** The requests, with `PORT` for the port. */
  get seen(): string[] {
    return this.requests.map(request => request.replaceAll(`:${this.port}`, ':PORT'))
  }

  /** The bodies of the requests. */
  get bodies(): string[] {
    return this.requests.map(request => request.slice(request.indexOf('\r\n\r\n') + 4))
  }

  #serve(socket: Socket): void {
    let pending = Buffer.alloc(0)
    this.connections++
    socket.on('error', () => {})
    this.#sockets.add(socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.closed++
    })
    socket.on('data', (piece: Buffer) => {
      pending = Buffer.concat([pending, piece])
      const end = requestEnd(pending)
      if (end < 0) return
      this.raw.push(Buffer.from(pending.subarray(0, end)))
      pending = pending.subarray(end)
      const answer = this.answer(this.raw.length)
      if (typeof answer === 'string') socket.write(answer)
      else answer(socket)
    })
  }
}

/** Where the first request ends, or -1 while a part of it is missing. */
function requestEnd(bytes: Buffer): number {
  const head = bytes.indexOf('\r\n\r\n')
  if (head < 0) return -1
  const length = /\ncontent-length: (\d+)/i.exec(bytes.toString('latin1', 0, head))?.[1]
  const end = head + 4 + Number(length ?? 0)
  return bytes.length < end ? -1 : end
}

export function sendAndClose(answer: string): Answer {
  return socket => void socket.end(answer)
}

export const HANG: Answer = () => {}
export const RESET: Answer = socket => void socket.resetAndDestroy()

/** A pipeline of the input `lib`, whose tag is `app`, and an output. */
export function outputConfiguration(plugin: string, port: number, keys: string): string {
  return `
[SERVICE]
    flush 1
[INPUT]
    name  lib
    tag   app
[OUTPUT]
    name  ${plugin}
    match *
    port  ${port}
${keys}
`
}

export interface OutputRun {
  readonly run: TestPipeline
  /** What the output answered, in order. */
  readonly deliveries: Delivery[]
  /** Resolves once the output has answered so often. */
  delivered(count: number): Promise<void>
  /** The output's log lines, with `PORT` for the port. */
  lines(): string[]
}

/** Starts an output that sends to the server; the test stops the pipeline. */
export async function startOutput(
  plugin: OutputPlugin,
  server: { readonly port: number },
  keys = '',
  options: PipelineOptions = {}
): Promise<OutputRun> {
  const deliveries: Delivery[] = []
  const watched: OutputPlugin = {
    ...plugin,
    create: (values, context) => watch(plugin.create(values, context), deliveries)
  }
  const run = await startPipeline(outputConfiguration(plugin.name, server.port, keys), {
    ...options,
    plugins: [watched, ...(options.plugins ?? [])]
  })
  const prefix = `[output:${plugin.name}:${plugin.name}.0] `
  return {
    run,
    deliveries,
    delivered: count => run.until(() => deliveries.length >= count),
    lines: () =>
      run.log
        .filter(line => line.includes(prefix))
        .map(line => line.replace(prefix, '').replaceAll(`:${server.port}`, ':PORT').trimStart())
  }
}

function watch(output: Output, deliveries: Delivery[]): Output {
  return {
    ...output,
    async flush(chunk) {
      const delivery = await output.flush(chunk)
      deliveries.push(delivery)
      return delivery
    }
  }
}
