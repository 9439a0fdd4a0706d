/** Which dead letters there are, and which of them are meant. */
import { basename, join, resolve } from 'node:path'
import {
  type DeadLetter,
  type DeadLetters,
  type LetterNote,
  safe
} from '../storage/dead_letters.ts'

/** A letter without its events, which may be more than fit into memory for all letters. */
export interface LetterRow {
  readonly name: string
  readonly note: LetterNote
  readonly problem: string | undefined
  /** Of the events. */
  readonly bytes: number
}

export interface Survey {
  /** The oldest first; those whose time is not known come before. */
  readonly rows: readonly LetterRow[]
  /** Names of which there is no letter. */
  readonly missing: readonly string[]
}

/** Reads all letters that are meant, one after the other. */
export function survey(
  letters: DeadLetters,
  { names, output }: { readonly names: readonly string[]; readonly output: string | undefined }
): Survey {
  const all = new Set(letters.names())
  const wanted = names.map(name => nameIn(letters.folder, name))
  const missing = names.filter((_, index) => !all.has(wanted[index]))
  const rows = Array.from(names.length === 0 ? all : all.intersection(new Set(wanted)))
    .map(name => rowOf(letters.read(name)))
    .filter(row => output === undefined || isFrom(row.note, output))
    .toSorted((a, b) => compare(a.note.time, b.note.time) || compare(a.name, b.name))
  return { rows, missing }
}

export function rowOf({ name, note, problem, content }: DeadLetter): LetterRow {
  return { name, note, problem, bytes: content.length }
}

/** True for a letter that the output with this alias or name gave up. */
export function isFrom({ output, attempts }: LetterNote, label: string): boolean {
  // Fluent Bit has the output in the name of the file only, where not all characters can be.
  return output === label || (attempts === 0 && output === safe(label))
}

/** The name of a letter that may be given with its folder, as a shell completes it. */
function nameIn(folder: string, name: string): string {
  return resolve(name) === resolve(join(folder, basename(name))) ? basename(name) : name
}

function compare(left: string, right: string): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}
