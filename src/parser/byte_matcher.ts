/**
 * Compiles plain patterns into JavaScript functions over bytes, so that lines and values need no
 * decoding and groups come as positions. V8's own expressions match as fast, but need a string for
 * the subject and one for each capture, which together cost twice as much as the match.
 *
 * The function backtracks as Onigmo does: in the generated text, going on is nesting, and falling
 * out of a block is failure. A repeated set whose next piece cannot begin with a character of the
 * set never gives back, which is nearly always so in log patterns. After too many steps the
 * function gives up, and the caller asks V8, whose linear engine takes over.
 *
 * @hot bench/pipelines.ts
 */
import { compileFunction } from 'node:vm'
import { complement } from './char_set.ts'
import type { CharSet } from './char_set.ts'
import { groupsIn, isDeterministic, isDeterministicRepeat, startOf } from './determinism.ts'
import { asciiOf, firstOf, FREE, hasOthers, isDisjoint, isNullable, union } from './first_set.ts'
import type { FirstSet } from './first_set.ts'
import type { AssertionPlace, Piece, RepeatPiece, SetPiece } from './pattern.ts'

/**
 * Looks for the first match in `bytes[start, end)`.
 *
 * @param spans Takes start and end of the match, then of each group by number; -1 for groups
 *   without a part in it.
 * @returns `MATCH`, `NO_MATCH`, or `UNDECIDED` when it would take too long or needs Unicode rules.
 */
export type ByteMatcher = (
  bytes: Uint8Array,
  start: number,
  end: number,
  spans: Int32Array
) => number

export const MATCH = 1
export const NO_MATCH = 0
export const UNDECIDED = -1

/** Nodes of generated text; what needs more is left to V8. */
const NODES_MAX = 400

/** Copies of a repeated piece that is more than a set. */
const COPIES_MAX = 4

/** Rounds of a repetition that is a function: more might fill the stack. */
const ROUNDS_MAX = 500

/** Steps before a match is left to V8: this many, and some for each byte. */
const STEPS_MAX = 20_000
const STEPS_PER_BYTE = 8

/** Undefined when the pattern has pieces that are not worth a function of their own. */
export function compileByteMatcher(pattern: Piece, groupCount: number): ByteMatcher | undefined {
  const writer = new MatcherWriter(groupCount)
  const text = writer.write(pattern)
  if (text === undefined) return undefined
  const tables = writer.tables.map((_, index) => `T${index}=T[${index}]`)
  const declared = tables.length === 0 ? '' : `const ${tables.join(',')};`
  // The text holds numbers and names made here, nothing from the configuration.
  const create = compileFunction(`${declared}return function match(b,s,e,g){${text}}`, ['T'])
  return create(writer.tables) as ByteMatcher
}

/** What is still to be matched, first things first; undefined is a match. */
interface Rest {
  readonly piece: Piece | GroupEnd | Commit | Again
  readonly next: Rest | undefined
}

/** A group whose start stands in the variable `start` is complete. */
interface GroupEnd {
  readonly kind: 'group end'
  readonly number: number
  readonly start: string
}

/** Leaves the labelled block: an option or a round that can match in one way only has matched. */
interface Commit {
  readonly kind: 'commit'
  readonly label: string
  /** What comes after the block. */
  readonly follow: FirstSet
}

/** Starts the next round of a repetition that is a function. */
interface Again {
  readonly kind: 'again'
  readonly call: string
  /** The variable that counts rounds. */
  readonly count: string
}

/** How pieces end up when they cannot be written. */
class NotWorthIt extends Error {}

/**
 * Writes the body of a matcher. Its names: `b`, `s`, `e` and `g` are the parameters of
 * `ByteMatcher`, `i` is the position, `f` where the attempt started, `n` counts steps and `l` is
 * their limit, `a1` and `z1` are the span of group 1, `T0` a table of bytes; other letters with a
 * number are local.
 */
class MatcherWriter {
  readonly tables: Uint8Array[] = []
  readonly #groupCount: number
  #names = 0
  #nodes = 0

  constructor(groupCount: number) {
    this.#groupCount = groupCount
  }

