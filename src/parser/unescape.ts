/**
 * Takes escapes out of texts, in the three ways that Fluent Bit has.
 * Source: Fluent Bit 5.1.1 src/flb_unescape.c.
 *
 * @hot bench/pipelines.ts
 */

const BACKSLASH = 0x5c
const REPLACEMENT = 0xfffd

/** The last unescaped text; each call replaces it. */
export class Unescaper {
  bytes: Buffer = Buffer.alloc(256)
  length = 0

  /**
   * `\n`, `\u00e9`, `\x41`, `\101`, surrogate pairs and so on, to UTF-8; the text ends at a NUL.
   */
  utf8(source: Buffer, start: number, end: number): void {
    this.#reset(end - start)
    let at = start
    while (at < end && source[at] !== 0) {
      if (source[at] === BACKSLASH && at + 1 < end) at = this.#escape(source, at + 1, end)
      else this.bytes[this.length++] = source[at++]
    }
  }

  /** `\n`, `\a`, `\b`, `\t`, `\v`, `\f`, `\r` and `\\`; any other backslash falls away. */
  c(source: Buffer, start: number, end: number): void {
    this.#reset(end - start)
    let at = start
    while (at < end) {
      const byte = source[at++]
      if (byte !== BACKSLASH) this.bytes[this.length++] = byte
      else if (at < end) this.#cEscape(source[at++])
    }
  }

  /** What stands between MySQL's quotes; a text without them stays as it is. */
  mysql(source: Buffer, start: number, end: number): void {
    this.#reset(end - start)
    const quote = source[start]
    const isQuoted =
      end - start >= 2 && (quote === 0x27 || quote === 0x22) && source[end - 1] === quote
    const last = isQuoted ? end - 1 : end
    let at = isQuoted ? start + 1 : start
    while (at < last) {
      const byte = source[at++]
      if (!isQuoted || byte !== BACKSLASH || at === last) this.bytes[this.length++] = byte
      else this.#mysqlEscape(source[at++])
    }
  }

  #reset(size: number): void {
    this.length = 0
    // A code point takes no more bytes than the escape that names it.
    if (this.bytes.length < size) this.bytes = Buffer.alloc(size * 2)
  }

  /** Reads the escape whose letter is at `at`; returns the position after it. */
  #escape(source: Buffer, at: number, end: number): number {
    const letter = source[at]
    const simple = SIMPLE_ESCAPES[letter]
    if (simple !== 0) {
      this.bytes[this.length++] = simple
      return at + 1
    }
    if (letter >= 0x30 && letter <= 0x37)
      return this.#numbered(source, at, Math.min(end, at + 3), 8)
    if (letter === 0x78) return this.#numbered(source, at + 1, Math.min(end, at + 3), 16)
    if (letter === 0x55) return this.#numbered(source, at + 1, Math.min(end, at + 9), 16)
    if (letter === 0x75) return this.#unicode(source, at + 1, end)
    this.bytes[this.length++] = letter
    return at + 1
  }

  /**
   * Reads the digits of `source[at, limit)`; without any, the letter before them stands for itself.
   */
  #numbered(source: Buffer, at: number, limit: number, base: number): number {
    const after = skipDigits(source, at, limit, base)
    if (after === at) this.bytes[this.length++] = source[at - 1]
    else this.#codePoint(Number.parseInt(source.latin1Slice(at, after), base))
    return after
  }

  #unicode(source: Buffer, at: number, end: number): number {
    const after = skipDigits(source, at, Math.min(end, at + 4), 16)
    const unit = after === at ? 0 : Number.parseInt(source.latin1Slice(at, after), 16)
    if (after - at !== 4 && after !== at) return this.#replacement(after)
    if (unit >= 0xdc00 && unit <= 0xdfff) return this.#replacement(after)
    if (unit < 0xd800 || unit > 0xdbff) {
      this.#codePoint(unit)
      return after
    }
    if (after + 2 >= end || source[after] !== BACKSLASH || source[after + 1] !== 0x75) {
      return this.#replacement(after)
    }
    const low = after + 2
    const afterLow = skipDigits(source, low, Math.min(end, low + 4), 16)
    const lowUnit =
      afterLow - low === 4 ? Number.parseInt(source.latin1Slice(low, afterLow), 16) : 0
    if (lowUnit < 0xdc00 || lowUnit > 0xdfff) return this.#replacement(afterLow)
    this.#codePoint(0x10000 + ((unit - 0xd800) << 10) + (lowUnit - 0xdc00))
    return afterLow
  }

  #replacement(after: number): number {
    this.#codePoint(REPLACEMENT)
    return after
  }

  /** Writes UTF-8, also of lone surrogates; of what is no code point only the lowest byte. */
  #codePoint(code: number): void {
    const { bytes } = this
    let at = this.length
    if (code < 0x80 || code > 0x10ffff) {
      bytes[at++] = code & 0xff
    } else if (code < 0x800) {
      bytes[at++] = (code >> 6) | 0xc0
      bytes[at++] = (code & 0x3f) | 0x80
    } else if (code < 0x10000) {
      bytes[at++] = (code >> 12) | 0xe0
      bytes[at++] = ((code >> 6) & 0x3f) | 0x80
      bytes[at++] = (code & 0x3f) | 0x80
    } else {
      bytes[at++] = (code >> 18) | 0xf0
      bytes[at++] = ((code >> 12) & 0x3f) | 0x80
      bytes[at++] = ((code >> 6) & 0x3f) | 0x80
      bytes[at++] = (code & 0x3f) | 0x80
    }
    this.length = at
  }

  #cEscape(letter: number): void {
    this.bytes[this.length++] = C_ESCAPES[letter] === 0 ? letter : C_ESCAPES[letter]
  }

  #mysqlEscape(letter: number): void {
    if (letter === 0x30) {
      this.bytes[this.length++] = 0
    } else if (MYSQL_ESCAPES[letter] !== 0) {
      this.bytes[this.length++] = MYSQL_ESCAPES[letter]
    } else {
      this.bytes[this.length++] = BACKSLASH
      this.bytes[this.length++] = letter
    }
  }
}

const SIMPLE_ESCAPES = escapeTable({
  '"': '"',
  "'": "'",
  '\\': '\\',
  '/': '/',
  n: '\n',
  b: '\b',
  t: '\t',
  f: '\f',
  r: '\r',
  v: '\v',
  a: '\u0007'
})
const C_ESCAPES = escapeTable({
  n: '\n',
  a: '\u0007',
  b: '\b',
  t: '\t',
  v: '\v',
  f: '\f',
  r: '\r',
  '\\': '\\'
})
const MYSQL_ESCAPES = escapeTable({
  n: '\n',
  r: '\r',
  t: '\t',
  '\\': '\\',
  "'": "'",
  '"': '"',
  Z: '\u001a'
})

/** The byte that each letter stands for, 0 for letters that are no escape. */
function escapeTable(escapes: Readonly<Record<string, string>>): Uint8Array {
  const table = new Uint8Array(256)
  for (const [letter, char] of Object.entries(escapes)) {
    table[letter.charCodeAt(0)] = char.charCodeAt(0)
  }
  return table
}

function skipDigits(source: Buffer, start: number, limit: number, base: number): number {
  let at = start
  while (at < limit && digitValue(source[at]) < base) at++
  return at
}

function digitValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : 255
}
