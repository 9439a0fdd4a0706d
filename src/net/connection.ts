/** One connection of a client, while it is in use. */
import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { NetworkError, networkError } from './network_error.ts'
import type { EndpointSettings } from './settings.ts'

/** Bytes that may come before somebody reads them. */
const UNREAD_BYTES_MAX = 1_048_576

/** Longest wait for a remote to take what was written, without `net.io_timeout`; what the system gives a silent one. */
const STALL_MS_MAX = 900_000

const CLOSED = 'closed by the remote'

export class Connection {
  readonly socket: Socket
  readonly endpoint: EndpointSettings
  /** False until the protocol has greeted: for those that begin a connection with a handshake. */
  isGreeted = false
  /** Times that it was taken from the pool. */
  uses = 0
  readonly #clock: Clock
  readonly #ioTimeoutMs: number
  #failure: NetworkError | undefined
  #unread: Buffer[] = []
  #unreadBytes = 0
  #isReading = false
  #waiter: PromiseWithResolvers<Buffer> | undefined
  /** What waits for the remote, to be told when the connection ends. */
  readonly #pending = new Set<(error: NetworkError) => void>()

  constructor(socket: Socket, endpoint: EndpointSettings, ioTimeoutMs: number, clock: Clock) {
    this.socket = socket
    this.endpoint = endpoint
    this.#ioTimeoutMs = ioTimeoutMs
    this.#clock = clock
    socket.on('error', cause => this.#end(networkError(cause)))
    socket.on('close', () => this.#end(new NetworkError('connection_closed', CLOSED)))
    // A remote that has ended its side takes nothing more.
    socket.on('end', () => socket.destroy())
  }

  get isOpen(): boolean {
    return this.#failure === undefined && !this.socket.destroyed
  }

  /** Why it is not open any more. */
  get failure(): NetworkError | undefined {
    return this.#failure
  }

  /** Resolves when the system has taken all pieces. */
  async write(...pieces: readonly Uint8Array[]): Promise<void> {
    if (!this.isOpen) throw this.#failure ?? new NetworkError('connection_closed', CLOSED)
    const done = Promise.withResolvers<void>()
    const last = pieces.length - 1
    this.socket.cork()
    for (const [index, piece] of pieces.entries()) {
      if (index < last) this.socket.write(piece)
      else
        this.socket.write(piece, error =>
          error ? done.reject(networkError(error)) : done.resolve()
        )
    }
    this.socket.uncork()
    await this.#guard(done, this.#ioTimeoutMs || STALL_MS_MAX)
  }

  /**
   * The next bytes from the remote.
   *
   * @param limitMs Longest wait; that of `net.io_timeout` unless given, 0 is none.
   */
  async read(limitMs = this.#ioTimeoutMs): Promise<Buffer> {
    this.#startReading()
    const next = this.#unread.shift()
    if (next !== undefined) {
      this.#unreadBytes -= next.length
      return next
    }
    this.#waiter = Promise.withResolvers()
    try {
      return await this.#guard(this.#waiter, limitMs)
    } finally {
      this.#waiter = undefined
    }
  }

  /**
   * Throws away what the remote sends, for those that never read: without it the end of the connection is not noticed
   * behind such bytes, and the next write gets lost.
   */
  ignoreAnswers(): void {
    if (this.#isReading) return
    this.#isReading = true
    this.socket.resume()
  }

  /** Hands back what was read and not used. */
  unread(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#unread.unshift(bytes)
    this.#unreadBytes += bytes.length
  }

  /** Ends it at once; what waits for it fails for this reason. */
  close(error = new NetworkError('shutdown', 'closed')): void {
    this.#end(error)
    this.#unread = []
    this.socket.destroy()
  }

  #startReading(): void {
    if (this.#isReading) return
    this.#isReading = true
    this.socket.on('data', (bytes: Buffer) => {
      if (this.#waiter !== undefined) {
        this.#waiter.resolve(bytes)
        this.#waiter = undefined
        return
      }
      this.#unread.push(bytes)
      this.#unreadBytes += bytes.length
      if (this.#unreadBytes > UNREAD_BYTES_MAX) {
        this.close(new NetworkError('protocol_error', 'the remote sent more than was asked for'))
      }
    })
  }

  async #guard<T>(wanted: PromiseWithResolvers<T>, limitMs: number): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure
    const fail = (error: NetworkError): void => wanted.reject(error)
    this.#pending.add(fail)
    const timer =
      limitMs > 0
        ? this.#clock.after(limitMs, () =>
            this.close(new NetworkError('timeout', `no progress for ${limitMs / 1000} seconds`))
          )
        : undefined
    try {
      return await wanted.promise
    } finally {
      timer?.cancel()
      this.#pending.delete(fail)
    }
  }

  #end(error: NetworkError): void {
    this.#failure ??= error
    for (const fail of this.#pending) fail(this.#failure)
  }
}
