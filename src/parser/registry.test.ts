import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Diagnostics, formatLocation } from '../config/diagnostics.ts'
import { Environment } from '../config/env.ts'
import { readParsersFile } from '../config/read.ts'
import { KeptLog, NOW_MS, parse } from './parser.cases.ts'
import type { Parser } from './parser.ts'
import { type ParserRegistry, readParsers } from './registry.ts'

const DIRECTORY = mkdtempSync(join(tmpdir(), 'parsers-'))
after(() => rmSync(DIRECTORY, { recursive: true }))

interface Outcome {
  readonly registry: ParserRegistry
  /** `severity place message`, without the name of the file. */
  readonly problems: readonly string[]
}

function read(text: string, file = 'parsers.conf'): Outcome {
  const path = join(DIRECTORY, file)
  writeFileSync(path, text)
  const diagnostics = new Diagnostics()
  const places = { baseDirectory: DIRECTORY, workingDirectory: DIRECTORY, at: undefined }
  const { parsers } = readParsersFile(path, { ...places, diagnostics })
  const environment = new Environment({
    entries: [{ name: 'KEY', value: 'ts', refreshSeconds: 0, required: false, at: PLACE }],
    processEnvironment: {},
    hostname: 'host',
    now: () => NOW_MS,
    diagnostics
  })
  const log = new KeptLog()
  const registry = readParsers(parsers, { environment, diagnostics, log, now: () => NOW_MS })
  const problems = diagnostics.list.map(({ severity, at, message }) => {
    return `${severity} ${formatLocation(at).replace(`${path}:`, '')} ${message}`
  })
  return { registry, problems }
}

const PLACE = { file: 'main.conf', line: 1, column: 1 }

function parserOf({ registry, problems }: Outcome, name: string): Parser {
  assert.deepEqual(problems, [])
  const parser = registry.create(name)
  assert.ok(parser)
  return parser
}

test('all keys of a classic parser take effect', () => {
  const outcome = read(`
[PARSER]
    Name         full
    Format       REGEX
    Regex        ^(?<ts>[^ ]*) (?<code>[^ ]*) (?<empty>[^ ]*) (?<log>.*)$
    Time_Key     \${KEY}
    Time_Format  %Y-%m-%d %H
    Time_Keep    On
    Time_Strict  Off
    Time_Offset  +0200
    Types        code:integer
    Skip_Empty_Values  off
    Decode_Field_As  escaped log do_next
    Decode_Field_As  json log
`)
  assert.deepEqual(parse(parserOf(outcome, 'full'), '2021-03-04 200  {\\"a\\":1}'), {
    seconds: 1_614_816_000,
    nanoseconds: 0,
    record: { ts: '2021-03-04', code: 200, empty: '', log: { a: 1 } }
  })
  assert.deepEqual(outcome.registry.names, ['full'])
})

test('a YAML parser is the same', () => {
  const outcome = read(
    `
parsers:
  - name: lines
    format: logfmt
    time_key: at
    timeFormat: '%Y-%m-%d %H:%M'
    time_zone: Europe/Oslo
    logfmt_no_bare_keys: true
`,
    'parsers.yaml'
  )
  const parser = parserOf(outcome, 'lines')
  const expected = { seconds: 1_614_830_760, nanoseconds: 0, record: { a: '1' } }
  assert.deepEqual(parse(parser, 'at="2021-03-04 05:06" a=1'), expected)
  assert.equal(parse(parser, 'bare'), undefined)
})

test('each parser that is created has a result of its own', () => {
  const outcome = read('[PARSER]\n    Name j\n    Format json\n    Time_Format %s\n')
  const first = parserOf(outcome, 'j')
  const second = parserOf(outcome, 'j')
  parse(first, '{"time":"12"}')
  parse(second, '{"time":"13"}')
  assert.deepEqual([first.seconds, second.seconds], [12, 13])
  assert.equal(outcome.registry.create('other'), undefined)
  assert.equal(outcome.registry.has('other'), false)
})

test('without time_format a parser finds no time', () => {
  const outcome = read('[PARSER]\n    Name j\n    Format json\n    Time_Key t\n')
  const expected = { seconds: 0, nanoseconds: 0, record: { t: '12' } }
  assert.deepEqual(parse(parserOf(outcome, 'j'), '{"t":"12"}'), expected)
})

