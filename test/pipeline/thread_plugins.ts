/**
 * Plugins as a user writes them, for threads to load: an output that does what events tell it, and inputs that count.
 * What must outlive a thread lies in files beside the configuration.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { decodeEvents, defineInput, defineOutput, flag, int, OK, retry } from '../../src/api.ts'
import type { Delivery, InputContext } from '../../src/api.ts'
import { writeEventHeader } from '../../src/record/event.ts'

/** A file that ends a busy loop must come soon. */
const BUSY_MS_MAX = 10_000

/**
 * Appends `<threadId> <n>` to the file `taken` for each event. An event with `once` makes it do that first, if it is
 * something that no event has asked for: throw, retry, exit (of the thread), timer (an exception in one), log.
 * One with `busy` keeps the thread busy until the file `go` is there.
 */
export const obedient = defineOutput({
  name: 'obedient',
  summary: 'Does what events tell it',
  options: {
    fails_to_start: flag({ default: 'off', doc: 'Throw at the start' })
  },
  create({ fails_to_start: fails }, context) {
    const { configDirectory: folder } = context
    const counter = context.counter('obedient_events_total', 'Events that came.')
    return {
      start() {
        if (fails) throw new Error('Cannot start obedient: it was told so')
        if (existsSync(join(folder, 'no start'))) throw new Error('it is not the time')
      },
      async flush(chunk): Promise<Delivery> {
        const taken: string[] = []
        for (const { body } of decodeEvents(chunk.bytes)) {
          const event = body as ReadonlyMap<string, unknown>
          counter.add(1)
          const answer = await obey(event.get('once'))
          if (answer !== undefined) return answer
          if (event.has('busy')) waitFor(join(folder, 'go'))
          taken.push(`${threadId} ${String(event.get('n'))}\n`)
        }
        appendFileSync(join(folder, 'taken'), taken.join(''))
        return OK
      },
      stop: () => appendFileSync(join(folder, 'stopped'), `${threadId}\n`)
    }

    async function obey(what: unknown): Promise<Delivery | undefined> {
      if (typeof what !== 'string' || existsSync(join(folder, what))) return undefined
      writeFileSync(join(folder, what), '')
      switch (what) {
        case 'throw':
          throw new Error('told to throw')
        case 'retry':
          return retry('told_to')
        case 'log':
          context.log.info('told to log')
          context.log.debug('for nobody')
          context.dropped('told_to', 2, 20)
          return undefined
        case 'timer':
          setTimeout(() => {
            throw new Error('told to throw later')
          })
          return new Promise(() => {})
        default:
          // oxlint-disable-next-line unicorn/no-process-exit -- in a thread it ends the thread
          process.exit(7)
      }
    }
  }
})

function waitFor(path: string): void {
  const deadline = performance.now() + BUSY_MS_MAX
  while (!existsSync(path) && performance.now() < deadline);
}

/** Numbers, a commit each, as many in a turn as there are; it never asks whether there is room. */
export const numbers = defineInput({
  name: 'numbers',
  summary: 'Numbers in order',
  options: {
    count: int({ default: '1000', doc: 'How many' }),
    bytes: int({ default: '0', doc: 'Length of a text beside each' })
  },
  create({ count, bytes }, context) {
    const filler = 'x'.repeat(bytes)
    return {
      start() {
        for (let n = 0; n < count; n++) send(context, n, filler)
        context.log.info(`sent ${count}`)
      }
    }
  }
})

/** Goes on where the file `position` says, and dies where the file `death` says, once. */
export const mortal = defineInput({
  name: 'mortal',
  summary: 'Numbers until it dies',
  receipts: 'position',
  options: {},
  create(_, context) {
    const { configDirectory: folder } = context
    const file = join(folder, 'position')
    let next = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
    return {
      start() {
        context.every(1, () => {
          const n = next++
          send(context, n, '', () => writeFileSync(file, String(n + 1)))
          if (n < 20 || existsSync(join(folder, 'dead'))) return
          writeFileSync(join(folder, 'dead'), '')
          throw new Error('it was time')
        })
      },
      stop: () => writeFileSync(join(folder, 'end'), String(next))
    }
  }
})

function send(context: InputContext, n: number, filler: string, receipt?: () => void): void {
  const sink = context.sink(context.tag)
  writeEventHeader(sink.writer, 1_700_000_000, 0)
  sink.writer.value({ n, filler })
  sink.commit(1, receipt)
}
