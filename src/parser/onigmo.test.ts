import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { ConfigError } from '../config/diagnostics.ts'
import { MATCH, NO_MATCH, UNDECIDED } from './byte_matcher.ts'
import { type Captures, compileOnigmo, type Matcher } from './onigmo.ts'
import { readPattern } from './pattern.ts'
import { writePlainRegExp } from './plain_regexp.ts'

interface Found {
  readonly whole: string
  readonly groups: readonly (readonly [name: string, text: string])[]
}

/**
 * Pattern, text, and what Fluent Bit's flb_regex_do() and flb_regex_parse() find, recorded from the
 * libraries of the 5.1.1 build. Groups without a part in the match are empty.
 */
const KNOWN: readonly (readonly [pattern: string, text: string, found: Found | undefined])[] = [
  [
    '^(?<a>[^ ]*) (?<b>.*)$',
    'one two three',
    {
      whole: 'one two three',
      groups: [
        ['a', 'one'],
        ['b', 'two three']
      ]
    }
  ],
  ['^(?<a>[^ ]*) (?<b>.*)$', 'one', undefined],
  [
    '^(?<a>.+?)(?<b> .*)?$',
    'x y z',
    {
      whole: 'x y z',
      groups: [
        ['a', 'x'],
        ['b', ' y z']
      ]
    }
  ],
  [
    '(?<a>\\d+)-(?<b>\\d+)?',
    'ab 12-',
    {
      whole: '12-',
      groups: [
        ['a', '12'],
        ['b', '']
      ]
    }
  ],
  ['^(?<a>b)$', 'a\nb\nc', { whole: 'b', groups: [['a', 'b']] }],
  ['(?<a>^)', '\n', { whole: '', groups: [['a', '']] }],
  ['(?<a>$)', 'a\n', { whole: '', groups: [['a', '']] }],
  ['(?<a>a\\Z)', 'a\n', { whole: 'a', groups: [['a', 'a']] }],
  ['(?<a>a\\z)', 'a\n', undefined],
  [
    '(?<a>.)\\Ab|(?<b>b)',
    'ab',
    {
      whole: 'b',
      groups: [
        ['a', ''],
        ['b', 'b']
      ]
    }
  ],
  ['(?<a>.+)', 'a\nb', { whole: 'a', groups: [['a', 'a']] }],
  ['/(?<a>.+)/m', 'a\nb', { whole: 'a\nb', groups: [['a', 'a\nb']] }],
  ['/(?<a>AbC)/i', 'xaBcx', { whole: 'aBc', groups: [['a', 'aBc']] }],
  ['/a (?<n> b ) # comment/x', 'ab', { whole: 'ab', groups: [['n', 'b']] }],
  ['/(?<a>b)/', 'abc', { whole: 'b', groups: [['a', 'b']] }],
  ['(?<a>a{2}?)b', 'b', { whole: 'b', groups: [['a', '']] }],
  ['(?<a>a{2}?)b', 'aab', { whole: 'aab', groups: [['a', 'aa']] }],
  ['(?<q>a(?i)b|c)', 'aC', { whole: 'aC', groups: [['q', 'aC']] }],
  ['(?<q>a(?i)b|c)', 'C', undefined],
  [
    '(?<a>x)|(?<a>y)',
    'xy',
    {
      whole: 'x',
      groups: [
        ['a', 'x'],
        ['a', '']
      ]
    }
  ],
  [
    '(?<x>(?:(?<a>x)|(?<b>y))+)',
    'xy',
    {
      whole: 'xy',
      groups: [
        ['x', 'xy'],
        ['a', 'x'],
        ['b', 'y']
      ]
    }
  ],
  [
    '(?<a>(?<b>x)+)(y)',
    'xxy',
    {
      whole: 'xxy',
      groups: [
        ['a', 'xx'],
        ['b', 'x']
      ]
    }
  ],
  [
    '(?<b>2)(?<a>1)(?<b>3)',
    '213',
    {
      whole: '213',
      groups: [
        ['b', '2'],
        ['b', '3'],
        ['a', '1']
      ]
    }
  ],
  ['(?<a>\\s)', '\u00a0', undefined],
  ['(?<a>\\w+)', 'é1é', { whole: '1', groups: [['a', '1']] }],
  ['(?<a>\\b.)', 'éa', { whole: 'é', groups: [['a', 'é']] }],
  ['(?<a>[[:alpha:]]+)', 'aé1', { whole: 'aé', groups: [['a', 'aé']] }],
  ['(?<a>[[:punct:]]+)', 'a+€!', { whole: '+', groups: [['a', '+']] }],
  ['(?<a>\\h+)', 'xAf9g', { whole: 'Af9', groups: [['a', 'Af9']] }],
  ['(?<a>\\N\\O)', 'NO', { whole: 'NO', groups: [['a', 'NO']] }],
  ['(?<a>.)$', 'x😀', { whole: '😀', groups: [['a', '😀']] }],
  ['(?<a>[^a]{2})', 'é😀', { whole: 'é😀', groups: [['a', 'é😀']] }],
  ['(?<a>é|ü)+', 'éü', { whole: 'éü', groups: [['a', 'ü']] }],
  ['/(?<a>É)/i', 'é', { whole: 'é', groups: [['a', 'é']] }],
  ['/(?<a>s+)/i', 'Sſ', { whole: 'Sſ', groups: [['a', 'Sſ']] }],
  ['(?<a>(?=b).)', 'ab', { whole: 'b', groups: [['a', 'b']] }],
  ['(?<a>(?<!a)b)', 'ab b', { whole: 'b', groups: [['a', 'b']] }],
  ['(?<a>a++b)', 'aaab', { whole: 'aaab', groups: [['a', 'aaab']] }],
  ['(?<a>(?>a+)ab)', 'aaab', undefined],
  ['(?<c>.)\\k<c>', 'abb', { whole: 'bb', groups: [['c', 'b']] }],
  ['(?<a>[a-c&&[^b]]+)', 'bacb', { whole: 'ac', groups: [['a', 'ac']] }],
  [
    '(?<a>a??)(?<b>a*)',
    'aaa',
    {
      whole: 'aaa',
      groups: [
        ['a', ''],
        ['b', 'aaa']
      ]
    }
  ],
  [
    '(?<a>(?:ab?)*)(?<b>.*)',
    'abaabx',
    {
      whole: 'abaabx',
      groups: [
        ['a', 'abaab'],
        ['b', 'x']
      ]
    }
  ],
  ['(?<a>(?:ab|a)*)b', 'abab', { whole: 'abab', groups: [['a', 'aba']] }],
  [
    '^(?:(?<k>[a-z]+)=(?<v>\\d+);)*$',
    'a=1;b=2;',
    {
      whole: 'a=1;b=2;',
      groups: [
        ['k', 'b'],
        ['v', '2']
      ]
    }
  ],
  ['(?<a>[]a]+)', 'x]a', { whole: ']a', groups: [['a', ']a']] }],
  ['(?<a>\\u00e9\\x41)', 'éA', { whole: 'éA', groups: [['a', 'éA']] }],
  ['(?<a>\\R)', 'a\r\nb', { whole: '\r\n', groups: [['a', '\r\n']] }],
  ['(?<a>a{,2})', 'aaa', { whole: 'aa', groups: [['a', 'aa']] }],
  ['(?<a>^b$)', 'a\nb\n', { whole: 'b', groups: [['a', 'b']] }],
  [
    '^(?<a>\\S+)(?: +(?<b>[^ ]*) +\\S*)?"',
    'GET /x HTTP/1.1"',
    {
      whole: 'GET /x HTTP/1.1"',
      groups: [
        ['a', 'GET'],
        ['b', '/x']
      ]
    }
  ],
  [
    '^(?<a>\\S+)(?: +(?<b>[^ ]*) +\\S*)?"',
    'GET"',
    {
      whole: 'GET"',
      groups: [
        ['a', 'GET'],
        ['b', '']
      ]
    }
  ],
  [
    '(?<a>\\d{1,3}(?:\\.\\d{1,3}){3})',
    'ip 10.0.0.255!',
    { whole: '10.0.0.255', groups: [['a', '10.0.0.255']] }
  ],
  [
    '(?<a>[0-9a-f]{20,40})x',
    '0123456789abcdef0123456789x',
    { whole: '0123456789abcdef0123456789x', groups: [['a', '0123456789abcdef0123456789']] }
  ]
]

