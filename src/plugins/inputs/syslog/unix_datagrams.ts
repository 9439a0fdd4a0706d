/**
 * Datagrams of a unix socket, which Node does not know; Linux only.
 *
 * koffi makes the socket by calls of libc. To read from it, Node is given the number of a stream socket, which it takes;
 * then the number is made to stand for the datagram socket (dup3), before anything is read. Node's event loop waits for
 * it as for any other, each of its reads takes one datagram, and what is not read waits in the kernel, with its sender.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'
import type koffi from 'koffi'
import type { Clock, Timer } from '../../../base/clock.ts'
import type { Logger } from '../../../base/log.ts'
import { systemError } from '../../../base/system_error.ts'

export interface UnixDatagramSettings {
  readonly path: string
  readonly permissions: number
  /** Bytes of a datagram beyond this are not read. */
  readonly bytesMax: number
}

export interface UnixDatagramHost {
  readonly log: Logger
  readonly clock: Clock
  /** True while nothing is to be read. */
  readonly paused: boolean
  /** Undefined when more can be read at once; otherwise resolves when it can. */
  ready(): Promise<void> | undefined
}

type Koffi = Pick<typeof koffi, 'load' | 'errno'>

/** From <sys/socket.h> and <fcntl.h> of Linux. */
const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const O_NONBLOCK = 0o4000
const O_CLOEXEC = 0o2000000

/** Of `sun_path` in `struct sockaddr_un`, with a NUL. */
const PATH_BYTES = 108

const AGAIN_MS = 1000

export class UnixDatagrams {
  readonly #settings: UnixDatagramSettings
  readonly #host: UnixDatagramHost
  readonly #take: (bytes: Buffer) => void
  readonly #load: () => Promise<Koffi>
  readonly #buffer: Buffer
  #libc: Libc | undefined
  /** The datagram socket, which outlives its readers. */
  #fd = -1
  #reader: Socket | undefined
  #again: Timer | undefined
  #isPaused = false
  #isWaiting = false

  /** @param take Gets each datagram, which is of use until it returns, with one byte more than allowed if it is longer. */
  constructor(
    settings: UnixDatagramSettings,
    host: UnixDatagramHost,
    take: (bytes: Buffer) => void,
    load: () => Promise<Koffi> = async () => (await import('koffi')).default
  ) {
    this.#settings = settings
    this.#host = host
    this.#take = take
    this.#load = load
    this.#buffer = Buffer.allocUnsafeSlow(settings.bytesMax + 1)
  }

  /** @throws {Error} When the socket cannot be had; the message names it. */
  async start(): Promise<void> {
    const { path, permissions } = this.#settings
    const libc = new Libc(await this.#koffi())
    this.#libc = libc
    try {
      if (Buffer.byteLength(path) >= PATH_BYTES) throw new Error('File name too long')
      removeStale(path)
      this.#fd = libc.socket(SOCK_DGRAM)
      libc.bind(this.#fd, path)
      chmodSync(path, permissions)
      this.#read(libc)
    } catch (cause) {
      this.#closeSocket()
      throw new Error(`Cannot listen on ${path}: ${systemError(cause).text}`, { cause })
    }
  }

  pause(): void {
    this.#isPaused = true
    this.#reader?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#goOn()
  }

  stop(): void {
    this.#again?.cancel()
    const reader = this.#reader
    this.#reader = undefined
    reader?.destroy()
    if (this.#closeSocket()) removeStale(this.#settings.path)
  }

  async #koffi(): Promise<Koffi> {
    const { path } = this.#settings
    try {
      return await this.#load()
    } catch (cause) {
      throw new Error(
        `Cannot listen on ${path}: unix_udp needs the package koffi; install it with "npm install koffi"`,
        { cause }
      )
    }
  }

  /** Makes a reader. It ends with an empty datagram, which looks like the end of a stream: another one goes on. */
  #read(libc: Libc): void {
    const number = libc.socket(SOCK_STREAM)
    const onread = { buffer: this.#buffer, callback: (length: number) => this.#taken(length) }
    // @ts-expect-error The types know `onread` with `connect` only; the constructor takes it, too.
    const reader = new Socket({ fd: number, writable: false, pauseOnCreate: true, onread })
    libc.replace(number, this.#fd)
    this.#reader = reader
    reader.on('error', cause => this.#host.log.error(`cannot read: ${systemError(cause).text}`))
    reader.once('close', () => {
      if (this.#reader === reader) this.#replace(libc)
    })
    this.#goOn()
  }

  #replace(libc: Libc): void {
    try {
      this.#read(libc)
    } catch (cause) {
      this.#reader = undefined
      this.#host.log.error(`cannot read: ${systemError(cause).text}`)
      this.#again = this.#host.clock.after(AGAIN_MS, () => this.#replace(libc))
    }
  }

  /** False stops the reader: a pause just after a resume does not. */
  #taken(length: number): boolean {
    if (this.#reader !== undefined) this.#take(this.#buffer.subarray(0, length))
    const room = this.#isWaiting ? undefined : this.#host.ready()
    if (room !== undefined) {
      this.#isWaiting = true
      this.#reader?.pause()
      void room.then(() => {
        this.#isWaiting = false
        this.#goOn()
      })
    }
    return !this.#isHeld
  }

  #goOn(): void {
    if (!this.#isHeld) this.#reader?.resume()
  }

  get #isHeld(): boolean {
    return this.#isPaused || this.#isWaiting || this.#host.paused
  }

  /** False when there was none. */
  #closeSocket(): boolean {
    if (this.#fd < 0) return false
    this.#libc?.close(this.#fd)
    this.#fd = -1
    return true
  }
}

function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new Error('it exists and is not a unix socket')
  unlinkSync(path)
}

/** The calls; each throws when it fails. */
class Libc {
  readonly #errno: () => number
  readonly #calls: Readonly<Record<CallName, Call>>

  constructor({ load, errno }: Koffi) {
    const library = load(null)
    this.#errno = () => errno()
    this.#calls = {
      socket: library.func('int socket(int, int, int)'),
      bind: library.func('int bind(int, const void *, unsigned int)'),
      dup3: library.func('int dup3(int, int, int)'),
      close: library.func('int close(int)')
    }
  }

  socket(type: number): number {
    return this.#call('socket', AF_UNIX, type | O_NONBLOCK | O_CLOEXEC, 0)
  }

  bind(fd: number, path: string): void {
    const address = Buffer.alloc(2 + PATH_BYTES)
    const family = new Uint16Array(address.buffer, address.byteOffset, 1)
    family[0] = AF_UNIX
    address.write(path, 2)
    this.#call('bind', fd, address, address.length)
  }

  /** Makes the number stand for what `fd` stands for. */
  replace(number: number, fd: number): void {
    this.#call('dup3', fd, number, O_CLOEXEC)
  }

  close(fd: number): void {
    this.#call('close', fd)
  }

  #call(name: CallName, ...values: readonly (number | Buffer)[]): number {
    const result = this.#calls[name](...values)
    if (result >= 0) return result
    const errno = -this.#errno()
    const code = getSystemErrorName(errno)
    throw Object.assign(new Error(`${name}: ${code}`), { code, errno })
  }
}

type CallName = 'socket' | 'bind' | 'dup3' | 'close'
type Call = (...values: readonly (number | Buffer)[]) => number
