/**
 * Sends dead letters again, through one output and outside of any pipeline: with its retries, and without an end if it
 * never takes anything. Nothing is changed on disk here.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { LETTERS_UNDER_WAY_MAX } from '../base/limits.ts'
import { Chunk } from '../storage/chunk.ts'
import type { DeadLetter } from '../storage/dead_letters.ts'
import { Account } from './ledger.ts'
import type { OutputRuntime } from './output_runtime.ts'
import { pick, RouteDelivery, Task, type TaskOwner } from './task.ts'

/** What became of a letter. */
export interface Replayed {
  readonly delivered: number
  /** Events that the output has not taken. */
  readonly left: number
  readonly leftBytes: Buffer
  /** Why, by number of events, where the output gave them up. */
  readonly reasons: ReadonlyMap<string, number>
}

export interface ReplayOptions {
  readonly output: OutputRuntime
  readonly clock: Clock
  /** The end comes when for this long no letter was delivered, not even in part. */
  readonly idleMs: number
  /** Called for each letter, also for those that were not sent because the end had come. */
  ended(letter: DeadLetter, result: Replayed): Promise<void>
}

/** Sends letters, reading each when its turn comes; the output has been started, and is to be stopped after. */
export async function replay(letters: Iterable<DeadLetter>, options: ReplayOptions): Promise<void> {
  await new Replay(options).run(letters)
}

class Replay {
  readonly #options: ReplayOptions
  readonly #isOver = Promise.withResolvers<void>()
  #timer: Timer | undefined
  #sent = 0
  #hasEnded = false

  constructor(options: ReplayOptions) {
    this.#options = options
  }

  async run(letters: Iterable<DeadLetter>): Promise<void> {
    this.#extend()
    const left = Iterator.from(letters)
    const work = async (): Promise<void> => {
      for (let next = left.next(); next.done !== true; next = left.next()) {
        await this.#options.ended(next.value, await this.#send(next.value))
      }
    }
    await Promise.all(Array.from({ length: LETTERS_UNDER_WAY_MAX }, work))
    this.#timer?.cancel()
  }

  /** Something was delivered: the end is further away. */
  #extend(): void {
    const { clock, idleMs, output } = this.#options
    this.#timer?.cancel()
    this.#timer = clock.after(idleMs, () => {
      this.#hasEnded = true
      output.leave()
      this.#isOver.resolve()
    })
  }

  async #send({ name, note, content }: DeadLetter): Promise<Replayed> {
    const { output } = this.#options
    const all = { left: note.events, leftBytes: content }
    if (this.#hasEnded) return { ...all, delivered: 0, reasons: new Map() }
    const input = note.input === '' ? 'dead_letters' : note.input
    const { tag, signal = 'logs' } = note
    const chunk = new Chunk({ id: name, tag, input, signal }, content)
    chunk.writer.length = content.length
    chunk.events = note.events
    const taskEnd = Promise.withResolvers<void>()
    const task = new Task(
      this.#sent++,
      chunk,
      ownerOf(input),
      { label: input, account: new Account() },
      () => taskEnd.resolve()
    )
    const account = new Account()
    const delivery = new RouteDelivery(task, output, account)
    task.add(delivery)
    output.hold(delivery)
    output.deliver(delivery)
    await Promise.race([taskEnd.promise, this.#isOver.promise])
    const { delivered, dropped: reasons } = account
    if (delivered > 0 && !this.#hasEnded) this.#extend()
    const left = leftOf(task, delivery)
    return { delivered, left: left.length, leftBytes: pick(content, left), reasons }
  }
}

/** Numbers of the events that the output has not taken, whether it gave them up or may still have taken them. */
function leftOf(task: Task, delivery: RouteDelivery): readonly number[] {
  if (delivery.state === 'ended') return task.lost
  const open = delivery.left ?? Array.from({ length: task.chunk.events }, (_, event) => event)
  return [...task.lost, ...open].toSorted((a, b) => a - b)
}

function ownerOf(label: string): TaskOwner {
  return {
    plugin: 'dlq',
    name: label,
    label,
    isBacklog: false,
    trustsDisk: false,
    release() {},
    ended() {}
  }
}
