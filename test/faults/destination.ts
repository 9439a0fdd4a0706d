/** Where the lines of the crash tests go: an output that fails at random, and how to see what it has taken. */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '../harness/random.ts'
import type { LineTally } from './line_tally.ts'

export interface Destination {
  /** Properties of the output section. */
  readonly properties: Readonly<Record<string, string | number>>
  /** Arguments of the program. */
  readonly args: readonly string[]
  /** A new process is about to start; `seed` is what its failures follow from. */
  begin(life: number, seed: number): void
  /** Counts what has arrived since the last look. */
  look(): void
  /** The process has ended: counts what it left. */
  end(): void
  /** Events of the last life that the output was told are delivered. */
  readonly accepted: number
  close(): Promise<void>
}

const LINE_FEED = 0x0a

const PLUGIN = fileURLToPath(import.meta.resolve('./unreliable_output.ts'))

/** The file that a user's plugin writes; each life has its own, as a kill may cut its last line. */
export class FileDestination implements Destination {
  readonly properties = { name: 'unreliable', file: 'delivered.${LIFE}', seed: '${SEED}' }
  readonly args = ['-e', PLUGIN]
  accepted = 0
  readonly #folder: string
  readonly #tally: LineTally
  #path = ''
  #bytesRead = 0

  constructor(folder: string, tally: LineTally) {
    this.#folder = folder
    this.#tally = tally
  }

  begin(life: number): void {
    this.#path = join(this.#folder, `delivered.${life}`)
    this.#bytesRead = 0
  }

  look(): void {
    const bytes = readFrom(this.#path, this.#bytesRead)
    const end = bytes.lastIndexOf(LINE_FEED)
    if (end < 0) return
    this.#bytesRead += end + 1
    for (const line of bytes.toString('utf8', 0, end).split('\n')) this.#tally.arrive(line)
  }

  end(): void {
    this.look()
    const answers = `${this.#path}.accepted`
    this.accepted = existsSync(answers) ? Number(readFileSync(answers, 'utf8')) : 0
    rmSync(this.#path, { force: true })
  }

  async close(): Promise<void> {}
}

/** The bytes of a file from a position to its end; none when there is no file. */
export function readFrom(path: string, position: number): Buffer {
  if (!existsSync(path)) return Buffer.alloc(0)
  const descriptor = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - position))
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, position))
  } finally {
    closeSync(descriptor)
  }
}

/** Longest time that the server takes before it answers a request that it hangs on. */
const HANG_MS_MAX = 1_500

/** A server that takes bodies of JSON arrays and answers 200 only when it has stored all of a body. */
export class HttpDestination implements Destination {
  readonly args: readonly string[] = []
  accepted = 0
  readonly #server: Server
  readonly #tally: LineTally
  readonly #failsLate: boolean
  #random: () => number = Math.random
  /** Where the process of this life sends to: a request of the one before may still be on its way. */
  #uri = ''

  /**
   * Starts the server at a free port.
   *
   * @param failures Whether it also fails when it has taken what came: then it gets that again.
   */
  static async start(
    tally: LineTally,
    failures: 'any' | 'before_taking' = 'any'
  ): Promise<HttpDestination> {
    const destination = new HttpDestination(tally, failures === 'any')
    const { promise, resolve } = Promise.withResolvers<void>()
    destination.#server.listen(0, '127.0.0.1', resolve)
    await promise
    return destination
  }

  private constructor(tally: LineTally, failsLate: boolean) {
    this.#tally = tally
    this.#failsLate = failsLate
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => {
        // The process was killed while it sent: there is nobody to answer.
        response.destroy()
      })
    })
  }

  get properties(): Readonly<Record<string, string | number>> {
    const { port } = this.#server.address() as AddressInfo
    return { name: 'http', host: '127.0.0.1', port, uri: '/lines/${LIFE}', format: 'json' }
  }

  begin(life: number, seed: number): void {
    this.#uri = `/lines/${life}`
    this.#random = seededRandom(seed)
    this.accepted = 0
  }

  look(): void {
    // Lines are counted as they come.
  }

  end(): void {
    this.#server.closeAllConnections()
  }

  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.#server.closeAllConnections()
    await promise
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Without late failures, whose like there are many, the others are rare: what comes has to get through.
    const fate = this.#random() * (this.#failsLate ? 1 : 10)
    const hangMs = this.#random() * HANG_MS_MAX
    if (fate < 0.05) return hangUp(request)
    const lines = linesOf(await text(request))
    if (fate < 0.1) return hangUp(request)
    if (fate < 0.17) return refuse(response, 500)
    if (fate < 0.24) return refuse(response, 429, { 'retry-after': '1' })
    for (const line of lines) this.#tally.arrive(line)
    if (this.#failsLate && fate < 0.3) return hangUp(request)
    if (this.#failsLate && fate < 0.35) return refuse(response, 500)
    if (fate < 0.4) await delay(hangMs)
    if (request.url === this.#uri && !request.socket.destroyed) this.accepted += lines.length
    response.writeHead(200).end()
  }
}

/** The lines of a body; one that is not as it should be is a line that nobody sent. */
function linesOf(body: string): string[] {
  try {
    return (JSON.parse(body) as readonly Record<string, unknown>[]).map(lineOf)
  } catch {
    return [body]
  }
}

/** The line in a record, under one of the keys that configurations of tests give it. */
export function lineOf(record: Readonly<Record<string, unknown>>): string {
  const line = record['log'] ?? record['line']
  return typeof line === 'string' ? line : JSON.stringify(record)
}

function hangUp(request: IncomingMessage): void {
  request.socket.destroy()
}

function refuse(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {}
): void {
  response.writeHead(status, headers).end()
}
