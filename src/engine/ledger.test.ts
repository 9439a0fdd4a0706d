import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imbalance, Ledger, rowText } from './ledger.ts'

test('rows are inputs and then routes, each in the order of its first use, with what is buffered', () => {
  const ledger = new Ledger()
  ledger.route('tail.0', 'http.0').ingested += 3
  ledger.input('tail.0').ingested += 3
  ledger.input('dummy.1')
  ledger.route('dummy.1', 'alias')
  const rows = ledger.rows(new Map([['route tail.0 > http.0', 3]]))
  assert.deepEqual(
    rows.map(({ name, buffered }) => [name, buffered]),
    [
      ['input tail.0', 0],
      ['input dummy.1', 0],
      ['route tail.0 > http.0', 3],
      ['route dummy.1 > alias', 0]
    ]
  )
  assert.deepEqual(rows.map(imbalance), [3, 0, 0, 0])
})

test('the same label gives the same account', () => {
  const ledger = new Ledger()
  assert.equal(ledger.input('a'), ledger.input('a'))
  assert.equal(ledger.route('a', 'b'), ledger.route('a', 'b'))
  assert.notEqual(ledger.route('a', 'b'), ledger.route('a', 'c'))
})

test('a row is printed as an equation, with reasons in the order of their first loss', () => {
  const ledger = new Ledger()
  const account = ledger.input('tail.0')
  account.ingested = 12
  account.added = 2
  account.recovered = 4
  account.delivered = 9
  account.filtered = 1
  account.drop('storage_limit', 2)
  account.drop('no_retries', 1)
  account.drop('storage_limit', 1)
  account.drop('shutdown', 0)
  const [row] = ledger.rows(new Map([['input tail.0', 4]]))
  assert.equal(
    rowText(row),
    'input tail.0: 12 ingested + 2 added + 4 recovered = 9 delivered + 1 filtered + 4 dropped (storage_limit 3, no_retries 1) + 4 buffered'
  )
  assert.equal(imbalance(row), 0)
})

test('a row that does not balance says by how many events', () => {
  const ledger = new Ledger()
  ledger.input('tail.0').ingested = 3
  const [row] = ledger.rows(new Map([['input tail.0', 1]]))
  assert.equal(imbalance(row), 2)
  assert.equal(
    rowText(row),
    'input tail.0: 3 ingested + 0 added + 0 recovered = 0 delivered + 0 filtered + 0 dropped + 1 buffered (BUG: differs by 2)'
  )
})
