/**
 * Fluent Bit's regular expressions (Onigmo, Ruby syntax, UTF-8).
 * Source: Fluent Bit 5.1.1 src/flb_regex.c.
 *
 * A pattern has up to three forms. Plain ones become a function over bytes (`byte_matcher.ts`) and,
 * for texts and where that function gives up, a JavaScript expression that V8's linear-time engine
 * takes over after 50,000 backtracks (`plain_regexp.ts`). Everything else takes the general form of
 * oniguruma-to-es, which gives up after `BACKTRACKS_MAX` backtracks: that counts as no match. So no
 * match can stop the pipeline.
 *
 * Differs: where a group inside a repetition does not take part in the last round, Onigmo keeps the
 * text of an earlier round and JavaScript has none; `[\x80-\xff]` (bytes), `\K` inside a pattern
 * and a few other rarities are refused with the reason; a pattern that would run for ever does not
 * match.
 *
 * @hot bench/pipelines.ts
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { setFlagsFromString } from 'node:v8'
import { compileFunction } from 'node:vm'
import { toRegExpDetails } from 'oniguruma-to-es'
import { ConfigError } from '../config/diagnostics.ts'
import type { Location } from '../config/diagnostics.ts'
import { compileByteMatcher, MATCH, UNDECIDED } from './byte_matcher.ts'
import type { ByteMatcher } from './byte_matcher.ts'
import { readPatternText, rubyToOniguruma } from './onigmo_source.ts'
import { readPattern } from './pattern.ts'
import type { Piece } from './pattern.ts'
import { writePlainRegExp } from './plain_regexp.ts'
import type { PlainRegExp } from './plain_regexp.ts'

/** Backtracks of one match in a form that the linear engine cannot take over; about 20 ms. */
const BACKTRACKS_MAX = 5_000_000

/** A match of such a form that fails after longer than this is taken to have given up. */
const GIVE_UP_MS = 5

const LINE_FEED = '\n'
const NOT_ASCII = /[^\0-\x7f]/
const SURROGATE = /[\ud800-\udfff]/

/**
 * Compiles a pattern as users write it, with or without slashes.
 *
 * @throws {ConfigError} `CFG_BAD_REGEX` with the reason, when the pattern is invalid.
 */
export function compileOnigmo(text: string, at?: Location): Matcher {
  try {
    return new Matcher(text)
  } catch (cause) {
    const reason = (cause as Error).message
    throw new ConfigError(
      'CFG_BAD_REGEX',
      `Cannot compile regular expression "${text}": ${reason}`,
      at
    )
  }
}

/** The texts of a match: the whole match, then the groups by number; undefined for no part in it. */
export type Captures = ArrayLike<string | undefined>

/** Captures and where the match starts. */
type FormMatch = Captures & { readonly index: number }

export class Matcher {
  /** As the user wrote it. */
  readonly pattern: string
  /** Named groups in Fluent Bit's order; a name given to several groups is listed once for each. */
  readonly groupNames: readonly string[]
  /** The group number of each name, which is its index in `Captures`. */
  readonly groupNumbers: readonly number[]
  /** Named groups, or all groups when none has a name. */
  readonly groupCount: number
  /**
   * True when lines are matched in linear time at worst; otherwise a match gives up after
   * `BACKTRACKS_MAX`.
   */
  get isProtected(): boolean {
    return this.#plain?.isLinear ?? false
  }

  /** Matches that gave up so far. */
  timeouts = 0
  /**
   * Set by `findInBytes`: start and end of the match, then of each group by number; -1 for no part
   * in it.
   */
  readonly spans: Int32Array
  readonly #source: string
  readonly #flags: string
  /** Undefined for patterns that only oniguruma-to-es can translate. */
  readonly #piece: Piece | undefined
  #plainRegExp: PlainRegExp | undefined
  /** Null until it is wanted: a file of parsers defines many that a configuration never uses. */
  #bytes: ByteMatcher | undefined | null = null
  #line: Form | undefined
  #general: Form | undefined
  #prefix: Form | undefined

