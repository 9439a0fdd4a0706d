/**
 * The client's side of the handshake.
 * Source: Fluent Bit 5.1.1 plugins/out_forward/forward.c secure_forward_handshake(), secure_forward_pong().
 */
import { isMap } from '../../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { Connection } from '../../../net/connection.ts'
import { findKey } from '../../../record/accessor.ts'
import {
  digestsMatch,
  itemsOf,
  keyDigest,
  passwordDigest,
  randomText,
  textAt
} from '../../common/forward_handshake.ts'
import { AnswerError, readAnswer } from './answer.ts'
import type { Credentials } from './settings.ts'

const TRUE = 0xc3
const FALSE = 0xc2

const NOTHING = Buffer.alloc(0)

/**
 * @param limitMs Longest wait for each message of the server.
 * @throws {NetworkError} When the server says nothing.
 * @throws {AnswerError} When it says something else, or refuses.
 */
export async function shakeHands(
  connection: Connection,
  credentials: Credentials,
  limitMs: number
): Promise<void> {
  const hello = await readAnswer(connection, limitMs, 'handshake', 'handshake error expecting HELO')
  const { nonce, auth } = readHello(hello)
  const salt = randomText()
  await connection.write(ping(credentials, salt, nonce, auth))
  const pong = await readAnswer(connection, limitMs, 'handshake', 'handshake error expecting PONG')
  checkPong(pong, credentials, salt, nonce)
}

function readHello(hello: Buffer): { readonly nonce: Buffer; readonly auth: Buffer | undefined } {
  const [wordAt = 0, optionsAt = 0] = itemsOf(hello) ?? []
  if (textAt(hello, wordAt)?.toString() !== 'HELO' || !isMap(hello[optionsAt])) {
    throw new AnswerError('handshake', 'Invalid HELO message')
  }
  const option = (name: string): Buffer | undefined => {
    const at = findKey(hello, optionsAt, Buffer.from(name))
    return at < 0 ? undefined : textAt(hello, at)
  }
  const nonce = option('nonce')
  if (nonce === undefined) throw new AnswerError('handshake', 'nonce not found')
  return { nonce, auth: option('auth') }
}

/** @param auth The salt of the password; a server that checks no users may send none. */
function ping(
  { sharedKey, hostname, username, password }: Credentials,
  salt: Buffer,
  nonce: Buffer,
  auth: Buffer | undefined
): Buffer {
  const out = new MsgpackWriter(512)
  const proof = keyDigest(salt, hostname, nonce, sharedKey).toString()
  const user = auth === undefined ? '' : username
  const userProof = auth === undefined ? '' : passwordDigest(auth, username, password).toString()
  out.value(['PING', hostname, salt.toString(), proof, user, userProof])
  return out.written()
}

/** The server, too, must prove that it has the key. */
function checkPong(pong: Buffer, { sharedKey }: Credentials, salt: Buffer, nonce: Buffer): void {
  const items = itemsOf(pong)
  if (items?.length !== 5) throw new AnswerError('handshake', 'invalid PONG message')
  const [wordAt = 0, resultAt = 0, reasonAt = 0, hostnameAt = 0, digestAt = 0] = items
  const result = pong[resultAt]
  if (textAt(pong, wordAt)?.toString() !== 'PONG' || (result !== TRUE && result !== FALSE)) {
    throw new AnswerError('handshake', 'invalid PONG message')
  }
  if (result === FALSE) {
    const why = textAt(pong, reasonAt)?.toString() ?? ''
    throw new AnswerError('unauthorized', `failed authorization: ${why}`)
  }
  const hostname = textAt(pong, hostnameAt) ?? NOTHING
  const digest = textAt(pong, digestAt) ?? NOTHING
  if (!digestsMatch(digest, keyDigest(salt, hostname, nonce, sharedKey))) {
    const words = 'PONG shared_key digest mismatch: server does not hold the same shared_key'
    throw new AnswerError('unauthorized', words)
  }
}
