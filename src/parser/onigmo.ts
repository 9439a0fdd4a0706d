/**
 * Fluent Bit's regular expressions (Onigmo, Ruby syntax, UTF-8) on V8's.
 * Source: Fluent Bit 5.1.1 src/flb_regex.c.
 *
 * A pattern has up to four compiled forms. The plain ones are written by `onigmo_plain.ts`: for a text without
 * line feeds, and sticky for a line inside a block of lines. Everything else takes the general form of
 * oniguruma-to-es. No match can stop the pipeline: plain forms are taken over by V8's linear-time engine after
 * 50,000 backtracks, all other forms give up after `BACKTRACKS_MAX`, which counts as no match.
 *
 * Differs: where a group inside a repetition does not take part in the last round, Onigmo keeps the text of an
 * earlier round and JavaScript has none; `[\x80-\xff]` (bytes), `\K` inside a pattern and a few other rarities are
 * refused with the reason; a pattern that would run for ever does not match.
 *
 * @hot bench/pipelines.ts
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { setFlagsFromString } from 'node:v8'
import { toRegExpDetails } from 'oniguruma-to-es'
import { ConfigError } from '../config/diagnostics.ts'
import type { Location } from '../config/diagnostics.ts'
import type { CapturePlan } from './block_pattern.ts'
import { readPattern } from './onigmo_plain.ts'
import type { PlainPattern } from './onigmo_plain.ts'
import { readPatternText, rubyToOniguruma } from './onigmo_source.ts'

/** Backtracks of one match in a form that the linear engine cannot take over; about 20 ms. */
export const BACKTRACKS_MAX = 5_000_000

/** A match of such a form that fails after longer than this is taken to have given up. */
const GIVE_UP_MS = 5

const LINE_FEED = '\n'
const NOT_ASCII = /[^\0-\x7f]/
const SURROGATE = /[\ud800-\udfff]/

/**
 * Lets V8 hand a regular expression that backtracks too much to its linear-time engine. To be called before the
 * first pattern is compiled; the launcher may pass the flag to Node instead, which leaves compile caches valid.
 */
export function enableLinearRegexFallback(): void {
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
}

/**
 * Compiles a pattern as users write it, with or without slashes.
 *
 * @throws {ConfigError} `CFG_BAD_VALUE` with the reason, when the pattern is invalid.
 */
export function compileOnigmo(text: string, at?: Location): Matcher {
  try {
    return new Matcher(text)
  } catch (cause) {
    const reason = (cause as Error).message
    throw new ConfigError('CFG_BAD_VALUE', `Cannot compile regular expression "${text}": ${reason}`, at)
  }
}

/** The captures of a match: the whole match, then the groups by number. */
export type Captures = ArrayLike<string | undefined> & { readonly index: number }

export class Matcher {
  /** As the user wrote it. */
  readonly pattern: string
  /** Named groups in Fluent Bit's order; a name given to several groups is listed once for each. */
  readonly groupNames: readonly string[]
  /** The group number of each name, which is its index in `Captures`. */
  readonly groupNumbers: readonly number[]
  /** Named groups, or all groups when none has a name. */
  readonly groupCount: number
  /** True when lines are matched in linear time at worst; otherwise a match gives up after `BACKTRACKS_MAX`. */
  readonly isProtected: boolean
  /** Matches that gave up so far. */
  timeouts = 0
  readonly #source: string
  readonly #flags: string
  readonly #read: PlainPattern
  readonly #line: Form
  #general: Form | undefined
  #prefix: Form | undefined
  #block: Form | undefined
  #blockWithCarriageReturns: Form | undefined

  /** @throws {Error} With the reason when the pattern is invalid; see `compileOnigmo`. */
  constructor(text: string) {
    const source = readPatternText(text)
    this.pattern = text
    this.#source = rubyToOniguruma(source)
    this.#flags = source.flags
    this.#read = readPattern(this.#source, source.flags)
    this.groupNames = this.#read.groupNames
    this.groupNumbers = this.#read.groupNumbers
    this.groupCount = this.#read.groupCount
    this.isProtected = this.#read.plain?.isLinear ?? false
    this.#line = this.#lineForm('')
  }

  /** True when the pattern matches somewhere in the text. */
  test(text: string): boolean {
    return this.exec(text) !== null
  }

  /** The first match in the text. */
  exec(text: string): Captures | null {
    return this.#run(this.#formFor(text), text, 0)
  }

  /** True when the pattern matches somewhere in `bytes[start, end)`, as UTF-8 where it is valid. */
  testBytes(bytes: Buffer, start: number, end: number): boolean {
    return this.exec(decodeSubject(bytes, start, end)) !== null
  }

