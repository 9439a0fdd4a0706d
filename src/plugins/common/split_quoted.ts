/**
 * Words in quotes, as the rules of `modify` have them.
 * Source: Fluent Bit 5.1.1 src/flb_utils.c flb_utils_split_quoted().
 */

/**
 * Splits a text at single spaces. A word may stand in single or double quotes, within which a
 * backslash escapes the quote and itself. What follows `wordsMax` words is one more word, as it
 * stands.
 *
 * @returns Undefined when a quote is not closed.
 *
 * @example
 * splitQuoted(`say "hello world" 'it\\'s'`, 3) // ['say', 'hello world', "it's"]
 */
export function splitQuoted(text: string, wordsMax: number): string[] | undefined {
  const words: string[] = []
  let at = 0
  while (at < text.length) {
    if (words.length === wordsMax) return [...words, text.slice(at)]
    while (text[at] === ' ') at++
    if (text[at] !== '"' && text[at] !== "'") {
      const space = text.indexOf(' ', at)
      const end = space < 0 ? text.length : space
      words.push(text.slice(at, end))
      at = end + 1
      continue
    }
    const end = closingQuote(text, at)
    if (end < 0) return undefined
    words.push(unescape(text.slice(at + 1, end), text[at]))
    at = end + 1
  }
  return words
}

/** The position of the quote that closes the one at `start`, or -1. */
function closingQuote(text: string, start: number): number {
  const quote = text[start]
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\' && (text[at + 1] === quote || text[at + 1] === '\\')) at++
    else if (text[at] === quote) return at
  }
  return -1
}

function unescape(text: string, quote: string): string {
  return text.replaceAll(/\\(["'\\])/g, (whole, escaped: string) =>
    escaped === quote || escaped === '\\' ? escaped : whole
  )
}