for (const [pattern, text, found] of KNOWN) {
  test(`${pattern} finds in ${JSON.stringify(text)} what Onigmo finds`, () => {
    const matcher = compileOnigmo(pattern)
    assert.deepEqual(foundBy(matcher, matcher.exec(text)), found)
  })
}

function foundBy(matcher: Matcher, captures: Captures | null): Found | undefined {
  if (captures === null) return undefined
  const groups = matcher.groupNames.map((name, index): [string, string] => [
    name,
    captures[matcher.groupNumbers[index]] ?? ''
  ])
  return { whole: captures[0] ?? '', groups }
}

test('a match in the middle of a buffer sees nothing of what is around it', () => {
  const bytes = Buffer.from('key=ab\nrest')
  const matcher = compileOnigmo('^(?<a>\\w+)\\b$')
  assert.equal(matcher.findInBytes(bytes, 4, 6), MATCH)
  assert.deepEqual([...matcher.spans], [4, 6, 4, 6])
  assert.equal(matcher.findInBytes(bytes, 0, 6), NO_MATCH)
})

test('bytes that are not UTF-8 survive a match', () => {
  const bytes = Buffer.from('a=\xff\xfe b', 'latin1')
  const matcher = compileOnigmo('a=(?<v>[^ ]+)')
  assert.equal(matcher.findInBytes(bytes, 0, bytes.length), MATCH)
  assert.deepEqual(bytes.subarray(matcher.spans[2], matcher.spans[3]), Buffer.from([0xff, 0xfe]))
  const lookahead = compileOnigmo('(?=a)a=(?<v>[^ ]+)')
  assert.equal(lookahead.execBytes(bytes, 0, bytes.length)?.[1], '\xff\xfe')
})

