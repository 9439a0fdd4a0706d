/** What an input in a thread sends, when, and what holds it back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { THREAD_BATCH_BYTES, THREAD_BYTES_MAX } from '../../base/limits.ts'
import type { Timer } from '../../base/clock.ts'
import type { EventSink } from '../../plugin/context.ts'
import type { Input } from '../../plugin/define.ts'
import type { Parcel } from './parcel.ts'
import type { InputEntry, InputMessage, OutputMessage, ThreadMessage } from './protocol.ts'
import { HostedInput } from './hosted_input.ts'

/** A thread's end of the line, and what came out of it. */
class Line {
  readonly sent: InputEntry[] = []
  drained = 0
  readonly input: HostedInput

  constructor(batchesMax: number, timers: ReadonlySet<Timer> = new Set()) {
    const link = {
      post: (message: ThreadMessage | InputMessage | OutputMessage) => {
        if (message.kind === 'entries') this.sent.push(...message.entries)
        else if (message.kind === 'drained') this.drained++
      },
      sendFigures: () => {}
    }
    this.input = new HostedInput(link, batchesMax, timers)
  }

  /** Kind, tag and events of what was sent, in order. */
  get shown(): string[] {
    return this.sent.map(entry => {
      if (entry.kind === 'flush') return 'flush'
      if (entry.kind === 'forget') return `forget ${entry.tag}`
      return `${entry.tag} ${entry.events}`
    })
  }

  get parcels(): Parcel[] {
    return this.sent.flatMap(entry => (entry.kind === 'batch' ? [entry.parcel] : []))
  }
}

function write(sink: EventSink, bytes: number, receipt?: () => void): void {
  sink.writer.raw(Buffer.alloc(bytes, 1), 0, bytes)
  sink.commit(1, receipt)
}

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

test('events of a turn are one batch for each tag, sent at its end', async () => {
  const line = new Line(10)
  for (const tag of ['a', 'b', 'a']) write(line.input.sink(tag), 10)
  assert.equal(line.sent.length, 0)
  await turn()
  assert.deepEqual(
    line.sent.map(
      entry => entry.kind === 'batch' && [entry.tag, entry.events, entry.parcel.length]
    ),
    [
      ['a', 2, 20],
      ['b', 1, 10]
    ]
  )
})

test('a full batch does not wait for the end of the turn', () => {
  const line = new Line(10)
  const sink = line.input.sink('a')
  for (let n = 0; n < 6; n++) write(sink, THREAD_BATCH_BYTES / 2)
  assert.deepEqual(line.shown, ['a 2', 'a 2', 'a 2'])
  for (const { length } of line.parcels) assert.equal(length, THREAD_BATCH_BYTES)
})

test('no more batches are on their way than there may be; later events join the next one', async () => {
  const line = new Line(2)
  const sink = line.input.sink('a')
  for (let n = 0; n < 5; n++) {
    write(sink, 10)
    await turn()
  }
  assert.deepEqual(line.shown, ['a 1', 'a 1'])
  line.input.hear({ kind: 'taken', parcels: line.parcels.slice(0, 1) })
  assert.deepEqual(line.shown, ['a 1', 'a 1', 'a 3'])
})

test('ready waits while too many batches or bytes are on their way', async () => {
  const few = new Line(1)
  assert.equal(few.input.ready(), undefined)
  write(few.input.sink('a'), 10)
  await turn()
  let isReady = false
  void few.input.ready()?.then(() => (isReady = true))
  await turn()
  assert.equal(isReady, false)
  few.input.hear({ kind: 'taken', parcels: few.parcels })
  await turn()
  assert.equal(isReady, true)
  assert.equal(few.input.ready(), undefined)

  const large = new Line(1000)
  while (large.input.ready() === undefined) write(large.input.sink('a'), THREAD_BATCH_BYTES)
  const bytes = large.parcels.reduce((sum, { length }) => sum + length, 0)
  assert.ok(bytes >= THREAD_BYTES_MAX && bytes < THREAD_BYTES_MAX + THREAD_BATCH_BYTES)
})

