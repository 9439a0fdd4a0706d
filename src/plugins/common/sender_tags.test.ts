import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TAG_BYTES_MAX, TAGS_IDLE_MAX } from '../../base/limits.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import type { EventSink, InputContext } from '../../plugin/context.ts'
import { decodeEvents } from '../../record/event.ts'
import { beginEvent } from './send_event.ts'
import { SenderTags } from './sender_tags.ts'

/** An engine of sinks. */
class Sinks {
  readonly sinks = new Map<string, EventSink>()
  /** The most sinks that there were at once. */
  most = 0
  /** Bodies by tag. */
  readonly taken: Record<string, unknown[]> = {}
  readonly receipts: (() => void)[] = []
  readonly context = {
    tag: 'in',
    sink: (tag: string) => this.#sink(tag),
    forget: (tag: string) => void this.sinks.delete(tag)
  } as unknown as InputContext

  #sink(tag: string): EventSink {
    const writer = new MsgpackWriter()
    const sink: EventSink = this.sinks.get(tag) ?? {
      tag,
      writer,
      commit: (count, receipt) => {
        const bodies = Array.from(decodeEvents(writer.written()), ({ body }) => body)
        assert.equal(bodies.length, count)
        this.taken[tag] = [...(this.taken[tag] ?? []), ...bodies]
        writer.length = 0
        if (receipt !== undefined) this.receipts.push(receipt)
      }
    }
    this.sinks.set(tag, sink)
    this.most = Math.max(this.most, this.sinks.size)
    return sink
  }
}

function write(tags: SenderTags, tag: string, bodies: readonly Record<string, string>[]): void {
  const out = tags.writer(tag)
  for (const body of bodies) {
    beginEvent(out, 0)
    out.value(body)
  }
}

test('events of one request go to the sinks of their tags; the receipt comes when the last is done', () => {
  const engine = new Sinks()
  const tags = new SenderTags('$t', engine.context)
  let answers = 0
  for (const round of ['1', '2']) {
    write(tags, 'path', [{ t: 'x', round }, { t: 'y' }, {}, { t: 'x' }])
    tags.commit('path', 4, () => answers++)
    assert.equal(engine.receipts.length, 3)
    for (const receipt of engine.receipts.splice(0)) {
      assert.equal(answers, Number(round) - 1)
      receipt()
    }
    assert.equal(answers, Number(round))
  }
  assert.deepEqual(
    Object.entries(engine.taken).map(([tag, bodies]) => [tag, bodies.length]),
    [
      ['x', 4],
      ['y', 2],
      ['path', 2]
    ]
  )
})

test('a tag that is too long is cut', () => {
  const engine = new Sinks()
  const tags = new SenderTags('$t', engine.context)
  write(tags, 'in', [{ t: 'x'.repeat(TAG_BYTES_MAX + 1) }])
  tags.commit('in', 1, () => {})
  assert.deepEqual(Object.keys(engine.taken), ['x'.repeat(TAG_BYTES_MAX)])
})

test('a request without events is answered at once', () => {
  const engine = new Sinks()
  const tags = new SenderTags(undefined, engine.context)
  let answers = 0
  tags.writer('a')
  tags.commit('a', 0, () => answers++)
  assert.equal(answers, 1)
})

test('tags of paths and of records are forgotten when there are too many, the oldest first', () => {
  for (const key of [undefined, '$t']) {
    const engine = new Sinks()
    const tags = new SenderTags(key, engine.context)
    const names = Array.from({ length: TAGS_IDLE_MAX * 3 }, (_, index) => `t${index}`)
    if (key === undefined) {
      for (const name of names) {
        write(tags, name, [{}])
        tags.commit(name, 1, () => {})
      }
    } else {
      write(
        tags,
        'in',
        names.map(t => ({ t }))
      )
      tags.commit('in', names.length, () => {})
    }
    assert.equal(Object.keys(engine.taken).length, names.length)
    assert.ok(engine.most <= TAGS_IDLE_MAX * 2, `${engine.most}`)
    assert.ok(engine.sinks.has(names.at(-1) ?? ''))
    assert.ok(!engine.sinks.has('t0'))
  }
})
