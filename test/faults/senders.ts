/**
 * Programs that send numbered lines over the network while the receiver is reloaded: each sends again what nobody has
 * acknowledged, and nothing else.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { EVENT_TIME, packed } from '../harness/forward.ts'
import { numberedLine, type SenderTally } from './line_tally.ts'

/** Lines of one message. */
const LINES_MAX = 20

/** Messages that wait for their acknowledgement. */
const WAITING_MAX = 20

/** Nothing is sent while so many characters have not arrived. */
const MISSING_LENGTH_MAX = 3_000_000

const PAUSE_MS_MAX = 40

/** How long a sender waits before it connects again. */
const AGAIN_MS = 10

export interface Sender {
  /** Messages that were sent again. */
  readonly again: number
  /** Sends no more, and resolves when all is acknowledged or given to the system. */
  finish(): Promise<void>
  /** Gives up. */
  close(): void
}

/** What senders have in common: lines to send, and when. */
class Source {
  isFinished = false
  readonly #name: string
  readonly #random: () => number
  readonly #tally: SenderTally

  constructor(name: string, random: () => number, tally: SenderTally) {
    this.#name = name
    this.#random = random
    this.#tally = tally
  }

  /** The lines of the next message, counted as sent. */
  next(): { readonly first: number; readonly lines: readonly string[] } {
    const first = this.#tally.next(this.#name)
    const count = 1 + Math.floor(this.#random() * LINES_MAX)
    const lines = Array.from({ length: count }, (_, index) =>
      numberedLine(this.#name, first + index, this.#random() * 200, this.#random)
    )
    this.#tally.send(this.#name, lines)
    return { first, lines }
  }

  sendAgain(first: number, count: number): void {
    this.#tally.sendAgain(this.#name, first, count)
  }

  /** Until the next message is due. */
  async pause(): Promise<void> {
    do await delay(this.#random() * PAUSE_MS_MAX)
    while (!this.isFinished && this.#tally.missingLength > MISSING_LENGTH_MAX)
  }
}

/** A frame of the forward protocol that was not acknowledged. */
interface Frame {
  readonly chunk: string
  readonly first: number
  readonly count: number
  readonly bytes: Buffer
}

/** Frames of the forward protocol, each with a name that the receiver has to acknowledge. */
export class ForwardSender implements Sender {
  again = 0
  readonly #port: number
  readonly #tag: string
  readonly #source: Source
  /** In the order in which they were sent. */
  readonly #waiting = new Map<string, Frame>()
  #socket: Socket | undefined
  #frames = 0
  #isClosed = false
  readonly #ended: Promise<void>

  constructor(port: number, tag: string, random: () => number, tally: SenderTally) {
    this.#port = port
    this.#tag = tag
    this.#source = new Source('forward', random, tally)
    this.#ended = this.#run()
  }

  finish(): Promise<void> {
    this.#source.isFinished = true
    return this.#ended
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.destroy()
  }

  async #run(): Promise<void> {
    while (!this.#isDone) {
      if (this.#socket === undefined) await this.#connect()
      else if (!this.#source.isFinished && this.#waiting.size < WAITING_MAX) this.#send()
      await this.#source.pause()
    }
    this.#socket?.destroy()
  }

  get #isDone(): boolean {
    return this.#isClosed || (this.#source.isFinished && this.#waiting.size === 0)
  }

  #send(): void {
    const { first, lines } = this.#source.next()
    const chunk = `chunk${String(this.#frames++).padStart(8, '0')}`
    const entries = lines.map(log => [EVENT_TIME, { log }] as const)
    const bytes = packed([this.#tag, entries, { chunk, size: lines.length }])
    this.#waiting.set(chunk, { chunk, first, count: lines.length, bytes })
    this.#socket?.write(bytes)
  }

  async #connect(): Promise<void> {
    const socket = connect(this.#port, '127.0.0.1')
    let received = ''
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined
    })
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text
      for (const [chunk] of received.matchAll(/chunk\d{8}/g)) this.#waiting.delete(chunk)
      received = received.slice(-16)
    })
    try {
      await once(socket, 'connect')
    } catch {
      await delay(AGAIN_MS)
      return
    }
    this.#socket = socket
    for (const { first, count, bytes } of this.#waiting.values()) {
      this.#source.sendAgain(first, count)
      this.again++
      socket.write(bytes)
    }
  }
}

/** JSON over TCP that nobody acknowledges, on one connection that must stay open. */
export class TcpSender implements Sender {
  readonly again = 0
  wasClosed = false
  readonly #socket: Socket
  readonly #source: Source
  readonly #ended: Promise<void>

  constructor(port: number, random: () => number, tally: SenderTally) {
    this.#source = new Source('tcp', random, tally)
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.on('error', () => undefined)
    this.#socket.on('close', () => (this.wasClosed = true))
    this.#ended = this.#run()
  }

  finish(): Promise<void> {
    this.#source.isFinished = true
    return this.#ended
  }

  close(): void {
    this.#source.isFinished = true
    this.#socket.destroy()
  }

  async #run(): Promise<void> {
    while (!this.#source.isFinished && !this.wasClosed) {
      const { lines } = this.#source.next()
      this.#socket.write(lines.map(log => `${JSON.stringify({ log })}\n`).join(''))
      await this.#source.pause()
    }
  }
}

/** Requests with arrays of JSON records, one after the other. */
export class HttpSender implements Sender {
  again = 0
  readonly #url: string
  readonly #source: Source
  readonly #ended: Promise<void>
  #isClosed = false

  constructor(port: number, tag: string, random: () => number, tally: SenderTally) {
    this.#url = `http://127.0.0.1:${port}/${tag}`
    this.#source = new Source('http', random, tally)
    this.#ended = this.#run()
  }

  finish(): Promise<void> {
    this.#source.isFinished = true
    return this.#ended
  }

  close(): void {
    this.#isClosed = true
  }

  async #run(): Promise<void> {
    while (!this.#source.isFinished) {
      await this.#post()
      await this.#source.pause()
    }
  }

  /** Until it is answered that the lines are taken. */
  async #post(): Promise<void> {
    const { first, lines } = this.#source.next()
    const body = JSON.stringify(lines.map(log => ({ log })))
    while (!this.#isClosed) {
      try {
        const headers = { 'content-type': 'application/json' }
        const reply = await fetch(this.#url, { method: 'POST', headers, body })
        await reply.arrayBuffer()
        if (reply.ok) return
      } catch (cause) {
        // Without an answer nobody knows whether it was taken; what did not connect was not.
        if (!isRefused(cause)) this.#source.sendAgain(first, lines.length)
      }
      this.again++
      await delay(AGAIN_MS)
    }
  }
}

function isRefused(cause: unknown): boolean {
  const inner = cause instanceof Error ? cause.cause : undefined
  return inner instanceof Error && 'code' in inner && inner.code === 'ECONNREFUSED'
}
