/** openssl as a TLS client. */
import type { TestContext } from 'node:test'
import { certificates, type KeyPair } from '../certificates.ts'
import { type Peer, startPeer } from '../peers.ts'

export interface TlsClientOptions {
  /** On 127.0.0.1. */
  readonly port: number
  /** What it sends after the handshake. */
  readonly input: string | Uint8Array
  /** What it shows to the server. */
  readonly client?: KeyPair
  /** Such as `-tls1_2` or `-alpn h2`. */
  readonly more?: readonly string[]
}

/**
 * Starts a client that trusts the tests' authority, wants a server called localhost, and stays connected until it is
 * stopped or the server ends it. Its output tells what was agreed upon, and holds what the server sent.
 */
export async function startTlsClient(t: TestContext, options: TlsClientOptions): Promise<Peer> {
  const { port, input, client, more = [] } = options
  const { authority } = certificates()
  const shown = client === undefined ? [] : ['-cert', client.certificate, '-key', client.key]
  const verified = ['-CAfile', authority, '-verify_hostname', 'localhost', '-verify_return_error']
  const target = ['-connect', `127.0.0.1:${port}`, '-servername', 'localhost']
  return startPeer(t, {
    program: 'openssl',
    args: ['s_client', ...target, ...verified, ...shown, '-ign_eof', ...more],
    input,
    ready: ({ output }) => output.includes('Verify return code: 0 (ok)')
  })
}
