/**
 * syslog: sends events as syslog messages over UDP, TCP or TLS.
 * Source: Fluent Bit 5.1.1 plugins/out_syslog/syslog.c, syslog_conf.c, docs pipeline/outputs/syslog.md.
 * Over TCP and TLS each message ends with a line feed; those within a message stay. Keys are names, not record accessors.
 * Differs: the mode dtls is refused, as Node has none. A datagram that is too long for the network is given up and the
 * others are sent (Fluent Bit sends the whole chunk again, in vain). Messages go out together, not in a packet each.
 * A negative `syslog_maxsize` is the default (Fluent Bit crashes).
 */
import { choice, flag, int, many, size, text, type Values } from '../../../config/options.ts'
import type { OutputContext } from '../../../plugin/context.ts'
import { defineOutput, type Loss } from '../../../plugin/define.ts'
import { deliver } from '../../common/deliver.ts'
import { sendEvents, streamEvents } from '../../common/event_messages.ts'
import { FACILITY_MAX, SEVERITY_MAX, type SyslogSettings, SyslogWriter } from './syslog_message.ts'

const OPTIONS = {
  mode: choice(['udp', 'tcp', 'tls', 'dtls'], {
    default: 'udp',
    doc: 'udp, tcp or tls; tls needs no key tls. dtls is not in Node'
  }),
  syslog_format: choice(['rfc3164', 'rfc5424'], { default: 'rfc5424', doc: 'rfc3164 or rfc5424' }),
  syslog_maxsize: size({
    default: '0',
    doc: 'Longest message in bytes, the rest is cut off; 0 is 1024 for rfc3164, 2048 for rfc5424'
  }),
  syslog_severity_key: text({ doc: 'Key of the severity, a number 0 to 7 or a name' }),
  syslog_severity_preset: int({ default: '6', doc: 'Severity of records without one, 0 to 7' }),
  syslog_facility_key: text({ doc: 'Key of the facility, a number 0 to 23 or a name' }),
  syslog_facility_preset: int({ default: '1', doc: 'Facility of records without one, 0 to 23' }),
  syslog_hostname_key: text({ doc: 'Key of the host name' }),
  syslog_hostname_preset: text({ doc: 'Host name of records without one' }),
  syslog_appname_key: text({ doc: 'Key of the name of the application' }),
  syslog_appname_preset: text({ doc: 'Application of records without one' }),
  syslog_procid_key: text({ doc: 'Key of the process ID' }),
  syslog_procid_preset: text({ doc: 'Process ID of records without one' }),
  syslog_msgid_key: text({ doc: 'Key of the message ID, for rfc5424' }),
  syslog_msgid_preset: text({ doc: 'Message ID of records without one' }),
  syslog_sd_key: many(
    text({ doc: 'Key of a map that becomes structured data, for rfc5424; may repeat' })
  ),
  syslog_message_key: text({ doc: 'Key of the message; it is empty unless set' }),
  allow_longer_sd_id: flag({
    default: 'false',
    doc: 'Allow names of more than 32 bytes in structured data, which rfc5424 forbids'
  })
}

type SyslogValues = Values<typeof OPTIONS>

const PORT_DEFAULT = 514

const BYTES_MAX_DEFAULT = { rfc3164: 1024, rfc5424: 2048 }

export const syslog = defineOutput({
  name: 'syslog',
  summary: 'Sends events as syslog messages',
  upstream: 'plugins/out_syslog/syslog.c',
  network: 'client',
  options: OPTIONS,
  losses,
  create(values, context) {
    check(values, context)
    const writer = new SyslogWriter(settingsOf(values), context.log)
    const start = (): void => report(values, context)
    if (values.mode === 'udp') {
      const sender = context.net.datagramSender({ port: PORT_DEFAULT })
      return {
        start,
        flush: ({ bytes }) => sendEvents(bytes, writer, sender, message => [message]),
        stop: () => sender.close()
      }
    }
    const upstream = context.net.upstream({ port: PORT_DEFAULT, isSecure: values.mode === 'tls' })
    return {
      start,
      flush: ({ bytes }) =>
        deliver(upstream, connection => streamEvents(bytes, writer, connection)),
      stop: () => upstream.close()
    }
  }
})

function check(values: SyslogValues, context: OutputContext): void {
  const { mode, syslog_severity_preset: severity, syslog_facility_preset: facility } = values
  if (mode === 'dtls') {
    throw context.invalid('mode', 'Node has no DTLS, so dtls is not possible: tls is, over TCP')
  }
  if (mode === 'udp' && context.net.tls !== undefined) {
    throw context.invalid('tls', 'mode udp has no TLS: modes tcp and tls have')
  }
  checkRange('syslog_severity_preset', severity, SEVERITY_MAX, context)
  checkRange('syslog_facility_preset', facility, FACILITY_MAX, context)
}

function checkRange(key: string, value: number, max: number, context: OutputContext): void {
  if (value >= 0 && value <= max) return
  throw context.invalid(key, `value must be 0 to ${max}: current value is "${value}"`)
}

function settingsOf(values: SyslogValues): SyslogSettings {
  const { mode, syslog_format: format, syslog_maxsize: bytesMax } = values
  return {
    format,
    bytesMax: bytesMax > 0 ? bytesMax : BYTES_MAX_DEFAULT[format],
    hasLineEnds: mode !== 'udp',
    severity: { key: values.syslog_severity_key, preset: values.syslog_severity_preset },
    facility: { key: values.syslog_facility_key, preset: values.syslog_facility_preset },
    hostname: { key: values.syslog_hostname_key, preset: values.syslog_hostname_preset },
    appname: { key: values.syslog_appname_key, preset: values.syslog_appname_preset },
    procid: { key: values.syslog_procid_key, preset: values.syslog_procid_preset },
    msgid: { key: values.syslog_msgid_key, preset: values.syslog_msgid_preset },
    message: { key: values.syslog_message_key },
    structuredData: values.syslog_sd_key,
    longNames: values.allow_longer_sd_id
  }
}

function report(values: SyslogValues, { log, net }: OutputContext): void {
  if (values.allow_longer_sd_id && values.syslog_format === 'rfc5424') {
    log.warn('Allow longer SD-ID. It may violate RFC5424.')
  }
  const { host = '127.0.0.1', port = PORT_DEFAULT } = net
  const isSecure = net.tls !== undefined || values.mode === 'tls'
  log.info(`setup done for ${host}:${port} (TLS=${isSecure ? 'on' : 'off'})`)
}

function losses({ mode }: SyslogValues): Loss[] {
  if (mode === 'udp') {
    const message = 'datagrams that get lost on the way, or that nobody takes, are not noticed'
    return [{ when: 'running', key: 'mode', message, change: 'mode tcp' }]
  }
  const message = 'a receiver that ends takes along what it has not read yet: it does not answer'
  return [{ when: 'failure', key: 'mode', message }]
}
