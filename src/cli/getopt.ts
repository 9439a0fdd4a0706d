/**
 * Splits a command line into options and words by the rules of glibc's getopt_long, with its
 * error texts: clustered short options, values glued on or in the next word, `--name=value`,
 * unambiguous prefixes of long names, `--` as the end of the options.
 */
import { suggest } from '../base/suggest.ts'
import type { OptionSpec } from './options.ts'

/** One piece of the command line, in the order written. */
export type Token =
  | {
      readonly kind: 'option'
      readonly option: OptionSpec
      /** Empty for an option without a value. */
      readonly value: string
      /** Of the value, or of the option where it has none; counts from 1 in the joined line. */
      readonly column: number
    }
  | { readonly kind: 'word'; readonly text: string; readonly column: number }
  /** The last token of a line that cannot be read further. */
  | { readonly kind: 'error'; readonly message: string }

/**
 * Reads `argv` up to its end or its first mistake.
 *
 * @param argv The words after the program's name.
 * @param options Every option that may be used.
 * @returns The tokens; an `error` token, when there is one, is the last.
 */
export function splitArguments(argv: readonly string[], options: readonly OptionSpec[]): Token[] {
  const columns = wordColumns(argv)
  const tokens: Token[] = []
  let index = 0
  while (index < argv.length && tokens.at(-1)?.kind !== 'error') {
    const word = argv[index]
    const column = columns[index]
    if (word === '--') {
      for (let rest = index + 1; rest < argv.length; rest++) {
        tokens.push({ kind: 'word', text: argv[rest], column: columns[rest] })
      }
      return tokens
    }
    const next =
      index + 1 < argv.length ? { text: argv[index + 1], column: columns[index + 1] } : undefined
    let usedNext = false
    if (word.startsWith('--')) usedNext = readLong({ word, column, next, options, tokens })
    else if (word.startsWith('-') && word.length > 1) {
      usedNext = readCluster({ word, column, next, options, tokens })
    } else tokens.push({ kind: 'word', text: word, column })
    index += usedNext ? 2 : 1
  }
  return tokens
}

interface WordReading {
  readonly word: string
  readonly column: number
  readonly next: { readonly text: string; readonly column: number } | undefined
  readonly options: readonly OptionSpec[]
  readonly tokens: Token[]
}

/** `--name`, `--name=value` or `--name value`; true when the next word was the value. */
function readLong({ word, column, next, options, tokens }: WordReading): boolean {
  const equals = word.indexOf('=')
  const name = equals < 0 ? word.slice(2) : word.slice(2, equals)
  const found = findLong(name, word, options)
  if (typeof found === 'string') {
    tokens.push({ kind: 'error', message: found })
    return false
  }
  const { option, long } = found
  if (option.value === '') {
    if (equals < 0) tokens.push({ kind: 'option', option, value: '', column })
    else tokens.push({ kind: 'error', message: `option '--${long}' doesn't allow an argument` })
    return false
  }
  if (equals >= 0) {
    const valueColumn = column + characters(word.slice(0, equals + 1))
    tokens.push({ kind: 'option', option, value: word.slice(equals + 1), column: valueColumn })
    return false
  }
  if (next === undefined) {
    tokens.push({ kind: 'error', message: `option '--${long}' requires an argument` })
    return false
  }
  tokens.push({ kind: 'option', option, value: next.text, column: next.column })
  return true
}

interface LongMatch {
  readonly option: OptionSpec
  readonly long: string
}

/** The option meant by a long name or a prefix of it, or why there is none. */
function findLong(name: string, word: string, options: readonly OptionSpec[]): LongMatch | string {
  const matches: LongMatch[] = []
  for (const option of options) {
    for (const long of option.long) {
      if (long === name) return { option, long }
      // Own options take no part in prefixes, so that each prefix means what it means elsewhere.
      if (option.own !== true && long.startsWith(name)) matches.push({ option, long })
    }
  }
  if (matches.length === 0) {
    const known = options.flatMap(option => option.long)
    const near = suggest(name, known)
    return `unrecognized option '${word}'${near === undefined ? '' : `; did you mean '--${near}'?`}`
  }
  const others = matches.filter(match => match.option !== matches[0].option)
  if (others.length === 0) return matches[0]
  const possible = [matches[0], ...others].map(match => `'--${match.long}'`)
  return `option '${word}' is ambiguous; possibilities: ${possible.join(' ')}`
}

/** `-abc`, `-cvalue` or `-c value`; true when the next word was the value. */
function readCluster({ word, column, next, options, tokens }: WordReading): boolean {
  const letters = Array.from(word)
  for (let position = 1; position < letters.length; position++) {
    const letter = letters[position]
    const option = options.find(candidate => candidate.short === letter)
    if (option === undefined) {
      tokens.push({ kind: 'error', message: `invalid option -- '${letter}'` })
      return false
    }
    if (option.value === '') {
      tokens.push({ kind: 'option', option, value: '', column: column + position })
      continue
    }
    if (position + 1 < letters.length) {
      const value = letters.slice(position + 1).join('')
      tokens.push({ kind: 'option', option, value, column: column + position + 1 })
      return false
    }
    if (next === undefined) {
      tokens.push({ kind: 'error', message: `option requires an argument -- '${letter}'` })
      return false
    }
    tokens.push({ kind: 'option', option, value: next.text, column: next.column })
    return true
  }
  return false
}

/** Where each word begins in the words joined by one space; counts characters from 1. */
function wordColumns(argv: readonly string[]): number[] {
  const columns: number[] = []
  let column = 1
  for (const word of argv) {
    columns.push(column)
    column += characters(word) + 1
  }
  return columns
}

/** The length of a text in characters, where `length` counts UTF-16 units. */
export function characters(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}