  /** True when the pattern matches at the very start of the text, and more than the empty string. */
  matchesPrefix(text: string): boolean {
    this.#prefix ??= this.#lineForm('y')
    const form = this.#isLineSubject(text) ? this.#prefix : this.#generalForm()
    const match = this.#run(form, text, 0)
    return match !== null && match.index === 0 && match[0] !== ''
  }

  /**
   * Where the captures of `execInBlock` stand. Undefined when the pattern cannot be used on blocks: it may match
   * elsewhere than at a line's start, or a group stands in a repetition.
   */
  get blockPlan(): CapturePlan | undefined {
    return this.#read.plain?.block?.plan
  }

  /**
   * Matches the line that starts at `at`, in a block of ASCII lines that is one text: nothing needs to be cut out.
   * The captures are those of `blockPlan`.
   */
  execInBlock(block: string, at: number, hasCarriageReturns: boolean): Captures | null {
    const form = hasCarriageReturns
      ? (this.#blockWithCarriageReturns ??= this.#blockForm(true))
      : (this.#block ??= this.#blockForm(false))
    return this.#run(form, block, at)
  }

  #run(form: Form, text: string, at: number): Captures | null {
    if (form.isLinear) return form.exec(text, at)
    const started = performance.now()
    const match = form.exec(text, at)
    if (match === null && performance.now() - started > GIVE_UP_MS) this.timeouts++
    return match
  }

  #formFor(text: string): Form {
    return this.#isLineSubject(text) ? this.#line : this.#generalForm()
  }

  /** True when the line form means the same for this text as the general form. */
  #isLineSubject(text: string): boolean {
    if (text.includes(LINE_FEED)) return false
    const { plain } = this.#read
    if (plain === undefined) return true
    return !(plain.asciiOnly ? NOT_ASCII : SURROGATE).test(text)
  }

  #lineForm(flags: string): Form {
    const { plain } = this.#read
    if (plain === undefined) return generalForm(this.#source, this.#flags, true, flags)
    const regex = plain.isLinear
      ? compileLinear(plain.line, flags)
      : compileLimited(plain.line, flags)
    return new Form(regex, plain.isLinear)
  }

  #blockForm(hasCarriageReturns: boolean): Form {
    const { plain } = this.#read
    if (plain?.block === undefined) return this.#line
    const { text, textWithCarriageReturns } = plain.block
    if (hasCarriageReturns) return new Form(compileLimited(textWithCarriageReturns, 'y'), false)
    return plain.isLinear
      ? new Form(compileLinear(text, 'my'), true)
      : new Form(compileLimited(text, 'my'), false)
  }

  #generalForm(): Form {
    this.#general ??= generalForm(this.#source, this.#flags, false, '')
    return this.#general
  }
}

/** Text for matching: UTF-8 where it is valid, else one character a byte so that the bytes survive. */
export function decodeSubject(bytes: Buffer, start: number, end: number): string {
  const part = bytes.subarray(start, end)
  if (isAscii(part) || !isUtf8(part)) return bytes.latin1Slice(start, end)
  return bytes.utf8Slice(start, end)
}

/** One compiled form, with the captures that oniguruma-to-es adds for its emulations taken out again. */
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

  exec(text: string, at: number): Captures | null {
    this.#regex.lastIndex = at
    try {
      const match = this.#regex.exec(text)
      return match === null || this.#hidden.size === 0 ? match : this.#visible(match)
    } catch {
      // V8 throws when its backtrack stack is full (64 MB): as hopeless as too many backtracks.
      return null
    }
  }

  #visible(match: RegExpExecArray): Captures {
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
  return new Form(regex, false, details.options as Emulation | undefined)
}

function compileLinear(pattern: string, flags: string): RegExp {
  enableLinearRegexFallback()
  return warmed(new RegExp(pattern, flags))
}

function compileLimited(pattern: string, flags: string): RegExp {
  return warmed(limitedConstructor(pattern, flags, BACKTRACKS_MAX))
}

/** V8 compiles at the first match; a pattern that is too large must fail now. */
function warmed(regex: RegExp): RegExp {
  regex.exec('')
  return regex
}

type LimitedConstructor = (pattern: string, flags: string, backtracksMax: number) => RegExp

const limitedConstructor = createLimitedConstructor()

/**
 * V8 can bound the backtracks of one expression, at no measurable cost, but shows that only to its own tests.
 * Node is pinned; should a later V8 lack it, patterns outside the plain language run without a bound.
 */
function createLimitedConstructor(): LimitedConstructor {
  setFlagsFromString('--allow-natives-syntax')
  try {
    const create = new Function(
      'pattern',
      'flags',
      'limit',
      'return %NewRegExpWithBacktrackLimit(pattern, flags, limit)'
    ) as LimitedConstructor
    create('', '', 1)
    return create
  } catch {
    return (pattern, flags) => new RegExp(pattern, flags)
  } finally {
    setFlagsFromString('--no-allow-natives-syntax')
  }
}
