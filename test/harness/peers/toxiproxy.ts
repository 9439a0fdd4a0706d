/** toxiproxy: faults on the way between a client and a server. */
import type { TestContext } from 'node:test'
import { freePort, listens, startPeer } from '../peers.ts'

/** What is wrong with a connection; https://github.com/Shopify/toxiproxy#toxics tells the attributes. */
export interface Toxic {
  readonly type:
    | 'bandwidth'
    | 'latency'
    | 'limit_data'
    | 'reset_peer'
    | 'slicer'
    | 'slow_close'
    | 'timeout'
  /** `upstream` is what the client sends. */
  readonly stream: 'upstream' | 'downstream'
  /** Such as `latency: 100`, in ms, `rate: 1`, in KB/s, `timeout: 0`, `bytes: 10`. */
  readonly attributes: Readonly<Record<string, number>>
}

/** Starts toxiproxy before a server on a port of 127.0.0.1. */
export async function startToxiproxy(t: TestContext, to: number): Promise<Toxiproxy> {
  const control = await freePort()
  await startPeer(t, {
    program: 'toxiproxy-server',
    args: ['-host', '127.0.0.1', '-port', String(control)],
    ready: () => listens(control)
  })
  const proxy = new Toxiproxy(control, await freePort())
  await proxy.open(to)
  return proxy
}

export class Toxiproxy {
  /** Where clients connect. */
  readonly port: number
  readonly #api: string

  constructor(control: number, port: number) {
    this.#api = `http://127.0.0.1:${control}/proxies`
    this.port = port
  }

  async open(to: number): Promise<void> {
    const listen = `127.0.0.1:${this.port}`
    await this.#ask('POST', '', { name: 'proxy', listen, upstream: `127.0.0.1:${to}` })
  }

  /** Adds a fault to open connections and to new ones. */
  async add(toxic: Toxic): Promise<void> {
    await this.#ask('POST', '/proxy/toxics', toxic)
  }

  /** Takes back the fault of a type on a stream. */
  async remove({ type, stream }: Pick<Toxic, 'type' | 'stream'>): Promise<void> {
    await this.#ask('DELETE', `/proxy/toxics/${type}_${stream}`)
  }

  /** Ends all connections and refuses new ones. */
  async down(): Promise<void> {
    await this.#ask('POST', '/proxy', { enabled: false })
  }

  async up(): Promise<void> {
    await this.#ask('POST', '/proxy', { enabled: true })
  }

  async #ask(method: string, path: string, body?: object): Promise<void> {
    const answer = await fetch(this.#api + path, { method, body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`toxiproxy ${method} ${path}: ${await answer.text()}`)
  }
}
