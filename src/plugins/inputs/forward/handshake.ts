/**
 * The server's side of the handshake, before which nothing of a connection is taken.
 * Source: Fluent Bit 5.1.1 plugins/in_forward/fw_prot.c check_ping(), send_pong().
 */
import { skipChecked } from '../../../codec/msgpack_reader.ts'
import { type Encodable, MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import {
  digestsMatch,
  HANDSHAKE_BYTES_MAX,
  itemsOf,
  keyDigest,
  passwordDigest,
  randomText,
  textAt
} from '../../common/forward_handshake.ts'

export interface HandshakeSettings {
  readonly sharedKey: string
  /** Without any, everybody with the key is let in. */
  readonly users: readonly { readonly name: string; readonly password: string }[]
  readonly hostname: string
}

/** How a handshake ended. */
export interface HandshakeResult {
  readonly isGreeted: boolean
  /** What to send to the client, if anything. */
  readonly pong?: Buffer
  /** Why it failed, for the log. */
  readonly fault?: string
  /** What came behind the client's part. */
  readonly rest: Buffer
}

const NOTHING = Buffer.alloc(0)

export class Handshake {
  readonly #settings: HandshakeSettings
  readonly #nonce = randomText()
  readonly #salt = randomText()
  #received = NOTHING

  constructor(settings: HandshakeSettings) {
    this.#settings = settings
  }

  /** What the server sends first. */
  get hello(): Buffer {
    const options = { nonce: this.#nonce.toString(), auth: this.#salt.toString() }
    return packed(['HELO', options])
  }

  /** Takes what the client sent; undefined while that is not its whole part. */
  take(bytes: Buffer): HandshakeResult | undefined {
    this.#received = Buffer.concat([this.#received, bytes])
    const end = skipChecked(this.#received, 0, this.#received.length)
    const rest = end > 0 ? this.#received.subarray(end) : NOTHING
    if (end > 0 && end <= HANDSHAKE_BYTES_MAX) return { ...this.#answer(this.#received), rest }
    const isTooLong = end > 0 || this.#received.length > HANDSHAKE_BYTES_MAX
    return end === -1 && !isTooLong
      ? undefined
      : { isGreeted: false, fault: 'handshake error expecting PING', rest }
  }

  #answer(ping: Buffer): Omit<HandshakeResult, 'rest'> {
    const fields = itemsOf(ping)?.map(at => textAt(ping, at))
    if (fields?.length !== 6 || fields.includes(undefined)) {
      return { isGreeted: false, fault: 'Invalid PING message' }
    }
    const [word = NOTHING, hostname = NOTHING, salt = NOTHING, digest = NOTHING] = fields
    if (!word.equals(Buffer.from('PING'))) {
      return { isGreeted: false, fault: 'handshake error expecting PING' }
    }
    const { sharedKey, hostname: ownName } = this.#settings
    if (!digestsMatch(digest, keyDigest(salt, hostname, this.#nonce, sharedKey))) {
      return { isGreeted: false, fault: 'shared_key mismatch' }
    }
    const [, , , , user = NOTHING, password = NOTHING] = fields
    if (!this.#isUser(user, password)) {
      const pong = packed(['PONG', false, 'username/password mismatch', '', ''])
      return { isGreeted: false, pong, fault: 'user authentication is failed' }
    }
    const proof = keyDigest(salt, ownName, this.#nonce, sharedKey).toString()
    return { isGreeted: true, pong: packed(['PONG', true, '', ownName, proof]) }
  }

  /** Looks at every user, so that the time it takes does not tell who there is. */
  #isUser(user: Buffer, digest: Buffer): boolean {
    const { users } = this.#settings
    let found = users.length === 0
    for (const { name, password } of users) {
      const isRight = digestsMatch(digest, passwordDigest(this.#salt, name, password))
      found = (Buffer.from(name).equals(user) && isRight) || found
    }
    return found
  }
}

function packed(value: Encodable): Buffer {
  const out = new MsgpackWriter(512)
  out.value(value)
  return out.written()
}