  write(pattern: Piece): string | undefined {
    try {
      const groups = Array.from(
        { length: this.#groupCount },
        (_, index) => `a${index + 1}=-1,z${index + 1}=-1`
      )
      const limit = `${STEPS_MAX}+(e-s)*${STEPS_PER_BYTE}`
      return `let i=s,n=0,f=s${['', ...groups].join(',')};const l=${limit};${this.#search(pattern)}`
    } catch (error) {
      if (error instanceof NotWorthIt) return undefined
      throw error
    }
  }

  /** Tries the pattern at every place where it may begin; `f` is the place. */
  #search(pattern: Piece): string {
    const attempt = this.#rest({ piece: pattern, next: undefined })
    const start = startOf(pattern)
    if (start === 'text start') return `${attempt}return 0`
    if (start === 'line start') {
      return `for(;;){i=f;${attempt}f++;while(f<e&&b[f-1]!==10)f++;if(f>=e)return 0}`
    }
    const first = isNullable(pattern) ? FREE : firstOf(pattern)
    if (first.isFree || first.hasEnd) {
      return `for(;f<=e;f++){if(f>s&&f<e&&(b[f]&192)===128)continue;i=f;${attempt}}return 0`
    }
    const inside = first.hasOthers ? 'if(f>s&&(b[f]&192)===128)continue;' : ''
    const test = this.#firstTest(first, 'f')
    return `for(;f<e;f++){if(!(${test}))continue;${inside}i=f;${attempt}}return 0`
  }

  #rest(rest: Rest | undefined): string {
    if (++this.#nodes > NODES_MAX) throw new NotWorthIt()
    if (rest === undefined) return this.#match()
    const { piece, next } = rest
    switch (piece.kind) {
      case 'set':
        return this.#set(piece, next)
      case 'assertion':
        return this.#assertion(piece.at, next)
      case 'sequence':
        return this.#rest(piece.items.reduceRight<Rest | undefined>(prepend, next))
      case 'choice':
        return this.#choice(piece.options, next)
      case 'repeat':
        return this.#repeat(piece, next)
      case 'group': {
        const start = this.#name('p')
        const end: Rest = { piece: { kind: 'group end', number: piece.number, start }, next }
        return `const ${start}=i;${this.#rest({ piece: piece.body, next: end })}`
      }
      case 'group end': {
        const { number, start } = piece
        const saved = this.#save([number])
        return `${saved.save}a${number}=${start};z${number}=i;${this.#rest(next)}${saved.restore}`
      }
      case 'again':
        return this.#call(`${piece.call}(i,${piece.count}+1)`)
      default:
        return `break ${piece.label};`
    }
  }

