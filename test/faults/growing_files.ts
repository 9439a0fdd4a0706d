/**
 * Files that grow and rotate as those of applications do: many lines in one write or one line in two, a rename that the
 * application notices late, names that are all shifted. The oldest files go once all of their lines have arrived, so
 * that their inodes come back with other content.
 *
 * Files are never truncated in place: what was appended between the last read and the cut is lost to any reader, so
 * copytruncate loses lines by its nature.
 */
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { numberedLine, type SenderTally } from './line_tally.ts'

/** Rotated files of one name that are left, even if all of their lines have arrived. */
const ROTATED_KEPT = 2

/** Rotated files of one name that may pile up while their lines do not arrive. */
const ROTATED_MAX = 8

/** Nothing is written while so many characters have not arrived. */
const MISSING_LENGTH_MAX = 3_000_000

const TICK_MS_MAX = 25

export class GrowingFiles {
  readonly #files: readonly GrowingFile[]
  readonly #random: () => number
  readonly #tally: SenderTally
  #timer: NodeJS.Timeout | undefined

  /** @param restMs Least time between two rotations of a name, for readers that know files by their names alone. */
  constructor(
    folder: string,
    names: readonly string[],
    random: () => number,
    tally: SenderTally,
    restMs = 0
  ) {
    this.#files = names.map(name => new GrowingFile(folder, name, random, tally, restMs))
    this.#random = random
    this.#tally = tally
  }

  start(): void {
    this.#timer = setTimeout(() => {
      if (this.#tally.missingLength < MISSING_LENGTH_MAX) {
        this.#files[Math.floor(this.#random() * this.#files.length)].step()
      }
      this.start()
    }, this.#random() * TICK_MS_MAX)
  }

  /** Ends all lines that were begun. */
  stop(): void {
    clearTimeout(this.#timer)
    for (const file of this.#files) file.finish()
  }
}

class GrowingFile {
  readonly #name: string
  readonly #path: string
  readonly #random: () => number
  readonly #tally: SenderTally
  readonly #restMs: number
  #rotatedMs = performance.now()
  #descriptor: number
  /** True between the rename and the time when the application opens its new file. */
  #isRenamed = false
  /** A line that is written in part. */
  #begun: { readonly line: string; readonly rest: Buffer } | undefined
  /** The number behind the last line of each rotated file, newest first; undefined while it is written to. */
  readonly #rotated: (number | undefined)[] = []

  constructor(
    folder: string,
    name: string,
    random: () => number,
    tally: SenderTally,
    restMs: number
  ) {
    this.#restMs = restMs
    this.#name = name
    this.#path = join(folder, `${name}.log`)
    this.#random = random
    this.#tally = tally
    this.#descriptor = openSync(this.#path, 'a')
  }

  /** Does one of the things that happen to log files. */
  step(): void {
    const chance = this.#random()
    if (chance < 0.06 && !this.#isRenamed) this.#rotate()
    else if (this.#begun !== undefined) this.#endLine()
    else if (this.#isRenamed && chance < 0.5) this.#reopen()
    else if (chance < 0.16) this.#beginLine()
    else this.#append(chance > 0.98 ? 1_000 : 20)
    this.#removeOld()
  }

  finish(): void {
    if (this.#begun !== undefined) this.#endLine()
    closeSync(this.#descriptor)
  }

  #append(countMax: number): void {
    const count = 1 + Math.floor(this.#random() * countMax)
    const first = this.#tally.next(this.#name)
    const lines = Array.from({ length: count }, (_, index) => this.#line(first + index))
    writeSync(this.#descriptor, `${lines.join('\n')}\n`)
    this.#tally.send(this.#name, lines)
  }

  #beginLine(): void {
    const line = this.#line(this.#tally.next(this.#name))
    const bytes = Buffer.from(`${line}\n`)
    const cut = Math.floor(this.#random() * bytes.length)
    writeSync(this.#descriptor, bytes.subarray(0, cut))
    this.#begun = { line, rest: bytes.subarray(cut) }
  }

  #endLine(): void {
    if (this.#begun === undefined) return
    writeSync(this.#descriptor, this.#begun.rest)
    this.#tally.send(this.#name, [this.#begun.line])
    this.#begun = undefined
  }

  #rotate(): void {
    if (this.#rotated.length >= ROTATED_MAX) return
    if (performance.now() - this.#rotatedMs < this.#restMs) return
    this.#rotatedMs = performance.now()
    for (let number = this.#rotated.length; number > 0; number--) {
      renameSync(`${this.#path}.${number}`, `${this.#path}.${number + 1}`)
    }
    renameSync(this.#path, `${this.#path}.1`)
    this.#rotated.unshift(undefined)
    this.#isRenamed = true
    if (this.#begun === undefined && this.#random() < 0.6) this.#reopen()
  }

  #reopen(): void {
    closeSync(this.#descriptor)
    this.#rotated[0] = this.#tally.next(this.#name)
    this.#descriptor = openSync(this.#path, 'a')
    this.#isRenamed = false
  }

  #removeOld(): void {
    while (this.#rotated.length > ROTATED_KEPT) {
      const end = this.#rotated.at(-1)
      if (end === undefined || !this.#tally.hasAllBelow(this.#name, end)) return
      rmSync(`${this.#path}.${this.#rotated.length}`)
      this.#rotated.pop()
    }
  }

  /** Mostly short lines, some of a few KB. */
  #line(sequence: number): string {
    const lengthMax = this.#random() < 0.05 ? 5_000 : 200
    return numberedLine(this.#name, sequence, this.#random() * lengthMax, this.#random)
  }
}
