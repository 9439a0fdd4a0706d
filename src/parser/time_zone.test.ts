import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTimeOffset, ZoneOffsets } from './time_zone.ts'

/** As flb_parser_tzone_offset() of Fluent Bit 5.1.1 reads them. */
const OFFSETS: readonly (readonly [text: string, seconds: number | undefined])[] = [
  ['Z', 0],
  ['Zulu', 0],
  ['+0000', 0],
  ['+0530', 19_800],
  ['-0530', -19_800],
  ['+05:30', 19_800],
  ['-08:00', -28_800],
  ['+0200 CEST', 7200],
  ['+5959', 215_940],
  ['+6000', undefined],
  ['+0060', undefined],
  ['+02', undefined],
  ['+900', undefined],
  ['0200', undefined],
  ['UTC', undefined],
  ['', undefined]
]

for (const [text, seconds] of OFFSETS) {
  test(`the offset ${JSON.stringify(text)} is ${seconds ?? 'refused'}`, () => {
    assert.equal(parseTimeOffset(text), seconds)
  })
}

test('names that are no zone give none', () => {
  for (const name of ['Mars/Olympus', '', '+01:00', '../etc', 'Europe']) {
    assert.equal(ZoneOffsets.of(name), undefined, name)
  }
})

test('offsets are those of Temporal in any order of asking, and both ends of time have one', () => {
  const zones = fc.constantFrom('America/New_York', 'Europe/Dublin', 'Asia/Kathmandu', 'UTC')
  const seconds = fc.integer({ min: -2_000_000_000, max: 4_000_000_000 })
  fc.assert(
    fc.property(zones, fc.array(seconds, { minLength: 1, maxLength: 6 }), (name, times) => {
      const zone = ZoneOffsets.of(name)
      assert.ok(zone)
      for (const time of times) {
        const at = Temporal.Instant.fromEpochMilliseconds(time * 1000).toZonedDateTimeISO(name)
        assert.equal(zone.offsetAt(time), at.offsetNanoseconds / 1e9)
      }
    })
  )
  const zone = ZoneOffsets.of('Europe/Oslo')
  assert.equal(Number.isFinite(zone?.offsetAt(1e15)), true)
  assert.equal(Number.isFinite(zone?.offsetAt(-1e15)), true)
  assert.equal(zone?.offsetAt(1_626_350_400), 7200)
})

test('a wall clock reading that occurs twice means the first, one that is skipped the new offset', () => {
  const zone = ZoneOffsets.of('Europe/Berlin')
  assert.equal(
    zone?.toEpoch(Date.UTC(2021, 9, 31, 2, 30) / 1000),
    Date.UTC(2021, 9, 31, 0, 30) / 1000
  )
  assert.equal(
    zone?.toEpoch(Date.UTC(2021, 2, 28, 2, 30) / 1000),
    Date.UTC(2021, 2, 28, 0, 30) / 1000
  )
})

test('a wall clock reading goes back to the time that shows it', () => {
  const zones = fc.constantFrom('America/New_York', 'Europe/Berlin', 'Asia/Kolkata')
  const seconds = fc.integer({ min: 0, max: 2_000_000_000 })
  fc.assert(
    fc.property(zones, seconds, (name, time) => {
      const zone = ZoneOffsets.of(name)
      assert.ok(zone)
      const wall = time + zone.offsetAt(time)
      const back = zone.toEpoch(wall)
      assert.equal(back + zone.offsetAt(back), wall)
      assert.ok(back <= time, 'the first of two times')
    })
  )
})