  #match(): string {
    let text = 'g[0]=f;g[1]=i;'
    for (let group = 1; group <= this.#groupCount; group++) {
      text += `g[${group * 2}]=a${group};g[${group * 2 + 1}]=z${group};`
    }
    return `${text}return 1;`
  }

  #set(piece: SetPiece, next: Rest | undefined): string {
    const exact = byteSequence(piece.set)
    if (exact !== undefined && !piece.isAsciiOnly) return this.#literal(exact, next)
    const unsure = piece.isAsciiOnly ? 'if(i<e&&b[i]>127)return -1;' : ''
    return `${unsure}if(i<e&&${this.#setTest(piece, 'b[i]')}){${this.#advance(piece, 'i')}${this.#rest(next)}}`
  }

  /** One test for a run of characters that are each one of a kind. */
  #literal(first: readonly number[], next: Rest | undefined): string {
    const bytes = [...first]
    let rest = next
    while (rest?.piece.kind === 'set' || rest?.piece.kind === 'sequence') {
      const { piece } = rest
      if (piece.kind === 'sequence') {
        rest = piece.items.reduceRight<Rest | undefined>(prepend, rest.next)
        continue
      }
      const more = piece.isAsciiOnly ? undefined : byteSequence(piece.set)
      if (more === undefined) break
      bytes.push(...more)
      rest = rest.next
    }
    const tests = bytes.map((byte, index) => `b[i${index === 0 ? '' : `+${index}`}]===${byte}`)
    return `if(i+${bytes.length}<=e&&${tests.join('&&')}){i+=${bytes.length};${this.#rest(rest)}}`
  }

  #assertion(at: AssertionPlace, next: Rest | undefined): string {
    const rest = this.#rest(next)
    switch (at) {
      case 'text start':
        return `if(i===s){${rest}}`
      case 'line start':
        return `if(i===s||(i<e&&b[i-1]===10)){${rest}}`
      case 'text end':
        return `if(i===e){${rest}}`
      case 'line end':
        return `if(i===e||b[i]===10){${rest}}`
      case 'last line end':
        return `if(i===e||(i===e-1&&b[i]===10)){${rest}}`
      default:
        return this.#boundary(at === 'word boundary' ? '!==' : '===', rest)
    }
  }

  /** Letters beyond ASCII are word characters, too: that takes Unicode rules. */
  #boundary(operator: string, rest: string): string {
    const word = this.#table(
      asciiOf([
        [0x30, 0x39],
        [0x41, 0x5a],
        [0x5f, 0x5f],
        [0x61, 0x7a]
      ]),
      false
    )
    const unsure = 'if((i>s&&b[i-1]>127)||(i<e&&b[i]>127))return -1;'
    return `${unsure}if((i>s&&${word}[b[i-1]]===1)${operator}(i<e&&${word}[b[i]]===1)){${rest}}`
  }

  #choice(options: readonly Piece[], next: Rest | undefined): string {
    const follow = firstOfRest(next)
    const at = this.#name('p')
    const isShort = next === undefined || next.piece.kind === 'commit'
    if (isShort || !options.every(option => isDeterministic(option, follow))) {
      const tries = options.map(option => `i=${at};${this.#rest(prepend(next, option))}`)
      return `const ${at}=i;${tries.join('')}`
    }
    // Each option matches in one way only, so what follows is written once: for the option in turn.
    const turn = this.#name('c')
    const round = this.#name('R')
    const done = this.#name('D')
    const cases = options.map((option, index) => {
      const commit: Rest = { piece: { kind: 'commit', label: done, follow }, next: undefined }
      return `${index === 0 ? '' : 'else '}if(${turn}===${index}){${this.#rest({ piece: option, next: commit })}}`
    })
    const saved = this.#save(options.flatMap(groupsIn))
    return (
      `const ${at}=i;${saved.save}${round}:for(let ${turn}=0;${turn}<${options.length};${turn}++){i=${at};` +
      `${done}:{${cases.join('')}continue ${round}}${this.#rest(next)}${saved.restore}}`
    )
  }

  #repeat(piece: RepeatPiece, next: Rest | undefined): string {
    const { body, min, max, isLazy } = piece
    if (max === 0) return this.#rest(next)
    if (min === 1 && max === 1) return this.#rest(prepend(next, body))
    if (body.kind === 'set') return this.#repeatSet(body, piece, next)
    if (min === 0 && max === 1) {
      return this.#choice(isLazy ? [EMPTY, body] : [body, EMPTY], next)
    }
    if (isNullable(body)) throw new NotWorthIt()
    const follow = firstOfRest(next)
    return isDeterministicRepeat(piece, follow)
      ? this.#rounds(piece, union(firstOf(body), follow), next)
      : this.#recursion(piece, next)
  }

  /** Rounds of a body that matches in one way only and cannot be mistaken for what follows. */
  #rounds(piece: RepeatPiece, follow: FirstSet, next: Rest | undefined): string {
    const { body, min, max } = piece
    const count = this.#name('c')
    const at = this.#name('p')
    const rounds = this.#name('R')
    const done = this.#name('D')
    const commit: Rest = { piece: { kind: 'commit', label: done, follow }, next: undefined }
    const bound = max === Infinity ? '' : `${count}<${max}`
    return (
      `let ${count}=0;${rounds}:for(;${bound};${count}++){const ${at}=i;` +
      `${done}:{${this.#rest({ piece: body, next: commit })}i=${at};break ${rounds}}` +
      `if(++n>l)return -1}` +
      `if(${count}>=${min}){${this.#rest(next)}}`
    )
  }

  /**
   * A body that may match in several ways, or be mistaken for what follows: each round is a call.
   */
  #recursion(piece: RepeatPiece, next: Rest | undefined): string {
    const { body, min, max, isLazy } = piece
    const call = this.#name('F')
    const at = this.#name('p')
    const count = this.#name('c')
    const again: Rest = { piece: { kind: 'again', call, count }, next: undefined }
    const bound = max === Infinity ? '' : `if(${count}<${max})`
    const round = `${bound}{${this.#rest({ piece: body, next: again })}i=${at};}`
    const done = `if(${count}>=${min}){${this.#rest(next)}i=${at};}`
    return (
      `const ${call}=(i,${count})=>{if(++n>l||${count}>${ROUNDS_MAX})return -1;const ${at}=i;` +
      `${isLazy ? done + round : round + done}return 0};${this.#call(`${call}(i,0)`)}`
    )
  }

  /** Ends the function unless the call failed to match. */
  #call(call: string): string {
    const result = this.#name('r')
    return `const ${result}=${call};if(${result}!==0)return ${result};`
  }

  /** Lets groups have the places of before again, when what was tried does not match. */
  #save(groups: readonly number[]): { readonly save: string; readonly restore: string } {
    let save = ''
    let restore = ''
    for (const group of groups) {
      const start = this.#name('o')
      const end = this.#name('o')
      save += `const ${start}=a${group},${end}=z${group};`
      restore += `a${group}=${start};z${group}=${end};`
    }
    return { save, restore }
  }

  #repeatSet(set: SetPiece, piece: RepeatPiece, next: Rest | undefined): string {
    const { min, max } = piece
    const follow = firstOfRest(next)
    const isFinal = isSureMatch(next) && !piece.isLazy
    const neverGivesBack = isFinal || min === max || isDisjoint(firstOf(set), follow)
    const width = hasOthers(set.set) ? 'wide' : 'narrow'
    if (width === 'wide' && (min > 1 || max !== Infinity)) {
      return neverGivesBack
        ? this.#countedSet(set, piece, next)
        : this.#rest(prepend(next, unrolled(piece)))
    }
    const at = this.#name('p')
    const unsure = set.isAsciiOnly ? 'if(i<e&&b[i]>127)return -1;' : ''
    if (piece.isLazy && !neverGivesBack) return this.#lazySet(set, piece, follow, next)
    const bound = max === Infinity ? 'e' : this.#name('m')
    const declared = max === Infinity ? '' : `const ${bound}=i+${max}<e?i+${max}:e;`
    const scan = `while(i<${bound}&&${this.#setTest(set, 'b[i]')})i++;${unsure}`
    const enough = min === 0 ? '' : `if(i>=${at}+${min})`
    const start = `const ${at}=i;${declared}${scan}`
    if (neverGivesBack) return `${start}${enough}{${this.#rest(next)}}`
    const back = this.#name('j')
    const least = this.#name('q')
    const guard = follow.isFree ? '' : `if(${this.#followTest(follow, back)})`
    const stepBack =
      width === 'wide' ? `do ${back}--;while(${back}>${at}&&(b[${back}]&192)===128);` : `${back}--;`
    return (
      `${start}if((n+=i-${at})>l)return -1;` +
      `${enough}{const ${least}=${at}+${min};for(let ${back}=i;;){` +
      `${guard}{i=${back};${this.#rest(next)}}` +
      `if(${back}<=${least})break;${stepBack}` +
      `${width === 'wide' && min === 1 ? `if(${back}===${at})break;` : ''}if(++n>l)return -1}}`
    )
  }

  /** Characters are counted where they may have several bytes. */
  #countedSet(set: SetPiece, { min, max }: RepeatPiece, next: Rest | undefined): string {
    const count = this.#name('c')
    const bound = max === Infinity ? '' : `${count}<${max}&&`
    const unsure = set.isAsciiOnly ? 'if(i<e&&b[i]>127)return -1;' : ''
    return (
      `let ${count}=0;while(${bound}i<e&&${this.#setTest(set, 'b[i]')}){${this.#advance(set, 'i')}${count}++}` +
      `${unsure}if(${count}>=${min}){${this.#rest(next)}}`
    )
  }

  /** As few as possible: tries what follows at each place. */
  #lazySet(set: SetPiece, piece: RepeatPiece, follow: FirstSet, next: Rest | undefined): string {
    const { min, max } = piece
    const at = this.#name('p')
    const here = this.#name('j')
    const enough = min === 0 ? '' : `${here}>=${at}+${min}&&`
    const guard = follow.isFree ? 'true' : this.#followTest(follow, here)
    const bound = max === Infinity ? 'e' : `${at}+${max}`
    const unsure = set.isAsciiOnly ? `if(${here}<e&&b[${here}]>127)return -1;` : ''
    return (
      `const ${at}=i;for(let ${here}=i;;){if(${enough}(${guard})){i=${here};${this.#rest(next)}}` +
      `${unsure}if(${here}<e&&${here}<${bound}&&${this.#setTest(set, `b[${here}]`)}){` +
      `${this.#advance(set, here)}}else break;if(++n>l)return -1}`
    )
  }

  #advance(piece: SetPiece, variable: string): string {
    if (!hasOthers(piece.set)) return `${variable}++;`
    return `if(b[${variable}++]>127)while(${variable}<e&&(b[${variable}]&192)===128)${variable}++;`
  }

  #followTest(follow: FirstSet, variable: string): string {
    return `${variable}<e?${this.#firstTest(follow, variable)}:${follow.hasEnd}`
  }

  #firstTest(first: FirstSet, variable: string): string {
    return this.#asciiTest(first.ascii, first.hasOthers, `b[${variable}]`)
  }

  #setTest(piece: SetPiece, byte: string): string {
    const { set, isAsciiOnly } = piece
    const others = complement(set).some(([, max]) => max > 0x7f)
    // A set that holds a part of what is beyond ASCII would have to read whole characters.
    if (!isAsciiOnly && hasOthers(set) && others) throw new NotWorthIt()
    return this.#asciiTest(asciiOf(set), !isAsciiOnly && hasOthers(set), byte)
  }

  #asciiTest(ascii: Uint8Array, isOtherIncluded: boolean, byte: string): string {
    const included = indexesOf(ascii, 1)
    const excluded = indexesOf(ascii, 0)
    if (isOtherIncluded && excluded.length === 0) return 'true'
    if (isOtherIncluded && excluded.length === 1) return `${byte}!==${excluded[0]}`
    if (!isOtherIncluded && included.length === 1) return `${byte}===${included[0]}`
    return `${this.#table(ascii, isOtherIncluded)}[${byte}]===1`
  }

  /** The name of a table of 256 bytes; equal tables are shared. */
  #table(ascii: Uint8Array, isOtherIncluded: boolean): string {
    const table = new Uint8Array(256).fill(isOtherIncluded ? 1 : 0, 128)
    table.set(ascii)
    const known = this.tables.findIndex(other => Buffer.compare(other, table) === 0)
    return `T${known >= 0 ? known : this.tables.push(table) - 1}`
  }

  #name(letter: string): string {
    return `${letter}${this.#names++}`
  }
}