test('a pattern of a route matches at the start of a tag only, and more than nothing', () => {
  const rows: [pattern: string, tag: string, isMatch: boolean][] = [
    ['kube', 'kube.x', true],
    ['kube', 'my.kube', false],
    ['kube|my', 'my.kube', true],
    ['x*', 'kube', false],
    ['.*', 'kube', true],
    ['(?=kube)k', 'kube', true],
    ['/KUBE/i', 'kube', true],
    ['^b', 'a\nb', false]
  ]
  for (const [pattern, tag, isMatch] of rows) {
    assert.equal(compileOnigmo(pattern).matchesPrefix(tag), isMatch, `${pattern} ${tag}`)
  }
})

const REFUSED: readonly (readonly [pattern: string, reason: string])[] = [
  ['(?<a>x', 'Unclosed group'],
  ['[a-', 'Unclosed character class'],
  ['*a', 'Quantifier requires a repeatable token'],
  ['a)', 'Unmatched ")"'],
  ['(?<1a>x)', 'Group name "1a" invalid in Oniguruma'],
  ['(?<a>x)\\1', 'Numbered backref/subroutine not allowed when using named capture'],
  ['[\\x80-\\xff]', 'Multibyte code "\\x80" incomplete or invalid in Oniguruma']
]

for (const [pattern, reason] of REFUSED) {
  test(`${pattern} is refused with the reason and the place`, () => {
    const at = { file: 'p.conf', line: 3, column: 5 }
    assert.throws(
      () => compileOnigmo(pattern, at),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError)
        assert.equal(error.message, `Cannot compile regular expression "${pattern}": ${reason}`)
        assert.deepEqual(error.at, at)
        return true
      }
    )
  })
}

/** Patterns that take exponential or high polynomial time in Onigmo, and texts that show it. */
const SLOW: readonly (readonly [pattern: string, text: string, isProtected: boolean])[] = [
  ['^(?<a>(x+x+)+y)$', 'x'.repeat(2000), true],
  ['^(?<a>(?:x|x)+y)$', 'x'.repeat(2000), true],
  ['^(?<a>[^ ]*[^ ]*[^ ]*[^ ]*)"$', 'x'.repeat(1000), true],
  ['/^(?<a>([a-z]+)+)\\d$/i', 'A'.repeat(2000), true],
  ['^(?<a>(\\w+\\s?)*)$', `${'a'.repeat(200)}!`, true],
  ['^(?<a>(?<b>x+)+)\\k<b>$', `${'x'.repeat(40)}y`, false],
  ['^(?<a>(?=x)(x+x+)+y)$', 'x'.repeat(60), false],
  ['(?<a>(x+x+)+y)\\n', `${'x'.repeat(60)}\n`, true]
]

for (const [pattern, text, isProtected] of SLOW) {
  test(`${pattern} gives up in bounded time`, () => {
    const matcher = compileOnigmo(pattern)
    const started = performance.now()
    assert.equal(matcher.test(text), false)
    assert.ok(performance.now() - started < 2000)
    assert.equal(matcher.isProtected, isProtected)
    assert.equal(matcher.timeouts, isProtected && !text.includes('\n') ? 0 : 1)
  })
}

