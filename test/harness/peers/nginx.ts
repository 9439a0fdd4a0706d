/** nginx, as an HTTP server that keeps what it is sent, and as a proxy that speaks TLS. */
import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import type { KeyPair } from '../certificates.ts'
import { freePort, listens, type Peer, startPeer } from '../peers.ts'

/** A request that nginx has answered. */
export interface StoredRequest {
  readonly method: string
  /** Path and query. */
  readonly uri: string
  /** `HTTP/1.1` or `HTTP/2.0`. */
  readonly protocol: string
  readonly status: number
  /** Those of `HEADERS` and of the option `headers`, empty where the request has none. */
  readonly headers: Readonly<Record<string, string>>
  /** Number of the connection: requests with the same one shared it. */
  readonly connection: number
  readonly body: Buffer
}

export interface HttpSink {
  readonly peer: Peer
  readonly port: number
  /** All that was answered, in order. */
  requests(): StoredRequest[]
  /** Waits until so many requests were answered. */
  until(count: number): Promise<StoredRequest[]>
}

export interface HttpSinkOptions {
  /** What every request is answered; 201 if not said. */
  readonly status?: number
  /** Has it speak https. */
  readonly tls?: KeyPair
  /** For `tls`: clients need a certificate of this authority. */
  readonly clientAuthority?: string
  /** Names, in lower case, of more headers to keep. */
  readonly headers?: readonly string[]
  /** Has it refuse with 401 who does not say these. */
  readonly credentials?: { readonly user: string; readonly password: string }
}

const HEADERS = [
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'transfer-encoding',
  'user-agent'
]

/** Starts nginx as a server that stores every request. */
export async function startHttpSink(
  t: TestContext,
  options: HttpSinkOptions = {}
): Promise<HttpSink> {
  const { status = 201, tls, clientAuthority, credentials, headers = [] } = options
  const port = await freePort()
  const directives = [
    `listen 127.0.0.1:${port} ${tls === undefined ? '' : 'ssl http2'};`,
    ...(tls === undefined ? [] : serverTls(tls, clientAuthority)),
    ...(credentials === undefined ? [] : ['auth_basic sink;', 'auth_basic_user_file users;'])
  ]
  const logged = [...HEADERS, ...headers].map(
    name => `"${name}":"$http_${name.replaceAll('-', '_')}"`
  )
  // A body is stored once nginx has it to send it on, so it does that, to itself.
  const peer = await startNginx(t, port, {
    users: `${credentials?.user}:{PLAIN}${credentials?.password}\n`,
    'nginx.conf': `${GLOBAL}
http {
  client_body_temp_path FOLDER/bodies;
  proxy_temp_path FOLDER/proxied;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  log_format stored escape=json '{"method":"$request_method","uri":"$request_uri",'
    '"protocol":"$server_protocol","status":$status,"connection":$connection,'
    '"headers":{${logged.join(',')}},"bodyFile":"$request_body_file"}';
  server {
    ${directives.join('\n    ')}
    access_log FOLDER/requests stored;
    client_max_body_size 0;
    client_body_in_file_only on;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    location / { proxy_pass http://unix:FOLDER/answer; }
  }
  server {
    listen unix:FOLDER/answer;
    access_log off;
    return ${status};
  }
}
`
  })
  const requests = (): StoredRequest[] => peer.lines('requests').map(readRequest)
  return {
    peer,
    port,
    requests,
    until: async count => {
      await peer.until(() => peer.lines('requests').length >= count)
      return requests()
    }
  }
}

function readRequest(line: string): StoredRequest {
  const { bodyFile, ...request } = JSON.parse(line) as StoredRequest & { bodyFile: string }
  return { ...request, body: bodyFile === '' ? Buffer.alloc(0) : readFileSync(bodyFile) }
}

export interface TlsProxyOptions {
  /** Port on 127.0.0.1 that connections are passed on to. */
  readonly to: number
  /** What it shows to those who connect; without, they connect in the clear. */
  readonly accept?: KeyPair
  /** For `accept`: they need a certificate of this authority. */
  readonly clientAuthority?: string
  /** Has it connect with TLS, to a server called localhost that this authority signed. */
  readonly authority?: string
  /** For `authority`: what it shows to the server. */
  readonly client?: KeyPair
}

/** Starts nginx between a client and a server of which one speaks TLS and the other does not. */
export async function startTlsProxy(
  t: TestContext,
  { to, accept, clientAuthority, authority, client }: TlsProxyOptions
): Promise<{ readonly peer: Peer; readonly port: number }> {
  const port = await freePort()
  const directives = [
    `listen 127.0.0.1:${port} ${accept === undefined ? '' : 'ssl'};`,
    `proxy_pass 127.0.0.1:${to};`,
    ...(accept === undefined ? [] : serverTls(accept, clientAuthority)),
    ...(authority === undefined
      ? []
      : [
          'proxy_ssl on;',
          'proxy_ssl_protocols TLSv1.2 TLSv1.3;',
          'proxy_ssl_verify on;',
          'proxy_ssl_name localhost;',
          'proxy_ssl_server_name on;',
          `proxy_ssl_trusted_certificate ${authority};`
        ]),
    ...(client === undefined
      ? []
      : [
          `proxy_ssl_certificate ${client.certificate};`,
          `proxy_ssl_certificate_key ${client.key};`
        ])
  ]
  const peer = await startNginx(t, port, {
    'nginx.conf': `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
${GLOBAL}
stream { server { ${directives.join('\n')} } }
`
  })
  return { peer, port }
}

const GLOBAL = `
daemon off;
master_process off;
pid FOLDER/pid;
error_log stderr notice;
events {}
`

function serverTls({ certificate, key }: KeyPair, clientAuthority: string | undefined): string[] {
  const directives = [
    'ssl_protocols TLSv1.2 TLSv1.3;',
    `ssl_certificate ${certificate};`,
    `ssl_certificate_key ${key};`
  ]
  if (clientAuthority === undefined) return directives
  return [...directives, `ssl_client_certificate ${clientAuthority};`, 'ssl_verify_client on;']
}

async function startNginx(
  t: TestContext,
  port: number,
  files: Readonly<Record<string, string>>
): Promise<Peer> {
  return startPeer(t, {
    program: 'nginx',
    args: ['-p', 'FOLDER', '-c', 'FOLDER/nginx.conf', '-e', 'stderr'],
    files,
    ready: () => listens(port)
  })
}
