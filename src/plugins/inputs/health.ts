/**
 * health: whether a TCP server takes connections.
 * Source: Fluent Bit 5.1.1 plugins/in_health/health.c.
 * Differs: `tls on` is refused in this version; log lines about names and time-outs carry the prefix of the instance.
 */
import { connect, type Socket, type TcpSocketConnectOpts } from 'node:net'
import type { Timer } from '../../base/clock.ts'
import { flag } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'
import type { ClientSettings } from '../../net/settings.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { sendEvent } from '../common/send_event.ts'

const PORT_MAX = 65_535

interface Report {
  /** Send nothing while the server is up. */
  readonly alertsOnly: boolean
  readonly addsHost: boolean
  readonly addsPort: boolean
}

export const health = defineInput({
  name: 'health',
  summary: 'TCP server health',
  upstream: 'plugins/in_health/health.c',
  network: 'client',
  options: {
    alert: flag({ default: 'false', doc: 'Send records only while the server is down' }),
    add_host: flag({ default: 'false', doc: 'Add the host under the key hostname' }),
    add_port: flag({ default: 'false', doc: 'Add the port' }),
    ...INTERVAL_OPTIONS
  },
  create(values, context) {
    const { client, tls } = context.net
    if (tls !== undefined) {
      throw context.invalid('tls', 'value must be off: this version checks health without TLS')
    }
    const report = {
      alertsOnly: values.alert,
      addsHost: values.add_host,
      addsPort: values.add_port
    }
    const checks = new HealthChecks(addressOf(context), client, report, context)
    const timed = intervalInput(context, readInterval(values), () => checks.begin())
    return {
      start: () => timed.start(),
      stop() {
        checks.abandon()
        timed.stop()
      }
    }
  }
})

/** Connections under way. A check may take longer than the interval: the next one does not wait for it. */
class HealthChecks {
  readonly #address: TcpSocketConnectOpts
  readonly #client: ClientSettings
  readonly #report: Report
  readonly #context: InputContext
  readonly #timers = new Map<Socket, Timer | undefined>()

  constructor(
    address: TcpSocketConnectOpts,
    client: ClientSettings,
    report: Report,
    context: InputContext
  ) {
    this.#address = address
    this.#client = client
    this.#report = report
    this.#context = context
  }

  /** Starts a check; its record comes when it is known whether the server answers. */
  begin(): void {
    const { log } = this.#context
    const { host } = this.#address
    const socket = connect(this.#address)
    this.#timers.set(socket, this.#limit(socket))
    socket.once('connect', () => this.#end(socket, true))
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.syscall === 'getaddrinfo') {
        log.warn(`getaddrinfo(host='${host}', err=4): Domain name not found`)
      }
      this.#end(socket, false)
    })
  }

  /** Ends all checks without a record. */
  abandon(): void {
    for (const socket of this.#timers.keys()) this.#forget(socket)
  }

  /** Gives the check up after `net.connect_timeout`; 0 waits as long as the system does. */
  #limit(socket: Socket): Timer | undefined {
    const { log, clock } = this.#context
    const { host, port } = this.#address
    const { connectTimeoutMs: limitMs, reportsConnectTimeout } = this.#client
    if (limitMs <= 0) return undefined
    return clock.after(limitMs, () => {
      const line = `connection to tcp://${host}:${port} timed out after ${limitMs / 1000} seconds`
      if (reportsConnectTimeout) log.error(line)
      else log.debug(line)
      this.#end(socket, false)
    })
  }

  #end(socket: Socket, alive: boolean): void {
    if (!this.#timers.has(socket)) return
    this.#forget(socket)
    const { alertsOnly, addsHost, addsPort } = this.#report
    if (alive && alertsOnly) return
    const { host, port } = this.#address
    const body: Record<string, boolean | number | string | undefined> = { alive }
    if (addsHost) body['hostname'] = host
    if (addsPort) body['port'] = port
    sendEvent(this.#context, body)
  }

  #forget(socket: Socket): void {
    this.#timers.get(socket)?.cancel()
    this.#timers.delete(socket)
    socket.destroy()
  }
}

/** Where to connect to, checked here as Node would throw later. */
function addressOf(context: InputContext): TcpSocketConnectOpts {
  const { host, port = 0, client } = context.net
  const { sourceAddress: localAddress, family } = client
  if (host === undefined) throw context.invalid('host', 'it is not set, it must name a TCP server')
  if (port < 0 || port > PORT_MAX) {
    throw context.invalid('port', `value must be 0 to ${PORT_MAX}: current value is "${port}"`)
  }
  return {
    host,
    port,
    ...(family === 6 ? { family } : {}),
    ...(localAddress === undefined ? {} : { localAddress })
  }
}