/** Sections without their heading, and what is wrong with them; errors leave the parser out. */
const MISTAKES: readonly (readonly [lines: string, problems: readonly string[]])[] = [
  ['Format json', ['error 1:1 Cannot add a parser: "name" must be set']],
  [
    'Name r',
    ['error 1:1 Cannot add parser "r": "format" must be set to one of regex, json, ltsv, logfmt']
  ],
  [
    'Name r\n    Format csv',
    [
      'error 3:12 Cannot add parser "r": format is "csv", it must be one of regex, json, ltsv, logfmt'
    ]
  ],
  [
    'Name r\n    Format regex',
    ['error 1:1 Cannot add parser "r": "regex" must be set for format regex']
  ],
  [
    'Name r\n    Format regex\n    Regex (?<a>',
    ['error 4:11 Cannot compile regular expression "(?<a>": Unclosed group']
  ],
  [
    'Name r\n    Format regex\n    Regex (a)',
    [
      'warning 4:11 Parser of regular expression "(a)" never succeeds: it has no group with a name, as in (?<name>...)'
    ]
  ],
  [
    'Name r\n    Format json\n    Time_Format %Y %f %N',
    ['warning 4:17 Time format "%Y %f %N" of parser "r" fits no time: %f and %N cannot be read']
  ],
  [
    'Name r\n    Format json\n    Time_Format %Y\n    Time_Offset 2h',
    [
      'error 5:17 Cannot add parser "r": time_offset is "2h", it must be +hhmm, -hhmm, +hh:mm, -hh:mm or Z'
    ]
  ],
  [
    'Name r\n    Format json\n    Time_Zone Europe/Oslo',
    ['error 4:15 Cannot add parser "r": time_zone needs time_format']
  ],
  [
    'Name r\n    Format json\n    Time_Format %Y\n    Time_Zone Mars/Olympus',
    [
      'error 5:15 Cannot add parser "r": time_zone is "Mars/Olympus", it must be an IANA name such as Europe/Oslo'
    ]
  ],
  [
    'Name r\n    Format json\n    Time_Format %Y\n    Time_Zone UTC\n    Time_Offset Z',
    [
      'error 6:17 Cannot add parser "r": time_zone and time_offset are both set, only one of them may be'
    ]
  ],
  [
    'Name r\n    Format json\n    Time_Format %Y\n    Time_Zone UTC\n    Time_System_Timezone on',
    [
      'error 6:26 Cannot add parser "r": time_zone and time_system_timezone are both set, only one of them may be'
    ]
  ],
  [
    'Name r\n    Format json\n    Decode_Field xml log',
    [
      'warning 4:18 Parser "r" decodes no fields: decode_field is "xml log", the decoder must be one of json, escaped, escaped_utf8, mysql_quoted'
    ]
  ],
  [
    'Name r\n    Format json\n    Format ltsv',
    ['warning 4:5 Key "Format" has no effect: the first "Format" of the parser counts']
  ]
]

for (const [lines, problems] of MISTAKES) {
  test(`a parser with ${lines.replaceAll(/\n */g, ', ')} is told what is wrong`, () => {
    const outcome = read(`[PARSER]\n    ${lines}\n`)
    assert.deepEqual(outcome.problems, problems)
    assert.equal(outcome.registry.has('r'), problems[0].startsWith('warning'))
  })
}

test('a second parser of a name is refused, and all mistakes are told at once', () => {
  const outcome = read(
    '[PARSER]\n    Name r\n    Format json\n[PARSER]\n    Name r\n    Format ltsv\n[PARSER]\n    Name s\n'
  )
  assert.deepEqual(outcome.problems, [
    'error 4:1 Cannot add parser "r": another parser has this name already',
    'error 7:1 Cannot add parser "s": "format" must be set to one of regex, json, ltsv, logfmt'
  ])
  assert.deepEqual(outcome.registry.names, ['r'])
})

test('a key that parsers do not have is a warning', () => {
  const outcome = read('[PARSER]\n    Name r\n    Format json\n    Time_Keyy t\n')
  assert.equal(outcome.problems.length, 1)
  assert.match(outcome.problems[0], /^warning 4:5 Unknown key "Time_Keyy" on parser/)
  assert.equal(outcome.registry.has('r'), true)
})
