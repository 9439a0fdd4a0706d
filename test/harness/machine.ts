/**
 * A machine on which pipelines start, stop, crash and start again: its folders stay, and with them the source that events
 * come from and the targets that they go to. A crash is never to touch the old pipeline again.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Encodable } from '../../src/codec/msgpack_writer.ts'
import type { Decoded } from '../../src/codec/msgpack_reader.ts'
import { imbalance, rowText } from '../../src/engine/ledger.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineInput, defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, OK } from '../../src/plugin/delivery.ts'
import { decodeEvents, writeEventHeader } from '../../src/record/event.ts'
import { type PipelineOptions, startPipeline, type TestPipeline } from './pipeline.ts'

/** What this needs of a test's context. */
interface Cleanup {
  after(remove: () => void): void
}

/** What came to a target, in one flush. */
export interface Arrival {
  /** Alias or name of the output. */
  readonly output: string
  readonly id: string
  readonly tag: string
  readonly bodies: readonly unknown[]
  /** How often this output has seen this chunk, from 1, over all runs. */
  readonly attempt: number
}

/** What a target answers; anything goes, as the plugin may be a user's. */
export type Answer = (arrival: Arrival) => unknown

/** Whether the source of events may forget them. */
export interface PushReceipt {
  /** How often the receipt was called. */
  due: number
}

export class Machine {
  /** For `storage.path`; nothing makes it but the program. */
  readonly store: string
  readonly #root = mkdtempSync(join(tmpdir(), 'spillway-machine-'))
  /** What every target answers, unless a test changes it: all is well. */
  answer: Answer = () => OK
  /** All that targets have seen, in order, taken or not. */
  readonly arrivals: Arrival[] = []
  /** What was called of inputs `source` and `sender`: `pause app`, `resume app`, by their tag. */
  readonly calls: string[] = []
  readonly #taken = new Map<string, unknown[]>()
  readonly #attempts = new Map<string, number>()
  readonly #contexts = new Map<string, InputContext>()
  #nowMs = 1_700_000_000_000

  constructor(test: Cleanup) {
    this.store = join(this.#root, 'store')
    test.after(() => rmSync(this.#root, { recursive: true, force: true }))
  }

  /** Starts a pipeline, a second after the last one was; `STORE` in the configuration stands for the folder. */
  async start(configuration: string, options: PipelineOptions = {}): Promise<TestPipeline> {
    this.#contexts.clear()
    this.#nowMs += 1000
    return startPipeline(configuration.replaceAll('STORE', this.store), {
      directory: this.#root,
      nowMs: this.#nowMs,
      ...options,
      plugins: [
        this.#input('source', 'position'),
        this.#input('sender', 'sender'),
        this.#target,
        ...(options.plugins ?? [])
      ]
    })
  }

  /** Sends events in one commit through the input that has the tag, else through the first. */
  push(tag: string, ...bodies: readonly Encodable[]): PushReceipt {
    const sink = this.context(tag).sink(tag)
    for (const body of bodies) {
      writeEventHeader(sink.writer, 1_700_000_000, 0)
      sink.writer.value(body)
    }
    const receipt = { due: 0 }
    sink.commit(bodies.length, () => receipt.due++)
    return receipt
  }

  /** What the engine gave the input that has the tag, else the first. */
  context(tag = ''): InputContext {
    const found = this.#contexts.get(tag) ?? this.#contexts.values().next().value
    if (found === undefined) throw new Error('the configuration has no input source or sender')
    return found
  }

  /** Bodies that an output has taken, in all runs. */
  taken(output = 'target.0'): readonly unknown[] {
    return this.#taken.get(output) ?? []
  }

  /** Paths below `storage.path`, sorted; with `content`, only those whose content holds it. */
  files(content = ''): string[] {
    let entries
    try {
      entries = readdirSync(this.store, { recursive: true, withFileTypes: true })
    } catch {
      return []
    }
    return entries
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name))
      .filter(path => readFileSync(path, 'latin1').includes(content))
      .map(path => path.slice(this.store.length + 1))
      .toSorted()
  }

  /** Files of chunks. */
  chunkFiles(content = ''): string[] {
    return this.files(content).filter(path => path.startsWith('.spillway/chunks/'))
  }

  /** Reads a file below `storage.path`. */
  read(path: string): Buffer {
    return readFileSync(join(this.store, path))
  }

  /** Writes a file below `storage.path`. */
  write(path: string, content: Buffer | string): void {
    mkdirSync(dirname(join(this.store, path)), { recursive: true })
    writeFileSync(join(this.store, path), content)
  }

  #input(name: string, receipts: 'position' | 'sender'): Plugin {
    return defineInput({
      name,
      summary: 'What a test pushes, with a receipt',
      receipts,
      options: {},
      create: (_, context) => ({
        start: () => void this.#contexts.set(context.tag, context),
        pause: () => void this.calls.push(`pause ${context.tag}`),
        resume: () => void this.calls.push(`resume ${context.tag}`)
      })
    })
  }

