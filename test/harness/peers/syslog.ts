/** What syslog peers have in common: rsyslog and syslog-ng, as receivers and as senders. */
import type { KeyPair } from '../certificates.ts'
import type { Peer } from '../peers.ts'

/** A message as a receiver understood it. */
export interface SyslogMessage {
  /** Facility * 8 + severity. */
  readonly priority: number
  /** RFC 3339, as the message says it. */
  readonly time: string
  readonly host: string
  readonly program: string
  readonly processId: string
  readonly messageId: string
  /** As in the message: `[id key="value"]`. */
  readonly structuredData: string
  readonly message: string
  /** As it came, without its length or line feed. */
  readonly raw: string
}

export interface SyslogReceiver {
  readonly peer: Peer
  readonly tcp: number
  readonly udp: number
  /** Speaks TLS only. */
  readonly tls: number
  /** All that has come, in order. */
  messages(): SyslogMessage[]
  /** Waits until so many messages have come. */
  until(count: number): Promise<SyslogMessage[]>
}

/** What the TLS port of a receiver shows and asks for. */
export interface ReceiverTls extends KeyPair {
  /** Senders need a certificate of this authority. */
  readonly clientAuthority?: string
}

/** How a sender sends the lines of its file `lines`, as messages of the program `app`, local0.warning. */
export interface SyslogTarget {
  readonly port: number
  readonly transport: 'tcp' | 'udp' | 'tls'
  readonly format: 'rfc3164' | 'rfc5424'
  /** Each message is preceded by its length, instead of ended by a line feed; not for `udp`. */
  readonly octetCounted?: boolean
  /** For `tls`: whom to trust; the server has to be called localhost. */
  readonly authority?: string
  /** For `tls`: what the sender shows. */
  readonly client?: KeyPair
}

/** Reads the file `messages` of a receiver, one JSON object a line. */
export function messageReader(peer: Peer): Pick<SyslogReceiver, 'messages' | 'until'> {
  const messages = (): SyslogMessage[] =>
    peer.lines('messages').map(line => JSON.parse(line) as SyslogMessage)
  return {
    messages,
    until: async count => {
      await peer.until(() => messages().length >= count)
      return messages()
    }
  }
}
