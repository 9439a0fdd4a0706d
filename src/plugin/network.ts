/** The network as plugins get it: made from the network keys of their instance (`host`, `port`, `net.*`, `tls.*`, `upstream`). */
import type { Connection } from '../net/connection.ts'
import type { DatagramListener, DatagramSender } from '../net/datagrams.ts'
import type { HttpAnswer, HttpRequestSettings } from '../net/http_client.ts'
import type { HttpHandler, HttpServer } from '../net/http_server.ts'
import type { Peer, ServerConnection, StreamHandler, StreamListener } from '../net/listener.ts'
import type { ClientSettings, ServerSettings, TlsSettings } from '../net/settings.ts'
import type { Upstream } from '../net/upstream.ts'

/** What a client is without keys; each key of the configuration goes before it. */
export interface RemoteDefaults {
  /** `127.0.0.1` unless given. */
  readonly host?: string
  readonly port: number
  readonly unixPath?: string | undefined
  /** Addresses go here first, as through a proxy that gets whole URLs. */
  readonly via?: { readonly host: string; readonly port: number } | undefined
  /** Speaks TLS also where the key `tls` is off. */
  readonly isSecure?: boolean
  /** No proxy of the environment: the protocol has one of its own. */
  readonly ignoresProxy?: boolean
}

/** What a listener is without keys. */
export interface ListenDefaults {
  /** `0.0.0.0` unless given. */
  readonly host?: string
  readonly port: number
  /** A unix socket, instead of host and port. */
  readonly unix?: { readonly path: string; readonly permissions: number } | undefined
}

/**
 * What is made here opens nothing before its `start` or first use. Mistakes in the keys are thrown as `ConfigError`s,
 * so all of it belongs in `create`.
 */
export interface Network {
  /** What a name like `http://host:80/path` has after the port; undefined without it. */
  readonly uri: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  /** The remote, or the group of them that `upstream` names. */
  upstream(defaults: RemoteDefaults): Upstream
  /**
   * A remote that a URL names, such as a server of tokens; TLS as its scheme says, with the keys of the instance.
   *
   * @param connectTimeoutMs `net.connect_timeout` unless given.
   */
  remote(url: URL, connectTimeoutMs?: number): Upstream
  /** Sends a request and reads the answer; see net/http_client.ts. */
  exchange(connection: Connection, request: HttpRequestSettings): Promise<HttpAnswer>
  /** Sends datagrams to the remote. */
  datagramSender(defaults: RemoteDefaults): DatagramSender
  /** Listens for connections; only for inputs. While the input is held back, nothing is read. */
  listener(
    defaults: ListenDefaults,
    accept: (connection: ServerConnection) => StreamHandler
  ): StreamListener
  /** Listens for datagrams; only for inputs. */
  datagrams(
    defaults: ListenDefaults & { readonly receiveBufferBytes?: number | undefined },
    take: (bytes: Buffer, peer: Peer) => void
  ): DatagramListener
  /** Serves HTTP, as the `http_server.*` keys say; an output does not hold requests back. */
  httpServer(defaults: ListenDefaults, handler: HttpHandler): HttpServer
  readonly client: ClientSettings
  readonly server: ServerSettings
  readonly tls: TlsSettings | undefined
}
