/**
 * Encodings of files that are not UTF-8: where their lines end, and how a line becomes UTF-8.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_config.c, src/unicode/.
 *
 * Differs: Fluent Bit converts what it has read so far, and a character or a line cut by the end of its buffer is
 * lost; here lines are cut first and converted whole. A byte order mark at the start of a file is left out.
 */

/** Names of `generic.encoding` and their aliases, as WHATWG encoding labels. UHC is what the web calls euc-kr. */
const GENERIC: Readonly<Record<string, string>> = {
  shiftjis: 'shift_jis',
  sjis: 'shift_jis',
  cp932: 'shift_jis',
  'windows-31j': 'shift_jis',
  gb18030: 'gb18030',
  gbk: 'gbk',
  cp936: 'gbk',
  big5: 'big5',
  cp950: 'big5',
  uhc: 'euc-kr',
  cp949: 'euc-kr',
  'windows-949': 'euc-kr',
  win866: 'ibm866',
  cp866: 'ibm866',
  win874: 'windows-874',
  cp874: 'windows-874',
  ...Object.fromEntries(
    [1250, 1251, 1252, 1253, 1254, 1255, 1256].flatMap(page => [
      [`win${page}`, `windows-${page}`],
      [`cp${page}`, `windows-${page}`]
    ])
  )
}

export interface FileEncoding {
  /** Bytes of one code unit: 2 for UTF-16, else 1. */
  readonly unitBytes: 1 | 2
  /** Position of the first byte of the next line feed in `bytes[start, end)`, or -1. */
  findLineFeed(bytes: Buffer, start: number, end: number): number
  /** The bytes as text; what is not valid becomes U+FFFD. */
  decode(bytes: Buffer, start: number, end: number): string
}

/** Gives each file an encoding of its own, as `auto` finds it from what the file begins with. */
export type EncodingSource = () => FileEncoding

/** The encoding of a `generic.encoding` value, or undefined for an unknown name. */
export function genericEncoding(name: string): EncodingSource | undefined {
  const label = GENERIC[name.toLowerCase()]
  return label === undefined ? undefined : () => singleByteUnits(new TextDecoder(label))
}

/** The encoding of a `unicode.encoding` value, or undefined for an unknown name. */
export function unicodeEncoding(name: string): EncodingSource | undefined {
  switch (name.toLowerCase()) {
    case 'auto':
      return detected
    case 'utf-16le':
    case 'utf16-le':
      return () => utf16(new TextDecoder('utf-16le'), 0)
    case 'utf-16be':
    case 'utf16-be':
      return () => utf16(new TextDecoder('utf-16be'), 1)
    default:
      return undefined
  }
}

/** In all of these encodings 0x0A is a line feed wherever it stands. */
function singleByteUnits(decoder: TextDecoder): FileEncoding {
  return {
    unitBytes: 1,
    findLineFeed: (bytes, start, end) => within(bytes.indexOf(0x0a, start), end),
    decode: (bytes, start, end) => decoder.decode(bytes.subarray(start, end))
  }
}

/** @param feedAt Which byte of the unit is 0x0A in a line feed. */
function utf16(decoder: TextDecoder, feedAt: 0 | 1): FileEncoding {
  return {
    unitBytes: 2,
    findLineFeed(bytes, start, end) {
      for (let at = start; at + 1 < end; at += 2) {
        if (bytes[at + feedAt] === 0x0a && bytes[at + 1 - feedAt] === 0) return at
      }
      return -1
    },
    decode: (bytes, start, end) => decoder.decode(bytes.subarray(start, end))
  }
}

/** Takes the encoding from the first bytes that it sees: a byte order mark, or a zero beside an ASCII character. */
function detected(): FileEncoding {
  const little = utf16(new TextDecoder('utf-16le'), 0)
  const big = utf16(new TextDecoder('utf-16be'), 1)
  const plain = singleByteUnits(new TextDecoder('utf-8'))
  let found: FileEncoding | undefined
  const choose = (bytes: Buffer, start: number): FileEncoding => {
    const first = bytes[start]
    const second = bytes[start + 1]
    if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return little
    if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0)) return big
    return plain
  }
  return {
    get unitBytes() {
      return found?.unitBytes ?? 1
    },
    findLineFeed(bytes, start, end) {
      found ??= choose(bytes, start)
      return found.findLineFeed(bytes, start, end)
    },
    decode(bytes, start, end) {
      found ??= choose(bytes, start)
      return found.decode(bytes, start, end)
    }
  }
}

function within(position: number, end: number): number {
  return position < end ? position : -1
}
