/**
 * UDP, both ways.
 * Source: Fluent Bit 5.1.1 src/flb_network.c flb_net_server_udp(), flb_net_udp_connect()
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import { systemError } from '../base/system_error.ts'
import { addressOrder, hostAndPort, plainAddress } from './address.ts'
import type { Peer } from './listener.ts'
import { type NetworkError, networkError } from './network_error.ts'
import type { ClientSettings } from './settings.ts'

export interface DatagramListenerSettings {
  readonly host: string
  readonly port: number
  readonly sharesPort: boolean
  /** What the system keeps of what nobody has read; its own default unless given. */
  readonly receiveBufferBytes?: number | undefined
}

export class DatagramListener {
  readonly #settings: DatagramListenerSettings
  readonly #socket: Socket

  /** @param take Gets each datagram, which is its to keep. */
  constructor(settings: DatagramListenerSettings, take: (bytes: Buffer, peer: Peer) => void) {
    const { host, sharesPort: reusePort, receiveBufferBytes: recvBufferSize } = settings
    this.#settings = settings
    this.#socket = createSocket({
      type: isIPv6(host) ? 'udp6' : 'udp4',
      reusePort,
      ...(recvBufferSize === undefined ? {} : { recvBufferSize })
    })
    this.#socket.on('message', (bytes, { address, port }: RemoteInfo) =>
      take(bytes, { address: plainAddress(address), port })
    )
  }

  get host(): string {
    return this.#settings.host
  }

  get port(): number {
    return this.#socket.address().port
  }

  /** @throws {Error} When the address cannot be had; the message names it. */
  async start(): Promise<void> {
    const { host, port } = this.#settings
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', cause => {
        const where = hostAndPort(host, port)
        reject(new Error(`Cannot listen on ${where}: ${systemError(cause).text}`))
      })
      this.#socket.bind({ address: host, port, exclusive: true }, resolve)
    })
    this.#socket.removeAllListeners('error')
    this.#socket.on('error', () => undefined)
  }

  async stop(): Promise<void> {
    await new Promise<void>(resolve => this.#socket.close(() => resolve()))
  }
}

/** Sends datagrams to one remote. That a datagram was sent does not say that it has come. */
export class DatagramSender {
  readonly #host: string
  readonly #port: number
  readonly #settings: ClientSettings
  #socket: Promise<Socket> | undefined
  /** Why a datagram was not taken, which may show later: nobody listens there, say. */
  #refusal: NetworkError | undefined

  constructor(host: string, port: number, settings: ClientSettings) {
    this.#host = host
    this.#port = port
    this.#settings = settings
  }

  /**
   * Sends datagrams in their order; their bytes must stay as they are until the end of it.
   *
   * @returns Which of them are too long for the network, by index; the others were sent.
   * @throws {NetworkError} When one could not be sent, or when the remote has refused an earlier one.
   */
  async sendAll(datagrams: readonly Uint8Array[]): Promise<number[]> {
    if (datagrams.length === 0) return []
    const socket = await this.#open()
    this.#throwRefusal()
    const tooLong: number[] = []
    await new Promise<void>(resolve => {
      let left = datagrams.length
      for (const [index, bytes] of datagrams.entries()) {
        socket.send(bytes, (cause: NodeJS.ErrnoException | null) => {
          if (cause?.code === 'EMSGSIZE') tooLong.push(index)
          else if (cause !== null) this.#refusal ??= networkError(cause)
          if (--left === 0) resolve()
        })
      }
    })
    this.#throwRefusal()
    return tooLong
  }

  close(): void {
    void this.#socket?.then(
      socket => socket.close(),
      () => undefined
    )
    this.#socket = undefined
  }

  #throwRefusal(): void {
    const refusal = this.#refusal
    this.#refusal = undefined
    if (refusal !== undefined) throw refusal
  }

  async #open(): Promise<Socket> {
    this.#socket ??= this.#connect()
    try {
      return await this.#socket
    } catch (cause) {
      this.#socket = undefined
      throw networkError(cause)
    }
  }

  async #connect(): Promise<Socket> {
    const { family, prefer, sourceAddress } = this.#settings
    const { address } = await lookup(this.#host, { family, order: addressOrder(prefer) })
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    socket.on('error', cause => {
      this.#refusal = networkError(cause)
    })
    try {
      if (sourceAddress !== undefined) {
        await new Promise<void>((resolve, reject) => {
          socket.once('error', reject)
          socket.bind({ address: sourceAddress }, resolve)
        })
      }
      await new Promise<void>((resolve, reject) => {
        socket.connect(this.#port, address, (cause?: Error) => {
          if (cause === undefined || cause === null) resolve()
          else reject(cause)
        })
      })
    } catch (cause) {
      socket.close()
      this.#refusal = undefined
      throw cause
    }
    return socket
  }
}
