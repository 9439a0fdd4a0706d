/** tinyproxy, a forward proxy that passes on requests and connects tunnels. */
import type { TestContext } from 'node:test'
import { freePort, listens, type Peer, startPeer } from '../peers.ts'

export interface ForwardProxy {
  readonly peer: Peer
  readonly port: number
  /** What it was asked, such as `CONNECT localhost:443 HTTP/1.1`, with or without success. */
  requests(): string[]
}

/** Starts tinyproxy; with credentials it refuses with 407 who does not say them. */
export async function startForwardProxy(
  t: TestContext,
  credentials?: { readonly user: string; readonly password: string }
): Promise<ForwardProxy> {
  const port = await freePort()
  const auth =
    credentials === undefined ? '' : `BasicAuth ${credentials.user} ${credentials.password}`
  const peer = await startPeer(t, {
    program: 'tinyproxy',
    args: ['-d', '-c', 'FOLDER/tinyproxy.conf'],
    files: {
      'tinyproxy.conf': `
Listen 127.0.0.1
Port ${port}
LogFile "FOLDER/log"
LogLevel Connect
Timeout 60
${auth}
`
    },
    ready: () => listens(port)
  })
  return {
    peer,
    port,
    requests: () =>
      Array.from(
        peer.read('log').matchAll(/Request \(file descriptor \d+\): (.*)/g),
        ([, it]) => it
      )
  }
}