  /** @throws {Error} With the reason when the pattern is invalid; see `compileOnigmo`. */
  constructor(text: string) {
    const source = readPatternText(text)
    this.pattern = text
    this.#source = rubyToOniguruma(source)
    this.#flags = source.flags
    const { piece, groupNames, groupNumbers, groupCount } = readPattern(this.#source, source.flags)
    this.groupNames = groupNames
    this.groupNumbers = groupNumbers
    this.groupCount = groupCount
    this.spans = new Int32Array(groupCount * 2 + 2)
    this.#piece = piece
    // Only the translation tells whether such a pattern is valid.
    if (piece === undefined) this.#line = this.#lineForm('')
  }

  /** True when the pattern matches somewhere in the text. */
  test(text: string): boolean {
    const bytes = Buffer.from(text)
    return this.testBytes(bytes, 0, bytes.length)
  }

  /** The first match in the text. */
  exec(text: string): Captures | null {
    const bytes = Buffer.from(text)
    return this.execBytes(bytes, 0, bytes.length)
  }

  /** True when the pattern matches somewhere in `bytes[start, end)`, as UTF-8 where it is valid. */
  testBytes(bytes: Buffer, start: number, end: number): boolean {
    const found = this.findInBytes(bytes, start, end)
    if (found !== UNDECIDED) return found === MATCH
    return this.execDecoded(decodeSubject(bytes, start, end)) !== null
  }

  /** The first match in `bytes[start, end)`, as UTF-8 where it is valid. */
  execBytes(bytes: Buffer, start: number, end: number): Captures | null {
    const found = this.findInBytes(bytes, start, end)
    if (found === UNDECIDED) return this.execDecoded(decodeSubject(bytes, start, end))
    return found === MATCH ? this.#capturesIn(bytes) : null
  }

  /**
   * Looks for the first match in `bytes[start, end)` without decoding them, and sets `spans`.
   *
   * @returns `MATCH`, `NO_MATCH`, or `UNDECIDED`: ask `execDecoded`.
   */
  findInBytes(bytes: Buffer, start: number, end: number): number {
    const matcher = this.#bytes === null ? this.#compileBytes() : this.#bytes
    if (matcher === undefined) return UNDECIDED
    try {
      return matcher(bytes, start, end, this.spans)
    } catch {
      // Repetitions inside repetitions may fill the stack.
      return UNDECIDED
    }
  }

  /**
   * True when the pattern matches at the very start of the text, and more than the empty string.
   */
  matchesPrefix(text: string): boolean {
    this.#prefix ??= this.#lineForm('y')
    const form = this.#isLineSubject(text) ? this.#prefix : this.#generalForm()
    const match = this.#run(form, text)
    return match !== null && match.index === 0 && match[0] !== ''
  }

  /** The first match in a text that `findInBytes` could not decide about. */
  execDecoded(text: string): Captures | null {
    return this.#run(this.#formFor(text), text)
  }

  get #plain(): PlainRegExp | undefined {
    if (this.#piece !== undefined) this.#plainRegExp ??= writePlainRegExp(this.#piece)
    return this.#plainRegExp
  }

  #compileBytes(): ByteMatcher | undefined {
    this.#bytes =
      this.#piece === undefined ? undefined : compileByteMatcher(this.#piece, this.groupCount)
    return this.#bytes
  }

  #capturesIn(bytes: Buffer): Captures {
    const captures: (string | undefined)[] = []
    for (let index = 0; index < this.spans.length; index += 2) {
      const start = this.spans[index]
      captures.push(start < 0 ? undefined : decodeSubject(bytes, start, this.spans[index + 1]))
    }
    return captures
  }

  #run(form: Form, text: string): FormMatch | null {
    const started = form.isLinear ? 0 : performance.now()
    try {
      const match = form.exec(text)
      if (match !== null || form.isLinear || performance.now() - started < GIVE_UP_MS) return match
    } catch {
      // V8 throws when its backtrack stack is full (64 MB): as hopeless as too many backtracks.
    }
    this.timeouts++
    return null
  }

  #formFor(text: string): Form {
    if (!this.#isLineSubject(text)) return this.#generalForm()
    this.#line ??= this.#lineForm('')
    return this.#line
  }

  /** True when the line form means the same for this text as the general form. */
  #isLineSubject(text: string): boolean {
    if (text.includes(LINE_FEED)) return false
    const plain = this.#plain
    if (plain === undefined) return true
    return !(plain.isAsciiOnly ? NOT_ASCII : SURROGATE).test(text)
  }

  #lineForm(flags: string): Form {
    const plain = this.#plain
    if (plain === undefined) return generalForm(this.#source, this.#flags, true, flags)
    const regex = plain.isLinear
      ? compileLinear(plain.text, flags)
      : compileLimited(plain.text, flags)
    return new Form(regex, plain.isLinear)
  }

  #generalForm(): Form {
    this.#general ??= generalForm(this.#source, this.#flags, false, '')
    return this.#general
  }
}

