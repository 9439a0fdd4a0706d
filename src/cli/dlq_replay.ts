/**
 * `spillway dlq replay`: sends letters again. A letter is removed once the output has taken all of it, and cut to what
 * it has not taken otherwise: a crash at any moment makes it send some again, and loses nothing.
 */
import { messageOf } from '../base/error_message.ts'
import type { Clock } from '../base/clock.ts'
import { systemError } from '../base/system_error.ts'
import type { OutputRuntime } from '../engine/output_runtime.ts'
import { replay, type Replayed } from '../engine/replay.ts'
import type { DeadLetter, DeadLetters } from '../storage/dead_letters.ts'
import { isFrom, type LetterRow } from './dlq_survey.ts'
import { plural } from './dlq_text.ts'

export interface ReplayRequest {
  readonly letters: DeadLetters
  /** Those that are meant, in the order to send them in. */
  readonly rows: readonly LetterRow[]
  /** None is started. */
  readonly outputs: readonly OutputRuntime[]
  /** Takes all letters; undefined sends each to the output that gave it up. */
  readonly target: OutputRuntime | undefined
  readonly clock: Clock
  /** An output that takes nothing for this long gets no more. */
  readonly idleSeconds: number
  /** Prints a line. */
  print(line: string): void
}

/** Sends letters and prints what became of each; true when all were delivered and are gone. */
export async function replayLetters(request: ReplayRequest): Promise<boolean> {
  return new LetterReplay(request).run()
}

/** The output with this alias, else the one with this name. */
export function findOutput(
  outputs: readonly OutputRuntime[],
  name: string
): OutputRuntime | undefined {
  return outputs.find(({ label }) => label === name) ?? outputs.find(output => output.name === name)
}

class LetterReplay {
  readonly #request: ReplayRequest
  #gone = 0

  constructor(request: ReplayRequest) {
    this.#request = request
  }

  async run(): Promise<boolean> {
    const { rows, print } = this.#request
    const byOutput = new Map<OutputRuntime, string[]>()
    for (const row of rows) {
      const output = this.#outputOf(row)
      if (output === undefined) continue
      const names = byOutput.get(output) ?? []
      byOutput.set(output, names)
      names.push(row.name)
    }
    // A dead output delays no other.
    await Promise.all(Array.from(byOutput, ([output, names]) => this.#sendAll(output, names)))
    const stay = rows.length - this.#gone
    print(
      `${plural(rows.length, 'letter')}: ${this.#gone} delivered` +
        (stay === 0 ? '' : `, ${stay} not`)
    )
    return stay === 0
  }

  /** Where a letter is to go; without a place, says why. */
  #outputOf({ name, note, problem }: LetterRow): OutputRuntime | undefined {
    const { outputs, target } = this.#request
    if (problem !== undefined) {
      this.#say(name, `not sent: ${problem}`)
      return undefined
    }
    const output =
      target ?? findOutput(outputs, note.output) ?? outputs.find(({ label }) => isFrom(note, label))
    if (output !== undefined) return output
    this.#say(
      name,
      note.output === ''
        ? 'not sent: it does not say which output gave it up; --to names one'
        : `not sent: the configuration has no output "${note.output}"; --to names another`
    )
    return undefined
  }

  async #sendAll(output: OutputRuntime, names: readonly string[]): Promise<void> {
    const { clock, idleSeconds } = this.#request
    try {
      await output.start()
    } catch (error) {
      const why = messageOf(error)
      for (const name of names) this.#say(name, `not sent: ${output.label} cannot start: ${why}`)
      return
    }
    await replay(this.#read(names), {
      output,
      clock,
      idleMs: idleSeconds * 1000,
      ended: (letter, result) => this.#ended(letter, result, output.label)
    })
    await output.stop()
  }

  *#read(names: readonly string[]): Iterable<DeadLetter> {
    for (const name of names) {
      const letter = this.#request.letters.read(name)
      // It may have changed since the survey.
      if (letter.problem === undefined) yield letter
      else this.#say(name, `not sent: ${letter.problem}`)
    }
  }

  async #ended(letter: DeadLetter, result: Replayed, output: string): Promise<void> {
    const { name, note } = letter
    const { delivered, left } = result
    const text = this.#textOf(note.events, result, output)
    try {
      if (left === 0) {
        this.#remove(name)
        this.#gone++
      } else if (delivered > 0) {
        await this.#request.letters.keepOnly(letter, result.leftBytes, left)
      }
      this.#say(name, text)
    } catch (error) {
      this.#say(name, `${text}; the letter stays as it was: ${systemError(error).text}`)
    }
  }

  #remove(name: string): void {
    try {
      this.#request.letters.remove(name)
    } catch (error) {
      // Somebody else has removed it meanwhile.
      if (systemError(error).code !== 'ENOENT') throw error
    }
  }

  #textOf(events: number, { delivered, left, reasons }: Replayed, output: string): string {
    if (left === 0) return `${plural(delivered, 'record')} delivered to ${output}`
    const why = this.#reasonText(left, reasons)
    if (delivered === 0) return `not delivered to ${output}: ${why}`
    return `${delivered} of ${plural(events, 'record')} delivered to ${output}, ${left} not: ${why}`
  }

  #reasonText(left: number, reasons: ReadonlyMap<string, number>): string {
    const givenUp = [...reasons.values()].reduce((sum, count) => sum + count, 0)
    const all = [...reasons]
    if (givenUp < left) {
      const { idleSeconds } = this.#request
      all.push([`it took nothing for ${plural(idleSeconds, 'second')}`, left - givenUp])
    }
    if (all.length === 1) return all[0][0]
    return all.map(([reason, count]) => `${reason} (${count})`).join(', ')
  }

  #say(name: string, text: string): void {
    this.#request.print(`${name}: ${text}`)
  }
}
