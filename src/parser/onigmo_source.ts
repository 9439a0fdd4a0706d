/**
 * From the text of a `regex` key to a pattern that oniguruma-parser reads the way Onigmo's Ruby
 * syntax means it.
 * Source: Fluent Bit 5.1.1 src/flb_regex.c check_option(), str_to_regex(); lib/onigmo regsyntax.c
 * OnigSyntaxRuby.
 */

/**
 * A pattern and its options as letters of oniguruma-parser: i ignore case, m dot matches line ends,
 * x extended.
 */
export interface OnigmoSource {
  readonly pattern: string
  readonly flags: string
}

/**
 * Shorthands are ASCII in Ruby but Unicode in Oniguruma; a nested class means the same inside a
 * class and outside. Four letters mean nothing in Ruby.
 */
const RUBY_ESCAPES: Readonly<Record<string, string>> = {
  d: '[0-9]',
  D: '[^0-9]',
  w: '[a-zA-Z0-9_]',
  W: '[^a-zA-Z0-9_]',
  s: '[\\t\\n\\v\\f\\r ]',
  S: '[^\\t\\n\\v\\f\\r ]',
  N: 'N',
  O: 'O',
  y: 'y',
  Y: 'Y'
}

/** `[:punct:]` is punctuation and the nine symbols of ASCII, not all symbols. */
const PUNCTUATION = '\\p{P}$+<=>\\^`|~'

/**
 * Takes `/pattern/imxo` apart. Without option letters the slashes must be the first and the last
 * character; with a letter outside `imxo`, or with `o` alone, the slashes are part of the pattern.
 */
export function readPatternText(text: string): OnigmoSource {
  const slash = text.lastIndexOf('/')
  if (!text.startsWith('/') || slash === 0) return { pattern: text, flags: '' }
  const letters = text.slice(slash + 1)
  if (letters === '') return { pattern: text.slice(1, -1), flags: '' }
  const flags = ['i', 'm', 'x'].filter(letter => letters.includes(letter)).join('')
  if (flags === '' || /[^imxo]/.test(letters)) return { pattern: text, flags: '' }
  return { pattern: text.slice(1, slash), flags }
}

/**
 * Rewrites what Ruby syntax reads in another way than Oniguruma: shorthands are ASCII, `{n}?` is an
 * optional `{n}`, `(?i)` holds to the end of its group over the alternatives that follow, and
 * `[:punct:]` has fewer symbols.
 */
export function rubyToOniguruma(source: OnigmoSource): string {
  return new Rewriter(source.pattern, source.flags.includes('x')).rewrite()
}

interface OpenGroup {
  /** Extended syntax, where `#` starts a comment. */
  isExtended: boolean
  /** Parentheses that the rewriter opened for isolated options. */
  added: number
}

class Rewriter {
  readonly #text: string
  #at = 0
  #output = ''
  #classDepth = 0
  #group: OpenGroup
  readonly #outer: OpenGroup[] = []

  constructor(text: string, isExtended: boolean) {
    this.#text = text
    this.#group = { isExtended, added: 0 }
  }

  rewrite(): string {
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]
      if (char === '\\') this.#escape()
      else if (char === '[') this.#openClass()
      else if (this.#classDepth > 0) this.#classChar(char)
      else if (char === '(') this.#openGroup()
      else if (char === ')') this.#closeGroup()
      else if (char === '{') this.#interval()
      else if (char === '#' && this.#group.isExtended) this.#copy(/[^\n]*/y)
      else this.#copy(/[^]/y)
    }
    return this.#output + ')'.repeat(this.#group.added)
  }

  #escape(): void {
    const ruby = RUBY_ESCAPES[this.#text[this.#at + 1]]
    if (ruby === undefined) {
      this.#copy(/\\(?:[xpPu]\{[^}]*\}|[^]|$)/y)
      return
    }
    this.#output += ruby
    this.#at += 2
  }

  #openClass(): void {
    const punctuation = this.#classDepth > 0 ? this.#match(/\[:(\^?)punct:\]/y) : undefined
    if (punctuation !== undefined) {
      this.#output += `[${punctuation[1]}${PUNCTUATION}]`
      this.#at += punctuation[0].length
      return
    }
    this.#classDepth++
    this.#copy(/\[\^?\]?/y)
  }

  #classChar(char: string): void {
    if (char === ']') this.#classDepth--
    this.#copy(/[^]/y)
  }

  #openGroup(): void {
    const comment = this.#match(/\(\?#(?:\\[^]|[^)\\])*\)/y)
    if (comment !== undefined) {
      this.#at += comment[0].length
      return
    }
    const options = this.#match(/\(\?([imx]*)(?:-([imx]*))?([:)])/y)
    if (options === undefined) {
      this.#pushGroup(this.#group.isExtended)
      this.#copy(/\(/y)
      return
    }
    const [whole, on, off = '', end] = options
    const isExtended = on.includes('x') || (this.#group.isExtended && !off.includes('x'))
    if (end === ':') {
      this.#pushGroup(isExtended)
    } else {
      this.#group.isExtended = isExtended
      this.#group.added++
    }
    this.#output += `${whole.slice(0, -1)}:`
    this.#at += whole.length
  }

  #pushGroup(isExtended: boolean): void {
    this.#outer.push(this.#group)
    this.#group = { isExtended, added: 0 }
  }

  #closeGroup(): void {
    this.#output += ')'.repeat(this.#group.added)
    this.#copy(/\)/y)
    this.#group = this.#outer.pop() ?? { isExtended: false, added: 0 }
  }

  #interval(): void {
    const fixed = this.#match(/(\{\d+\})\?/y)
    if (fixed === undefined) {
      this.#copy(/\{/y)
      return
    }
    this.#output += `${fixed[1]}{0,1}`
    this.#at += fixed[0].length
  }

  #match(sticky: RegExp): RegExpExecArray | undefined {
    sticky.lastIndex = this.#at
    return sticky.exec(this.#text) ?? undefined
  }

  #copy(sticky: RegExp): void {
    const text = this.#match(sticky)?.[0] ?? ''
    this.#output += text
    this.#at += text.length
  }
}
