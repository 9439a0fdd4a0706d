/**
 * The body of a request to Elasticsearch's bulk API: actions, each but `delete` with a document behind it.
 *
 *     body   = *( action [ document ] )            one JSON value a line; Fluent Bit takes them without lines too
 *     action = { "index" | "create" | "update" | "delete": { … } }
 *
 * The document of an `index` or a `create` becomes a record, with the action as its first pair. An `update` is answered
 * with 403, a `delete` with 404; an action of another name with 400, and what follows it is passed over.
 * Source: Fluent Bit 5.1.1 plugins/in_elasticsearch/in_elasticsearch_bulk_prot.c process_ndpack().
 *
 * @hot bench/pipelines.ts
 */
import { MALFORMED, skipWhiteSpace, transcodeJson } from '../../../codec/json_reader.ts'
import { contentCount, headerSize, isMap } from '../../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { EVENT_HEADER_BYTES } from '../../../record/event.ts'
import { beginEvent } from '../../common/send_event.ts'

const LINE_FEED = 0x0a

/** What is done with an action, and how it is answered. */
interface Action {
  /** As it stands in MessagePack. */
  readonly name: Buffer
  readonly hasDocument: boolean
  readonly isTaken: boolean
  readonly item: string
  /** The answer where the document is no map. */
  readonly badItem: string
}

const ACTIONS: readonly Action[] = [
  action('index', 201, 'created'),
  action('create', 201, 'created'),
  action('update', 403, 'forbidden'),
  action('delete', 404, 'not_found')
]

const UNKNOWN_ITEM = itemOf('unknown', 400, 'bad_request')

function action(name: string, status: number, result: string): Action {
  const encoded = new MsgpackWriter(16)
  encoded.string(name)
  return {
    name: encoded.written(),
    hasDocument: name !== 'delete',
    isTaken: status === 201,
    item: itemOf(name, status, result),
    badItem: itemOf(name, 400, 'bad_request')
  }
}

function itemOf(name: string, status: number, result: string): string {
  return JSON.stringify({ [name]: { status, result } })
}

/** Why a document, or the rest of a body, is not taken. */
export type BulkRefusal = 'malformed' | 'update' | 'unknown_action'

/** Gets what is not taken, with the bytes of its action and document. */
export type RefuseDocument = (reason: BulkRefusal, bytes: number) => void

/** Writes the events of one body. */
export class BulkReader {
  /** The answers so far: JSON, separated by commas. */
  items = ''
  /** True when an action was not done. */
  hasErrors = false
  /** Events written. */
  count = 0
  readonly #body: Buffer
  readonly #metaKey: Buffer
  readonly #timeMs: number
  readonly #out: MsgpackWriter
  readonly #refuse: RefuseDocument

  /**
   * @param metaKey Key of the action in the record, as MessagePack.
   * @param timeMs Time of the events, in milliseconds since the epoch.
   */
  constructor(
    body: Buffer,
    metaKey: Buffer,
    timeMs: number,
    out: MsgpackWriter,
    refuse: RefuseDocument
  ) {
    this.#body = body
    this.#metaKey = metaKey
    this.#timeMs = timeMs
    this.#out = out
    this.#refuse = refuse
  }

  /** False where something else stands in place of an action: the body is none, and what was written is void. */
  read(): boolean {
    const body = this.#body
    const end = body.length
    let at = skipWhiteSpace(body, 0, end)
    if (at === end) return false
    while (at < end) {
      const next = this.#action(at)
      if (next < 0) return false
      at = skipWhiteSpace(body, next, end)
    }
    return true
  }

  /** Reads an action and its document; gives the position after them, or below 0 where there is no action. */
  #action(at: number): number {
    const body = this.#body
    const out = this.#out
    const start = out.length
    beginEvent(out, this.#timeMs)
    out.mapHeader(1)
    out.raw(this.#metaKey, 0, this.#metaKey.length)
    const actionAt = out.length
    const next = transcodeJson(body, at, body.length, out)
    if (next < 0) return next
    if (!isFilledMap(out.bytes, actionAt)) return MALFORMED
    const found = findAction(out.bytes, actionAt)
    if (found?.hasDocument === true) return this.#document(found, at, next, start)
    out.length = start
    if (found !== undefined) {
      this.#answer(found.item, true)
      return next
    }
    this.#answer(UNKNOWN_ITEM, true)
    this.#refuse('unknown_action', body.length - at)
    return body.length
  }

  /**
   * Reads the document of an action, which is at `at` and ends at `actionEnd`, and completes the event that starts at
   * `start` or takes it back.
   */
  #document(found: Action, at: number, actionEnd: number, start: number): number {
    const body = this.#body
    const out = this.#out
    const documentAt = out.length
    const next = transcodeJson(body, actionEnd, body.length, out)
    if (next >= 0 && isMap(out.bytes[documentAt])) {
      this.#answer(found.item, !found.isTaken)
      if (found.isTaken) {
        mergeMap(out, documentAt, start + EVENT_HEADER_BYTES)
        this.count++
      } else {
        out.length = start
        this.#refuse('update', next - at)
      }
      return next
    }
    out.length = start
    const after = next < 0 ? lineEnd(body, actionEnd) : next
    this.#answer(found.badItem, true)
    this.#refuse('malformed', after - at)
    return after
  }

  #answer(item: string, isError: boolean): void {
    this.items += this.items === '' ? item : `,${item}`
    this.hasErrors ||= isError
  }
}

function isFilledMap(bytes: Buffer, at: number): boolean {
  return isMap(bytes[at]) && contentCount(bytes, at) > 0
}

/** The action that the first key of the map at `mapAt` names. */
function findAction(bytes: Buffer, mapAt: number): Action | undefined {
  const at = mapAt + headerSize(bytes[mapAt])
  for (const candidate of ACTIONS) if (startsWith(bytes, at, candidate.name)) return candidate
  return undefined
}

function startsWith(bytes: Buffer, at: number, wanted: Buffer): boolean {
  for (let index = 0; index < wanted.length; index++) {
    if (bytes[at + index] !== wanted[index]) return false
  }
  return true
}

/** Makes the pairs of the map at `documentAt`, the last of the buffer, pairs of the map at `bodyAt`, which has one. */
function mergeMap(out: MsgpackWriter, documentAt: number, bodyAt: number): void {
  const count = contentCount(out.bytes, documentAt)
  const header = headerSize(out.bytes[documentAt])
  out.bytes.copyWithin(documentAt, documentAt + header, out.length)
  out.length -= header
  out.endMap(bodyAt, count + 1)
}

/** The position after the line of a document that cannot be read. */
function lineEnd(body: Buffer, actionEnd: number): number {
  const start = skipWhiteSpace(body, actionEnd, body.length)
  const feed = body.indexOf(LINE_FEED, start)
  return feed < 0 ? body.length : feed + 1
}
