/** What a process holds of the machine, seen from outside, and whether it stays so. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** Looks of one sample, and the time between two: what passes is not seen in their middle. */
const LOOKS = 7
const LOOK_MS = 40

export interface Figures {
  /** Megabytes. */
  readonly rss: number
  /** Open file descriptors. */
  readonly files: number
  readonly threads: number
}

export interface Sample extends Figures {
  /** How far the run was. */
  readonly at: number
}

/**
 * What may be added in a long run. How many files are followed, and by how many threads that are about to end, depends on
 * the load; memory comes and goes by 30 MB and reaches its height after some hundred reloads, in buffers of the largest
 * backlog so far. What is forgotten at each reload is more: an output with its threads has 2 MB.
 */
const TOLERANCE: Figures = { rss: 80, files: 24, threads: 2 }

/** The medians of some looks at a process. */
export async function sampleProcess(pid: number, at: number): Promise<Sample> {
  const looks: Figures[] = []
  for (let look = 0; look < LOOKS; look++) {
    looks.push(figuresOf(pid))
    await delay(LOOK_MS)
  }
  return { at, ...medians(looks) }
}

export function medians(figures: readonly Figures[]): Figures {
  return {
    rss: median(figures.map(({ rss }) => rss)),
    files: median(figures.map(({ files }) => files)),
    threads: median(figures.map(({ threads }) => threads))
  }
}

/** What has grown by more than it may, for each a sentence. */
export function growth(before: Figures, after: Figures): string[] {
  const units = { rss: 'MB resident', files: 'open files', threads: 'threads' } as const
  return (['rss', 'files', 'threads'] as const).flatMap(what =>
    after[what] - before[what] > TOLERANCE[what]
      ? [`from ${before[what]} to ${after[what]} ${units[what]}`]
      : []
  )
}

function figuresOf(pid: number): Figures {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const number = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)
  return {
    rss: Math.round(number('VmRSS') / 102.4) / 10,
    files: readdirSync(`/proc/${pid}/fd`).length,
    threads: number('Threads')
  }
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0
}
