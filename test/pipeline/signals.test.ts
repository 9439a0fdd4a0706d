/** Metrics and traces: they pass as they came, to the outputs that take them, past processors and filters. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Signal } from '../../src/base/signal.ts'
import { defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, drop, OK, partial } from '../../src/plugin/delivery.ts'
import { readFluentBitChunk } from '../../src/storage/fluent_bit_chunk.ts'
import { balanced, Machine } from '../harness/machine.ts'

const RECORDED = join(import.meta.dirname, '../data/fluent_bit_chunks')

/** The content of a chunk file of the real program: one context. */
const METRICS = contextIn('metrics.flb')
const TRACES = contextIn('traces.flb')

function contextIn(name: string): Buffer {
  const read = readFluentBitChunk(readFileSync(join(RECORDED, name)), { checksum: false })
  return read.ok ? read.chunk.content : assert.fail(read.reason)
}

interface Taken {
  readonly signal: Signal
  readonly tag: string
  readonly events: number
  readonly bytes: Buffer
}

/** An output `relay` that takes everything and keeps it in `taken`. */
function relay(taken: Taken[], answer: (view: Taken) => Delivery = () => OK): Plugin {
  return defineOutput({
    name: 'relay',
    summary: 'Keeps chunks of all signals',
    signals: ['logs', 'metrics', 'traces'],
    options: {},
    create: () => ({
      flush({ signal, tag, events, bytes }) {
        const view = { signal, tag, events, bytes: Buffer.from(bytes) }
        taken.push(view)
        return answer(view)
      }
    })
  })
}

function push(machine: Machine, tag: string, signal: Signal, ...contexts: Buffer[]): void {
  const sink = machine.context(tag).sink(tag, signal)
  for (const context of contexts) sink.writer.raw(context, 0, context.length)
  sink.commit(contexts.length)
}

const CONFIGURATION = `
[SERVICE]
    flush         1
    storage.path  STORE
[INPUT]
    name          source
    tag           app
    storage.type  STORAGE
[FILTER]
    name          grep
    match         *
    exclude       word no
[OUTPUT]
    name          target
    match         *
[OUTPUT]
    name          relay
    match         *
    retry_limit   no_limits
`

test('metrics and traces go to the outputs that take them, unfiltered and apart from logs', async t => {
  const machine = new Machine(t)
  const taken: Taken[] = []
  const run = await machine.start(CONFIGURATION.replace('STORAGE', 'memory'), {
    plugins: [relay(taken)]
  })
  push(machine, 'app', 'metrics', METRICS, METRICS)
  machine.push('app', { word: 'no' }, { kept: true })
  push(machine, 'app', 'traces', TRACES)
  run.clock.advance(1000)
  await run.until(() => taken.length === 3)
  const found = new Map(taken.map(view => [view.signal, view]))
  assert.deepEqual(found.get('metrics'), {
    signal: 'metrics',
    tag: 'app',
    events: 2,
    bytes: Buffer.concat([METRICS, METRICS])
  })
  assert.deepEqual(found.get('traces')?.bytes, TRACES)
  assert.equal(found.get('logs')?.events, 1)
  assert.deepEqual(
    machine.arrivals.map(({ bodies }) => bodies),
    [[{ kept: true }]]
  )
  balanced(run)
  await run.stop()
})

test('metrics that nobody takes are counted as unmatched', async t => {
  const machine = new Machine(t)
  const run = await machine.start(`
[INPUT]
    name   source
    tag    app
[OUTPUT]
    name   target
    match  *
`)
  push(machine, 'app', 'metrics', METRICS)
  const labels = { input: 'source.0', output: 'unmatched' }
  assert.equal(run.counter('fluentbit_routing_logs_drop_records_total', labels), 1)
  balanced(run)
  await run.stop()
})

test('after a crash metrics are still metrics, and one of them may be sent again alone', async t => {
  const machine = new Machine(t)
  const configuration = CONFIGURATION.replace('STORAGE', 'filesystem')
  const first = await machine.start(configuration, {
    plugins: [relay([], () => ({ kind: 'retry', reason: 'down' }))]
  })
  push(machine, 'app', 'metrics', METRICS, METRICS)
  await first.until(() => machine.files().length === 1)
  // Nothing stops: the process is gone.
  const taken: Taken[] = []
  const second = await machine.start(configuration, {
    plugins: [relay(taken, ({ events }) => (events === 2 ? partial({ retry: [1] }) : OK))]
  })
  await second.until(() => taken.length === 1)
  second.clock.advance(3_600_000)
  await second.until(() => taken.length === 2)
  assert.deepEqual(
    taken.map(({ signal, events, bytes }) => [signal, events, bytes]),
    [
      ['metrics', 2, Buffer.concat([METRICS, METRICS])],
      ['metrics', 1, METRICS]
    ]
  )
  assert.deepEqual(machine.files(), [])
  await second.stop()
})

test('a dead letter of metrics is one for Fluent Bit too', async t => {
  const machine = new Machine(t)
  const service = 'storage.path  STORE\n    storage.keep.rejected on'
  const configuration = CONFIGURATION.replace('storage.path  STORE', service)
  const run = await machine.start(configuration.replace('STORAGE', 'memory'), {
    plugins: [relay([], () => drop('refused'))]
  })
  push(machine, 'app', 'metrics', METRICS)
  run.clock.advance(1000)
  await run.until(() => machine.files('"signal":"metrics"').length === 1)
  const [letter] = machine.files('"signal":"metrics"')
  assert.match(letter ?? '', /^rejected\/app_0_relay\.1_0x[\da-f]+\.flb$/)
  const file = readFileSync(join(machine.store, letter ?? ''))
  assert.deepEqual([file[24 + 2], file.includes(METRICS)], [1, true])
  await run.stop()
})