function prepend(next: Rest | undefined, piece: Piece): Rest {
  return { piece, next }
}

/** What has to match next, as far as one can tell from the first byte. */
function firstOfRest(rest: Rest | undefined): FirstSet {
  let first: FirstSet | undefined
  for (let link = rest; link !== undefined; link = link.next) {
    const { piece } = link
    if (piece.kind === 'group end') continue
    if (piece.kind === 'again') return FREE
    const more = piece.kind === 'commit' ? piece.follow : firstOf(piece)
    first = first === undefined ? more : union(first, more)
    if (piece.kind === 'commit' || !isNullable(piece)) return first
  }
  return FREE
}

/** True when nothing more has to match. */
function isSureMatch(rest: Rest | undefined): boolean {
  for (let link = rest; link !== undefined; link = link.next) {
    if (link.piece.kind !== 'group end') return false
  }
  return true
}

/** `x{2,3}` as `xx(x)?`, when that is short. */
function unrolled(piece: RepeatPiece): Piece {
  const { body, min, max, isLazy } = piece
  if (min > COPIES_MAX || (max !== Infinity && max > COPIES_MAX)) throw new NotWorthIt()
  const items: Piece[] = Array.from({ length: min }, () => body)
  if (max === Infinity) {
    if (body.kind !== 'set' || min === 0) throw new NotWorthIt()
    return { kind: 'sequence', items: [...items, { kind: 'repeat', body, min: 0, max, isLazy }] }
  }
  let optional: Piece | undefined
  for (let left = max - min; left > 0; left--) {
    const inner: Piece =
      optional === undefined ? body : { kind: 'sequence', items: [body, optional] }
    optional = { kind: 'choice', options: isLazy ? [EMPTY, inner] : [inner, EMPTY] }
  }
  return { kind: 'sequence', items: optional === undefined ? items : [...items, optional] }
}

const EMPTY: Piece = { kind: 'sequence', items: [] }

/** The UTF-8 bytes of a set of one character. */
function byteSequence(set: CharSet): readonly number[] | undefined {
  if (set.length !== 1 || set[0][0] !== set[0][1]) return undefined
  const code = set[0][0]
  return code >= 0xd800 && code <= 0xdfff ? undefined : [...Buffer.from(String.fromCodePoint(code))]
}

function indexesOf(table: Uint8Array, value: number): number[] {
  return Array.from(table.keys()).filter(index => table[index] === value)
}
