/** Dead letters of a machine's `storage.path`, and sending them again in the test's process. */
import { join } from 'node:path'
import { findOutput, replayLetters } from '../../src/cli/dlq_replay.ts'
import { survey } from '../../src/cli/dlq_survey.ts'
import type { Decoded } from '../../src/codec/msgpack_reader.ts'
import { decodeEvents } from '../../src/record/event.ts'
import { type DeadLetter, DeadLetters } from '../../src/storage/dead_letters.ts'
import { type Disk, systemDisk } from '../../src/storage/disk.ts'
import type { Machine } from './machine.ts'
import type { TestPipeline } from './pipeline.ts'

/** Long enough for every retry. */
const IDLE_SECONDS = 1_000_000

/** The letters in the folder `rejected` of a store. */
export function lettersOf(machine: Machine, disk: Disk = systemDisk): DeadLetters {
  return new DeadLetters({ disk, folder: join(machine.store, 'rejected'), limit: undefined })
}

/** All letters, the oldest first. */
export function readLetters(machine: Machine): DeadLetter[] {
  const letters = lettersOf(machine)
  return survey(letters, { names: [], output: undefined }).rows.map(({ name }) =>
    letters.read(name)
  )
}

/** Bodies of the events of a letter. */
export function bodiesOf({ content }: DeadLetter): Decoded[] {
  return [...decodeEvents(content)].map(({ body }) =>
    body instanceof Map ? (Object.fromEntries(body) as unknown as Decoded) : body
  )
}

export interface ReplayOptions {
  readonly names?: readonly string[]
  readonly output?: string
  readonly to?: string
  readonly idleSeconds?: number
  readonly disk?: Disk
}

/** Sends letters again through the outputs of a configuration that is running; its clock moves until all is done. */
export async function replayOn(
  machine: Machine,
  run: TestPipeline,
  options: ReplayOptions = {}
): Promise<{ readonly lines: readonly string[]; readonly allDelivered: boolean }> {
  const { names = [], output, to, idleSeconds = IDLE_SECONDS, disk } = options
  const letters = lettersOf(machine, disk)
  const outputs = run.pipeline.outputsAlone()
  const lines: string[] = []
  let allDelivered: boolean | undefined
  const replaying = replayLetters({
    letters,
    rows: survey(letters, { names, output }).rows,
    outputs,
    target: to === undefined ? undefined : findOutput(outputs, to),
    clock: run.clock,
    idleSeconds,
    print: line => void lines.push(line)
  })
  void replaying.then(all => (allDelivered = all))
  while (allDelivered === undefined) {
    await new Promise(resolve => setImmediate(resolve))
    run.clock.advance(1000)
  }
  return { lines, allDelivered: await replaying }
}
