/** What the crash tests rest on: that lost, strange and miscounted lines are seen. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../harness/random.ts'
import { ledgerMistakes, readLedger } from './ledger_lines.ts'
import { LineTally, numberedLine } from './line_tally.ts'

function sentLines(tally: LineTally, count: number): string[] {
  const random = seededRandom(1)
  const lines = Array.from({ length: count }, (_, index) => numberedLine('a', index, 40, random))
  tally.send('a', lines)
  return lines
}

test('lines that arrive once, twice and never are told apart, in any order', () => {
  const tally = new LineTally()
  const lines = sentLines(tally, 6)
  for (const index of [5, 0, 2, 2, 0]) tally.arrive(lines[index])
  const { sent, arrived, duplicates, strangeCount, isComplete } = tally
  assert.deepEqual(
    { sent, arrived, duplicates, strangeCount, isComplete },
    { sent: 6, arrived: 3, duplicates: 2, strangeCount: 0, isComplete: false }
  )
  assert.deepEqual(tally.missing(), [
    { file: 'a', first: 1, last: 1 },
    { file: 'a', first: 3, last: 4 }
  ])
  assert.deepEqual([tally.hasAllBelow('a', 1), tally.hasAllBelow('a', 2)], [true, false])
  for (const index of [1, 3, 4]) tally.arrive(lines[index])
  assert.equal(tally.isComplete, true)
  assert.equal(tally.missingLength, 0)
})

test('a line that is cut, joined, changed or not sent yet was never sent', () => {
  const tally = new LineTally()
  const [first, second] = sentLines(tally, 2)
  const strange = [
    '',
    first.slice(0, -1),
    first.slice(1),
    first + second,
    first.replace('a 0', 'a 1'),
    numberedLine('a', 2, 10, Math.random),
    numberedLine('b', 0, 10, Math.random)
  ]
  for (const line of strange) tally.arrive(line)
  assert.deepEqual(tally.strange, strange)
  assert.equal(tally.arrived, 0)
})

test('a ledger that balances has no mistakes, one that does not says so', () => {
  const log = [
    '[2026/10/10 06:00:00.000] [ info] [engine] service has stopped (0 pending tasks)',
    '[2026/10/10 06:00:00.000] [ info] [ledger] input tail.0: 120 ingested + 1 added + 30 recovered = 148 delivered + 0 filtered + 3 dropped (shutdown 2, no_route 1) + 0 buffered',
    '[2026/10/10 06:00:00.000] [ info] [ledger] route tail.0 > http.0: 7 ingested + 0 added + 0 recovered = 5 delivered + 0 filtered + 1 dropped + 0 buffered (BUG: differs by 1)'
  ].join('\n')
  const [input, route] = readLedger(`${log}\n`)
  assert.deepEqual(input, {
    name: 'input tail.0',
    ingested: 120,
    added: 1,
    recovered: 30,
    delivered: 148,
    filtered: 0,
    dropped: 3,
    reasons: { shutdown: 2, no_route: 1 },
    buffered: 0,
    text: 'input tail.0: 120 ingested + 1 added + 30 recovered = 148 delivered + 0 filtered + 3 dropped (shutdown 2, no_route 1) + 0 buffered'
  })
  assert.deepEqual(ledgerMistakes(input), [])
  assert.deepEqual(ledgerMistakes(route), [
    `the ledger does not balance, 7 is not 6: ${route.text}`,
    `the reasons say 0 dropped, not 1: ${route.text}`
  ])
  assert.throws(() => readLedger('[ledger] input tail.0: all is well'), /Cannot read the ledger/)
})