/**
 * Text for matching: UTF-8 where it is valid, else one character a byte so that the bytes survive.
 */
export function decodeSubject(bytes: Buffer, start: number, end: number): string {
  const part = bytes.subarray(start, end)
  if (isAscii(part) || !isUtf8(part)) return bytes.latin1Slice(start, end)
  return bytes.utf8Slice(start, end)
}

/**
 * One compiled form, with the captures that oniguruma-to-es adds for its emulations taken out
 * again.
 */
class Form {
  readonly isLinear: boolean
  readonly #regex: RegExp
  readonly #hidden: ReadonlySet<number>
  readonly #transfers: readonly (readonly [to: number, from: readonly number[]])[]

  constructor(regex: RegExp, isLinear: boolean, options: Emulation = {}) {
    this.#regex = regex
    this.isLinear = isLinear
    this.#hidden = new Set(options.hiddenCaptures)
    this.#transfers = options.transfers ?? []
  }

  exec(text: string): FormMatch | null {
    this.#regex.lastIndex = 0
    const match = this.#regex.exec(text)
    return match === null || this.#hidden.size === 0 ? match : this.#visible(match)
  }

  #visible(match: RegExpExecArray): FormMatch {
    const all: (string | undefined)[] = [...match]
    for (const [to, from] of this.#transfers) {
      all[to] = all[from.findLast(index => all[index] !== undefined) ?? to]
    }
    const captures = all.filter((_, index) => !this.#hidden.has(index))
    return Object.assign(captures, { index: match.index })
  }
}

interface Emulation {
  readonly hiddenCaptures?: readonly number[]
  readonly transfers?: readonly (readonly [number, readonly number[]])[]
}

function generalForm(source: string, flags: string, isLine: boolean, extra: string): Form {
  const details = toRegExpDetails(source, { flags, rules: { singleline: isLine } })
  const regex = compileLimited(details.pattern, details.flags + extra)
  return new Form(regex, false, details.options)
}

/**
 * For what the linear engine can take over, which needs a flag that V8 reads when it compiles an
 * expression.
 */
function compileLinear(pattern: string, flags: string): RegExp {
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
  return warmed(new RegExp(pattern, flags))
}

function compileLimited(pattern: string, flags: string): RegExp {
  return warmed(withNatives(() => limitedConstructor(pattern, flags, BACKTRACKS_MAX)))
}

/** V8 compiles at the first match; a pattern that is too large must fail now. */
function warmed(regex: RegExp): RegExp {
  regex.exec('')
  return regex
}

type LimitedConstructor = (pattern: string, flags: string, backtracksMax: number) => RegExp

const limitedConstructor = createLimitedConstructor()

/**
 * V8 can bound the backtracks of one expression, at no measurable cost, but shows that only to its
 * own tests. Node is pinned; should a later V8 lack it, patterns outside the plain language run
 * without a bound.
 */
function createLimitedConstructor(): LimitedConstructor {
  try {
    return withNatives(() => {
      const create = compileFunction('return %NewRegExpWithBacktrackLimit(pattern, flags, limit)', [
        'pattern',
        'flags',
        'limit'
      ]) as LimitedConstructor
      create('', '', 1)
      return create
    })
  } catch {
    return (pattern, flags) => new RegExp(pattern, flags)
  }
}

/**
 * Runs a function while V8 takes its own `%` syntax: also at each later call, as V8 throws away the
 * code of functions that rest for long, and then compiles them again.
 */
function withNatives<T>(run: () => T): T {
  setFlagsFromString('--allow-natives-syntax')
  try {
    return run()
  } finally {
    setFlagsFromString('--no-allow-natives-syntax')
  }
}