/** Parts of patterns that the byte matcher and V8 must agree on. */
const ATOMS = [
  'a',
  'b',
  '1',
  ' ',
  '"',
  '\\.',
  '.',
  '[^ ]',
  '[^"]',
  '\\S',
  '\\s',
  '\\d',
  '\\w',
  '\\W',
  '[a-c]',
  '[^a]',
  'é',
  '\\h',
  '[[:alpha:]]',
  '\\b',
  '\\B',
  '^',
  '$',
  '\\A',
  '\\z',
  '\\Z',
  '[a-c&&[^b]]',
  'ab',
  '"a'
]
const QUANTIFIERS = ['', '', '', '*', '+', '?', '*?', '+?', '??', '{2}', '{1,3}', '{2,}']

const atom = fc
  .tuple(fc.constantFrom(...ATOMS), fc.constantFrom(...QUANTIFIERS))
  .map(([text, quantifier]) => (/^(?:\^|\$|\\[AzZbB])$/.test(text) ? text : text + quantifier))
const sequence = fc.array(atom, { minLength: 1, maxLength: 4 }).map(parts => parts.join(''))
const group = fc
  .tuple(fc.constantFrom('(', '(?:'), sequence, fc.option(sequence), fc.constantFrom('', '?', '??'))
  .map(([open, first, second, quantifier]) => {
    const body = second === null ? first : `${first}|x${second}`
    return `${open}x${body})${quantifier}`
  })
const somePattern = fc
  .tuple(
    fc.constantFrom('', '^'),
    fc.array(fc.oneof(sequence, group), { minLength: 1, maxLength: 4 })
  )
  .map(([start, parts]) => start + parts.join(''))
const someText = fc
  .array(fc.constantFrom('a', 'b', 'c', 'x', '1', ' ', '"', '.', 'é', '\n', 'ab', '😀'), {
    maxLength: 12
  })
  .map(parts => parts.join(''))

test('the byte matcher finds what V8 finds', () => {
  fc.assert(
    fc.property(somePattern, someText, (pattern, text) => {
      const matcher = compileOnigmo(pattern)
      const bytes = Buffer.from(text)
      if (matcher.findInBytes(bytes, 0, bytes.length) === UNDECIDED) return
      assert.deepEqual(texts(matcher.exec(text)), texts(matcher.execDecoded(text)), pattern)
    }),
    { numRuns: 500 }
  )
})

function texts(captures: Captures | null): (string | undefined)[] | undefined {
  return captures === null ? undefined : Array.from(captures)
}

test('repetitions are bounded for the linear engine, over all that are nested', () => {
  const rows: [pattern: string, isProtected: boolean][] = [
    ['x{300}', true],
    ['[a-f]{20,40}x', true],
    ['x{20,}', true],
    ['x{600}', false],
    ['(?:xy){16}', true],
    ['(?:xy){17}', false],
    ['(?:x{4}){4}', true],
    ['(?:x{4}){5}', false],
    ['(?:x{20}){2}', false],
    ['(?:(?:x{3})*){3}', true]
  ]
  for (const [pattern, isProtected] of rows) {
    const matcher = compileOnigmo(pattern)
    assert.equal(matcher.isProtected, isProtected, pattern)
    const text = pattern.includes('xy') ? 'xy'.repeat(20) : `${'f'.repeat(30)}${'x'.repeat(700)}`
    assert.ok(matcher.execDecoded(text), pattern)
  }
})

/** A flag of V8 alone, and only while its engine is switched on. */
const LINEAR_FLAG = 'l'

test('V8 runs every plain expression that calls itself linear in linear time', () => {
  setFlagsFromString('--enable-experimental-regexp-engine')
  fc.assert(
    fc.property(somePattern, pattern => {
      const { piece } = readPattern(pattern, '')
      if (piece === undefined) return
      const { text, isLinear } = writePlainRegExp(piece)
      // The flag makes V8 refuse what its linear engine cannot run.
      if (isLinear) assert.ok(new RegExp(text, LINEAR_FLAG))
    })
  )
})

test('patterns compile also when V8 has thrown away the code of functions at rest', () => {
  setFlagsFromString('--expose-gc')
  setFlagsFromString('--stress-flush-code')
  try {
    const collectGarbage = runInNewContext('gc') as () => void
    for (let round = 0; round < 3; round++) collectGarbage()
    assert.equal(compileOnigmo('(?<a>(?>a+)b)').exec('aab')?.[0], 'aab')
  } finally {
    setFlagsFromString('--no-stress-flush-code')
  }
})
