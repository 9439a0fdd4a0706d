/**
 * An output that fails at random, as a user writes one: it appends the lines of a chunk to a file and then says what it
 * likes. What it says it has taken is always in the file; of the rest there may be all, a half or nothing.
 */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ChunkView,
  decodeEvents,
  defineOutput,
  type Delivery,
  int,
  OK,
  retry,
  text
} from 'spillway'
import { seededRandom } from '../harness/random.ts'

/** Longest time between writing and answering. */
const PAUSE_MS_MAX = 150

export const unreliable = defineOutput({
  name: 'unreliable',
  summary: 'Lines of events into a file, failing at random',
  options: {
    file: text({ default: 'delivered', doc: 'File that lines are appended to' }),
    seed: int({ default: '1', doc: 'What the answers follow from' })
  },
  concurrency: 4,
  create(values) {
    const random = seededRandom(values.seed)
    let descriptor = -1
    let accepted = 0
    /** One write, so that a kill cuts at most the last line of the file. */
    const write = (lines: readonly string[]): void => {
      if (lines.length > 0) writeSync(descriptor, `${lines.join('\n')}\n`)
    }
    /** Where a kill hits best: what is written is not answered for yet. */
    const pause = async (): Promise<void> => {
      if (random() < 0.5) await delay(random() * PAUSE_MS_MAX)
    }
    /** Takes some lines; the others are to be sent again. */
    const takeSome = (lines: readonly string[]): Delivery => {
      const isLater = lines.map(() => random() < 0.5)
      write(lines.filter((_, index) => !isLater[index]))
      const again = isLater.flatMap((later, index) => (later ? [index] : []))
      accepted += lines.length - again.length
      return { kind: 'partial', retry: again, drop: [], reason: 'some of them later' }
    }
    return {
      start() {
        descriptor = openSync(values.file, 'a')
      },
      async flush(chunk): Promise<Delivery> {
        const lines = linesOf(chunk)
        const fate = random()
        if (fate < 0.06) return retry('not now')
        if (fate < 0.1) throw new Error('failed before a line was written')
        if (fate < 0.2) return takeSome(lines)
        write(fate < 0.3 ? lines.slice(0, lines.length / 2) : lines)
        await pause()
        if (fate < 0.3) return retry('half of the lines were written')
        if (fate < 0.38) return retry('written, and yet')
        if (fate < 0.42) throw new Error('failed after all lines were written')
        accepted += lines.length
        return OK
      },
      stop() {
        closeSync(descriptor)
        writeFileSync(`${values.file}.accepted`, String(accepted))
      }
    }
  }
})

function linesOf(chunk: ChunkView): string[] {
  const lines: string[] = []
  for (const { body } of decodeEvents(chunk.bytes)) {
    const line = body instanceof Map ? body.get('log') : undefined
    if (typeof line === 'string') lines.push(line)
  }
  return lines
}
