/** What the server of the forward protocol says: values of MessagePack, one after the other. */
import { isMap, isString, skipChecked } from '../../../codec/msgpack_reader.ts'
import type { Connection } from '../../../net/connection.ts'
import { findKey } from '../../../record/accessor.ts'
import { HANDSHAKE_BYTES_MAX, textAt } from '../../common/forward_handshake.ts'

/** The server has said something wrong: the connection is of no more use. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError'
  readonly reason: string

  constructor(reason: string, words: string) {
    super(words)
    this.reason = reason
  }
}

const ACK = Buffer.from('ack')

/**
 * Reads one whole value.
 *
 * @throws {NetworkError} When it does not come in time, or not at all.
 * @throws {AnswerError} With this reason and these words when what comes is no MessagePack, or too long.
 */
export async function readAnswer(
  connection: Connection,
  limitMs: number,
  reason: string,
  words: string
): Promise<Buffer> {
  let bytes = await connection.read(limitMs)
  for (;;) {
    const end = skipChecked(bytes, 0, bytes.length)
    if (end > 0 && end <= HANDSHAKE_BYTES_MAX) {
      connection.unread(bytes.subarray(end))
      return bytes.subarray(0, end)
    }
    if (end !== -1 || bytes.length > HANDSHAKE_BYTES_MAX) throw new AnswerError(reason, words)
    bytes = Buffer.concat([bytes, await connection.read(limitMs)])
  }
}

/**
 * Waits for `{"ack": token}`.
 *
 * @throws {NetworkError} When it does not come in time, or not at all.
 * @throws {AnswerError} When something else comes.
 */
export async function readAck(
  connection: Connection,
  token: string,
  limitMs: number
): Promise<void> {
  const answer = await readAnswer(connection, limitMs, 'bad_ack', 'cannot get ack')
  if (!isMap(answer[0])) throw new AnswerError('bad_ack', 'ACK response not MAP')
  const at = findKey(answer, 0, ACK)
  const found = at < 0 || !isString(answer[at]) ? undefined : textAt(answer, at)
  if (found === undefined) throw new AnswerError('bad_ack', 'ack: ack not found')
  if (found.equals(Buffer.from(token))) return
  const words = `ACK: mismatch received=${found.toString()}, expected=(${token})`
  throw new AnswerError('ack_mismatch', words)
}
