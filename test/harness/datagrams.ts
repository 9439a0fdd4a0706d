/** Sends UDP, as a program beside the agent does. */
import { createSocket } from 'node:dgram'

/** Sends datagrams to a port of this machine, in their order; resolves when the system has them. */
export async function sendDatagrams(
  port: number,
  datagrams: readonly (string | Uint8Array)[]
): Promise<void> {
  const socket = createSocket('udp4')
  for (const bytes of datagrams) {
    await new Promise<void>((resolve, reject) => {
      socket.send(bytes, port, '127.0.0.1', cause => {
        if (cause === null) resolve()
        else reject(cause)
      })
    })
  }
  await new Promise<void>(resolve => socket.close(() => resolve()))
}
