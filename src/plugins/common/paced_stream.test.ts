import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { InputContext } from '../../plugin/context.ts'
import { PacedStream } from './paced_stream.ts'

interface Flow {
  readonly stream: PassThrough
  readonly paced: PacedStream
  /** The room and the hold of the engine. */
  readonly engine: { paused: boolean; room: PromiseWithResolvers<void> | undefined }
  readonly taken: string[]
}

function start(): Flow {
  const engine: Flow['engine'] = { paused: false, room: undefined }
  const context = {
    get paused() {
      return engine.paused
    },
    ready: () => engine.room?.promise
  }
  const stream = new PassThrough()
  const taken: string[] = []
  // Nothing else of the context is used.
  const paced = new PacedStream(stream, context as unknown as InputContext, bytes =>
    taken.push(bytes.toString())
  )
  return { stream, paced, engine, taken }
}

async function write({ stream }: Flow, text: string): Promise<void> {
  stream.write(text)
  await nextTurn()
}

test('bytes are taken as they come', async () => {
  const flow = start()
  await write(flow, 'a')
  await write(flow, 'b')
  assert.deepEqual(flow.taken, ['a', 'b'])
})

test('nothing is read until deliveries have made room', async () => {
  const flow = start()
  flow.engine.room = Promise.withResolvers()
  await write(flow, 'a')
  await write(flow, 'b')
  flow.paced.resume()
  await nextTurn()
  assert.deepEqual(flow.taken, ['a'])
  const { room } = flow.engine
  flow.engine.room = undefined
  room.resolve()
  await nextTurn()
  await nextTurn()
  assert.deepEqual(flow.taken, ['a', 'b'])
})

test('room does not let an input go on that is held back', async () => {
  const flow = start()
  flow.engine.room = Promise.withResolvers()
  await write(flow, 'a')
  await write(flow, 'b')
  flow.engine.paused = true
  flow.paced.pause()
  flow.engine.room.resolve()
  await nextTurn()
  assert.deepEqual(flow.taken, ['a'])
  flow.engine.paused = false
  flow.engine.room = undefined
  flow.paced.resume()
  await nextTurn()
  assert.deepEqual(flow.taken, ['a', 'b'])
})

test('nothing is taken any more after detach', async () => {
  const flow = start()
  await write(flow, 'a')
  flow.paced.detach()
  await write(flow, 'b')
  assert.deepEqual(flow.taken, ['a'])
  assert.equal(flow.stream.destroyed, false)
})

test('a stream that was left is read again by the next one', async () => {
  const flow = start()
  flow.paced.detach()
  const taken: string[] = []
  const context = { paused: false, ready: () => undefined } as unknown as InputContext
  const next = new PacedStream(flow.stream, context, bytes => taken.push(bytes.toString()))
  await write(flow, 'a')
  assert.deepEqual([flow.taken, taken], [[], ['a']])
  next.detach()
})
