/** What network code is told: the `tls.*` and `net.*` keys of an instance, read and checked. */

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'

export interface TlsSettings {
  /** Refuse a remote whose certificate cannot be trusted. */
  readonly verify: boolean
  readonly verifyHostname: boolean
  /** Of a server: refuse clients without a trusted certificate. */
  readonly verifyClient: boolean
  readonly caFile?: string | undefined
  readonly caPath?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly keyPassword?: string | undefined
  /** The name to ask for (SNI), and to check with `verifyHostname`; the host unless set. */
  readonly serverName?: string | undefined
  readonly minVersion?: TlsVersion | undefined
  readonly maxVersion?: TlsVersion | undefined
  /** As OpenSSL writes them. */
  readonly ciphers?: string | undefined
}

export interface TcpKeepalive {
  readonly timeSeconds: number
  readonly intervalSeconds: number
  readonly probes: number
}

/** How connections are made and kept. Times are in milliseconds; 0 is no limit. */
export interface ClientSettings {
  /** Only this family, or the one whose addresses are tried first. */
  readonly family: 0 | 6
  readonly prefer: 'ipv4' | 'ipv6' | undefined
  readonly sourceAddress: string | undefined
  readonly connectTimeoutMs: number
  /** Whether a connect time-out is an error in the log, or for debugging. */
  readonly reportsConnectTimeout: boolean
  /** Longest silence while bytes are wanted. */
  readonly ioTimeoutMs: number
  /** Keep connections for the next use. */
  readonly keepalive: boolean
  readonly idleTimeoutMs: number
  /** Uses of one connection. */
  readonly usesMax: number
  /** Connections at once; 0 is no limit. */
  readonly connectionsMax: number
  readonly tcpKeepalive: TcpKeepalive | undefined
}

/** An HTTP proxy that is asked to CONNECT. */
export interface ProxySettings {
  readonly host: string
  readonly port: number
  readonly user: string | undefined
  readonly password: string | undefined
  /** For a proxy that is spoken to over TLS. */
  readonly tls: TlsSettings | undefined
}

/** How a server takes connections. Times are in milliseconds; 0 is no limit. */
export interface ServerSettings {
  readonly backlog: number
  readonly sharesPort: boolean
  /** Longest time for a TLS handshake. */
  readonly acceptTimeoutMs: number
  readonly reportsAcceptTimeout: boolean
  /** Longest silence of a connection. */
  readonly ioTimeoutMs: number
  readonly keepalive: boolean
}

/** One place that data can be sent to. */
export interface EndpointSettings {
  /** As the user calls it; its address unless it has a name. */
  readonly name: string
  readonly host: string
  readonly port: number
  /** A unix socket, instead of host and port. */
  readonly unixPath?: string | undefined
  readonly tls: TlsSettings | undefined
  readonly proxy?: ProxySettings | undefined
  /** The plugin's own keys that only this endpoint has, read by the plugin's table. */
  readonly properties: Readonly<Record<string, unknown>>
}
