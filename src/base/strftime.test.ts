import assert from 'node:assert/strict'
import { test } from 'node:test'
import { strftime } from './strftime.ts'

/** 2023-11-14T22:13:20Z, a Tuesday. */
const SECONDS = 1_700_000_000

test('strftime formats UTC times as glibc does in the C locale', () => {
  const expected: Readonly<Record<string, string>> = {
    '%Y/%m/%d': '2023/11/14',
    'app-%H%M%S.log': 'app-221320.log',
    '%a %A %b %B %h': 'Tue Tuesday Nov November Nov',
    '%c|%x|%X': 'Tue Nov 14 22:13:20 2023|11/14/23|22:13:20',
    '%D %F %R %T %r': '11/14/23 2023-11-14 22:13 22:13:20 10:13:20 PM',
    '%C %y %G %g %V': '20 23 2023 23 46',
    '%I %l %k %p %P': '10 10 22 PM pm',
    '%e %j %u %w %U %W': '14 318 2 2 46 46',
    '%s %z %Z': '1700000000 +0000 GMT',
    'a%nb%tc%%': 'a\nb\tc%',
    '%Ey %Od': '23 14'
  }
  for (const [format, text] of Object.entries(expected)) {
    assert.equal(strftime(format, SECONDS), text, format)
  }
})

test('strftime knows the flags and widths of glibc', () => {
  const newYear = 1_704_067_201
  const expected: Readonly<Record<string, string>> = {
    '%-d.%-m.': '1.1.',
    '%_d|%0e|%e': ' 1|01| 1',
    '%^a %#a %#p %^P %^c': 'MON MON am am MON JAN  1 00:00:01 2024',
    '%5d|%_5d|%-5d|%05e': '00001|    1|    1|00001',
    '%8A|%08A': '  Monday|00Monday',
    '%10F': '2024-01-01'
  }
  for (const [format, text] of Object.entries(expected)) {
    assert.equal(strftime(format, newYear), text, format)
  }
})

test('strftime counts ISO weeks across the turn of the year', () => {
  const weeks = [
    [1_230_768_000, '2009-W01-4'],
    [1_609_459_199, '2020-W53-4'],
    [1_735_603_200, '2025-W01-2'],
    [1_483_228_800, '2016-W52-7']
  ] as const
  assert.deepEqual(
    weeks.map(([seconds]) => strftime('%G-W%V-%u', seconds)),
    weeks.map(([, text]) => text)
  )
})

test('strftime copies what is no conversion', () => {
  assert.equal(strftime('100% %Q %', SECONDS), '100% %Q %')
})