test('flush and forget keep their place behind the events before them, with credit or without', async () => {
  const line = new Line(1)
  const { input } = line
  write(input.sink('a'), 10)
  write(input.sink('b'), 10)
  input.forget('a')
  input.forget('never seen')
  input.flush()
  write(input.sink('c'), 10)
  await turn()
  assert.deepEqual(line.shown, ['a 1', 'forget a'])
  input.hear({ kind: 'taken', parcels: line.parcels })
  assert.deepEqual(line.shown.slice(2), ['b 1', 'flush'])
  input.hear({ kind: 'taken', parcels: line.parcels.slice(1) })
  assert.deepEqual(line.shown.slice(4), ['c 1'])
})

test('a drain sends all there is, whatever the credit', async () => {
  const line = new Line(1)
  for (const tag of ['a', 'b', 'c']) write(line.input.sink(tag), 10)
  line.input.hear({ kind: 'drain' })
  assert.deepEqual(line.shown, ['a 1', 'b 1', 'c 1'])
  assert.equal(line.drained, 1)
  await turn()
  assert.equal(line.sent.length, 3)
})

test('receipts are due when their batch is settled, once', async () => {
  const line = new Line(10)
  const due: number[] = []
  for (let n = 0; n < 2; n++) write(line.input.sink('a'), 10, () => due.push(n))
  await turn()
  write(line.input.sink('a'), 10, () => due.push(2))
  write(line.input.sink('b'), 10)
  await turn()
  const batches = line.sent.flatMap(entry => (entry.kind === 'batch' ? [entry] : []))
  assert.deepEqual(
    batches.map(({ hasReceipt }) => hasReceipt),
    [true, true, false]
  )
  line.input.hear({ kind: 'settled', number: batches[1].number })
  assert.deepEqual(due, [2])
  line.input.hear({ kind: 'settled', number: batches[0].number })
  line.input.hear({ kind: 'settled', number: batches[0].number })
  assert.deepEqual(due, [2, 0, 1])
})

test('a commit of nothing is settled at once', () => {
  const line = new Line(1)
  let isDue = false
  line.input.sink('a').commit(0, () => (isDue = true))
  assert.ok(isDue)
})

test('the input is paused and resumed, and its timers end before it stops', async () => {
  const calls: string[] = []
  const timer: Timer = { cancel: () => void calls.push('cancel') }
  const line = new Line(1, new Set([timer]))
  const plugin: Input = {
    start: () => void calls.push('start'),
    pause: () => void calls.push(`pause ${line.input.paused}`),
    resume: () => void calls.push(`resume ${line.input.paused}`),
    stop: () => {
      calls.push('stop')
      write(line.input.sink('late'), 10)
    }
  }
  line.input.plugin = plugin
  await line.input.start()
  line.input.hear({ kind: 'pause' })
  line.input.hear({ kind: 'resume' })
  await line.input.stop()
  assert.deepEqual(calls, ['start', 'pause true', 'resume false', 'cancel', 'stop'])
  assert.deepEqual(line.shown, ['late 1'])
})

test('large batches of a busy tag hold what was written, whatever buffers they went through', async () => {
  const line = new Line(1000)
  const sink = line.input.sink('a')
  for (let n = 0; n < 40; n++) {
    // Small ones, ones that make the tag busy, and one that no pooled buffer has room for.
    const length = n === 20 ? 3 * THREAD_BATCH_BYTES : n % 4 === 0 ? 100 : 120_000
    sink.writer.raw(Buffer.alloc(length, n), 0, length)
    sink.commit(1)
    await turn()
    const { buffer, length: sentLength } = line.parcels.at(-1) ?? { buffer: undefined, length: 0 }
    assert.equal(sentLength, length)
    assert.ok(buffer !== undefined && Buffer.from(buffer, 0, length).every(byte => byte === n))
    // Back again, to be used for another batch.
    line.input.hear({ kind: 'taken', parcels: line.parcels.slice(-1) })
  }
})
