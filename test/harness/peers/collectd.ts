/** collectd, as a sender of its binary protocol. */
import { connect } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Peer, startPeer } from '../peers.ts'

export interface Collectd {
  readonly peer: Peer
  /**
   * Has values sent, at once.
   *
   * @param identifier `host/plugin-instance/type-instance`; the type tells how many values there are.
   * @param values Seconds since 1970 and the values, joined by colons, as in `1700000000:1:2`.
   */
  put(identifier: string, values: string): Promise<void>
}

/** Starts a collectd that sends what it is told to a UDP port of 127.0.0.1. */
export async function startCollectd(t: TestContext, port: number): Promise<Collectd> {
  const peer = await startPeer(t, {
    program: 'collectd',
    args: ['-f', '-C', 'FOLDER/collectd.conf'],
    files: {
      'collectd.conf': `
BaseDir "FOLDER"
PIDFile "FOLDER/pid"
TypesDB "/usr/share/collectd/types.db"
FQDNLookup false
LoadPlugin network
LoadPlugin unixsock
<Plugin network>
  Server "127.0.0.1" "${port}"
</Plugin>
<Plugin unixsock>
  SocketFile "FOLDER/socket"
</Plugin>
`
    },
    ready: async ({ folder }) => (await ask(folder, 'LISTVAL')).startsWith('0 ')
  })
  return {
    peer,
    put: async (identifier, values) => {
      await tell(peer, `PUTVAL "${identifier}" interval=10 ${values}`)
      await tell(peer, 'FLUSH plugin=network')
    }
  }
}

async function tell({ folder }: Peer, command: string): Promise<void> {
  const answer = await ask(folder, command)
  if (!answer.startsWith('0 ')) throw new Error(`collectd ${command}: ${answer}`)
}

/** First line of an answer, `0 Success: …`; empty while collectd does not listen. */
async function ask(folder: string, command: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(join(folder, 'socket'))
    socket.setEncoding('utf8')
    socket.on('error', () => resolve(''))
    socket.on('data', (text: string) => {
      resolve(text)
      socket.end()
    })
    socket.write(`${command}\n`)
  })
}
