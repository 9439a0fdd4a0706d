import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logWithPlaceholders, withPlaceholders } from './placeholders.ts'

const beginMs = Date.UTC(2026, 10, 23, 8, 0, 0)
const WINDOW = { beginMs, endMs: beginMs + 2000 }
const NOW = beginMs / 1000 + 1

const texts = [
  [`[${NOW}.000000001, {}]`, '[<now ns>, {}]'],
  [`{"date":${NOW}.5}`, '{"date":<now .>}'],
  [`{"date":${NOW}}`, '{"date":<now s>}'],
  [`{"date":${NOW}123}`, '{"date":<now ms>}'],
  [`"timeUnixNano":"${NOW}123456789"`, '"timeUnixNano":"<now 19>"'],
  ['[1714979289.000000000, {}]', '[1714979289.000000000, {}]'],
  [`{"id":9${NOW}}`, `{"id":9${NOW}}`],
  ['2026-11-23T08:00:01.123456Z', '<now T.6>Z'],
  ['2026-11-23 08:00:01', '<now  >'],
  ['2026-11-23T07:08:09.000000Z', '<today>T07:08:09.000000Z'],
  ['2026-02-05T17:32:18.000000Z', '<year>-02-05T17:32:18.000000Z'],
  ['2024-05-06T07:08:09.250000Z', '2024-05-06T07:08:09.250000Z']
]

for (const [text, expected] of texts) {
  test(`placeholders of ${text}`, () => assert.equal(withPlaceholders(text, WINDOW), expected))
}

test('of a log, warnings and errors stay, without times and places', () => {
  const log = [
    '[2026/11/23 08:00:01.000] [ warn] [engine] service will shutdown in max 1 seconds',
    '[2026/11/23 08:00:01.000] [ info] [input:tail:tail.0] initializing',
    '[2026/11/23 08:00:01.000] [ warn] [input:tail:tail.0] second of the alphabet',
    '[2026/11/23 08:00:01.000] [error] [/build/src/plugins/out_file/file.c:12 errno=2] No such file',
    '[2026/11/23 08:00:01.000] [error] file=/tmp/run/a.log'
  ].join('\n')
  assert.equal(
    logWithPlaceholders(log, '/tmp/run'),
    [
      '[ warn] [input:tail:tail.0] second of the alphabet',
      '[error] [<C file> errno=2] No such file',
      '[error] file=<folder>/a.log',
      ''
    ].join('\n')
  )
})