  readonly #target: Plugin = defineOutput({
    name: 'target',
    summary: 'Keeps what it takes',
    options: {},
    create: (_, { label }) => ({
      flush: ({ id, tag, bytes }) => {
        const bodies = [...decodeEvents(bytes)].map(({ body }) => plain(body))
        const key = `${label} ${id}`
        const attempt = (this.#attempts.get(key) ?? 0) + 1
        this.#attempts.set(key, attempt)
        const arrival = { output: label, id, tag, bodies, attempt }
        this.arrivals.push(arrival)
        const answer = this.answer(arrival)
        if (answer instanceof Promise) {
          return answer.then((late: unknown) => this.#take(arrival, late))
        }
        return this.#take(arrival, answer)
      }
    })
  })

  /** Keeps what an answer says was taken. */
  #take({ output, bodies }: Arrival, answer: unknown): Delivery {
    // Tests answer what no type allows.
    const delivery = answer as Delivery
    const taken = this.#taken.get(output) ?? []
    this.#taken.set(output, taken)
    const kind: unknown = (answer as { kind?: unknown } | undefined)?.kind
    if (kind === 'ok') taken.push(...bodies)
    if (delivery?.kind === 'partial') {
      const others = [...delivery.retry, ...delivery.drop.flatMap(({ events }) => events)]
      taken.push(...bodies.filter((_, index) => !others.includes(index)))
    }
    return delivery
  }
}

/** Sends open chunks on their way and waits until no output works on one: for targets that answer later. */
export async function settle(run: TestPipeline): Promise<void> {
  run.flush()
  await run.until(() => run.pipeline.pendingTasks === 0)
}

/** Lets the event loop turn: a start reads one file of the backlog in each turn. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve))
}

/** Waits until the chunks that were found are read, as the last of its log lines says, and lets them be sent. */
export async function backlogRead(run: TestPipeline, chunks: number): Promise<void> {
  const lines = (): number => run.log.filter(line => / register /.test(line)).length
  await run.until(() => lines() >= chunks)
}

/** The rows of the ledger where anything happened, as they are printed, by name; fails when one does not balance. */
export function ledger(run: TestPipeline): Readonly<Record<string, string>> {
  balanced(run)
  const rows = run.pipeline.ledgerRows().map(row => [row.name, shortened(rowText(row))])
  return Object.fromEntries(rows.filter(([, text]) => text !== '0 = 0'))
}

/** Fails when a row of the ledger does not balance. */
export function balanced(run: TestPipeline): void {
  assert.deepEqual(
    run.pipeline
      .ledgerRows()
      .filter(row => imbalance(row) !== 0)
      .map(rowText),
    []
  )
}

/** `3 ingested = 2 delivered + 1 dropped (no_retries 1)`: without the name, and without what is 0. */
function shortened(text: string): string {
  const [left, right] = text.slice(text.indexOf(': ') + 2).split(' = ')
  const terms = (side: string): string =>
    side
      .split(' + ')
      .filter(term => !term.startsWith('0 '))
      .join(' + ')
  return `${terms(left) || '0'} = ${terms(right) || '0'}`
}

/** Maps become objects, so that tests read well. */
function plain(value: Decoded): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (!(value instanceof Map)) return value
  return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]))
}
