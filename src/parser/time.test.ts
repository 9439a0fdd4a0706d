import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NOW_MS } from './parser.cases.ts'
import { compileTimeFormat, type TimeOptions, type TimeReader } from './time.ts'
import { ZoneOffsets } from './time_zone.ts'

type Time = readonly [seconds: number, nanoseconds: number]

function readerOf(format: string, options: TimeOptions = {}): TimeReader {
  return compileTimeFormat(format, { now: () => NOW_MS, ...options })
}

function read(reader: TimeReader, text: string): Time | undefined {
  const bytes = Buffer.from(`<${text}>`)
  return reader.read(bytes, 1, bytes.length - 1) ? [reader.seconds, reader.nanoseconds] : undefined
}

/**
 * Format, text and time, recorded from flb_parser_do() of the Fluent Bit 5.1.1 libraries with a regex
 * parser on 2026-11-23 in UTC; undefined where the parser drops the key. The time [0, 0] stands for
 * what no event can have; Fluent Bit writes its lowest 32 bits.
 */
const KNOWN: readonly (readonly [format: string, text: string, time: Time | undefined])[] = [
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.123456789Z', [1614834367, 123456789]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.1+02:00', [1614827167, 100000000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.999999999-0330', [1614846967, 999999999]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.415213+01', [1614830767, 415213000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07,1Z', undefined],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.Z', undefined],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.1234567890Z', undefined],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.12 EST', [1614852367, 120000000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.12PDT', [1614859567, 120000000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.12GMT', [1614834367, 120000000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.12UT', [1614834367, 120000000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.12UTC', [1614834367, 120000000]],
  ['%Y-%m-%dT%H:%M:%S.%L', '2021-03-04T05:06:07.123Z', [1614834367, 123000000]],
  ['%Y-%m-%dT%H:%M:%S.%L', '2021-03-04T05:06:60.5', [1614834420, 500000000]],
  ['%Y-%m-%dT%H:%M:%S.%L', '2021-03-04T05:06:61.5', undefined],
  ['%Y-%m-%dT%H:%M:%S.%L', '2021-3-4T5:6:7.5', [1614834367, 500000000]],
  ['%Y-%m-%dT%H:%M:%S.%L', '2021-02-31T00:00:00.0', [1614729600, 0]],
  ['%Y-%m-%dT%H:%M:%S.%L', '0000-01-01T00:00:00.0', [0, 0]],
  ['%Y-%m-%dT%H:%M:%S.%L', '9999-12-31T23:59:59.9', [0, 0]],
  ['%d/%b/%Y:%H:%M:%S %z', '10/Oct/2000:13:55:36 -0700', [971211336, 0]],
  ['%d/%b/%Y:%H:%M:%S %z', '10/October/2000:13:55:36 -0700', [971211336, 0]],
  ['%d/%b/%Y:%H:%M:%S %z', '1/oct/2000:13:55:36   +0000', [970408536, 0]],
  ['%d/%b/%Y:%H:%M:%S %z', '10/Oct/2000:13:55:36+0000', [971186136, 0]],
  ['%d/%b/%Y:%H:%M:%S %z', '10/Oct/2000:13:55:36 +00:30', [971184336, 0]],
  ['%d/%b/%Y:%H:%M:%S %z', '10/May/2000:24:55:36 +0000', undefined],
  ['%d/%b/%Y:%H:%M:%S %z', '10/Foo/2000:13:55:36 +0000', undefined],
  ['%d/%b/%Y:%H:%M:%S %z', '32/Oct/2000:13:55:36 +0000', undefined],
  ['%b %d %H:%M:%S', 'Oct 11 22:14:15', [1791756855, 0]],
  ['%b %d %H:%M:%S', 'Feb  5 17:32:18', [1770312738, 0]],
  ['%b %d %H:%M:%S', 'feb 29 00:00:00', [1772323200, 0]],
  ['%b %d %H:%M:%S', 'Jan 1 1:2:3', [1767229323, 0]],
  ['%b %d %H:%M:%S.%L', 'Oct 11 22:14:15.123', [1791756855, 123000000]],
  ['%b %d %H:%M:%S.%L', 'Oct 11 22:14:15', undefined],
  ['%s', '1700000000', [1700000000, 0]],
  ['%s', '0', [0, 0]],
  ['%s', '1700000000123', [0, 0]],
  ['%s', '99999999999999999999', undefined],
  ['%s', '-5', undefined],
  ['%s', 'x', undefined],
  ['%s.%L', '1700000000.123', [1700000000, 123000000]],
  ['%s.%L', '1700000000.5x', [1700000000, 500000000]],
  ['%s.%L', '1700000000', undefined],
  ['%s %z', '1700000000 +0200', [1699992800, 0]],
  ['%a %b %d %H:%M:%S.%L %Y', 'Wed Oct 11 14:32:52.12 2000', [971274772, 120000000]],
  ['%a %b %d %H:%M:%S.%L %Y', 'Wed Oct 11 14:32:52.123456 2000', [971274772, 123456000]],
  ['%a %b %d %H:%M:%S.%L %Y', 'wednesday oct 11 14:32:52.1 2000', [971274772, 100000000]],
  ['%a %b %d %H:%M:%S.%L %Y', 'Xxx Oct 11 14:32:52.1 2000', undefined],
  ['%A, %d-%B-%y %I:%M:%S %p', 'Sunday, 06-November-94 08:49:37 PM', [784154977, 0]],
  ['%A, %d-%B-%y %I:%M:%S %p', 'Sun, 06-Nov-68 12:49:37 AM', [3119388577, 0]],
  ['%A, %d-%B-%y %I:%M:%S %p', 'sun, 06-nov-69 12:49:37 pm', [0, 0]],
  ['%A, %d-%B-%y %I:%M:%S %p', 'sun, 06-nov-00 00:49:37 pm', undefined],
  ['%A, %d-%B-%y %I:%M:%S %p', 'sun, 06-nov-00 13:49:37 pm', undefined],
  ['%A, %d-%B-%y %I:%M:%S %p', 'sun, 06-nov-00 11:49:37 xm', undefined],
  ['%D %T', '01/02/03 04:05:06', [1041480306, 0]],
  ['%D %T', '12/31/99 23:59:59', [946684799, 0]],
  ['%D %T', '13/01/00 00:00:00', undefined],
  ['%F %R', '2020-02-29 12:34', [1582979640, 0]],
  ['%F %R', '2019-02-29 12:34', [1551443640, 0]],
  ['%F %r', '2020-02-29 12:34:56 AM', [1582936496, 0]],
  ['%c', 'Sat Jan  2 03:04:05 2021', [1609556645, 0]],
  ['%c', 'Sat Jan 2 03:04:05 2021', [1609556645, 0]],
  ['%x %X', '01/02/03 04:05:06', [1041480306, 0]],
  ['%Y %j', '2020 060', [1582934400, 0]],
  ['%Y %j', '2021 060', [1614556800, 0]],
  ['%Y %j', '2021 366', [1640995200, 0]],
  ['%Y %j', '2020 366', [1609372800, 0]],
  ['%Y %j', '2020 1', [1577836800, 0]],
  ['%Y %j', '2020 0', undefined],
  ['%Y %j', '2020 367', undefined],
  ['%Y-%j %m', '2020-060 05', [1593388800, 0]],
  ['%Y %d %j', '2020 15 060', [1581724800, 0]],
  ['%C%y-%m-%d', '1999-01-02', [915235200, 0]],
  ['%C%y-%m-%d', '1905-01-02', [1104624000, 0]],
  ['%C%y-%m-%d', '2021-03-04', [1614816000, 0]],
  ['%y%m%d', '210304', [1614816000, 0]],
  ['%y%m%d', '690304', [0, 0]],
  ['%y%m%d', '680304', [3098044800, 0]],
  ['%e %b %Y', ' 5 Feb 2020', [1580860800, 0]],
  ['%e %b %Y', '15 Feb 2020', [1581724800, 0]],
  ['%e %b %Y', '5 Feb 2020', [1580860800, 0]],
  ['%Y-%m-%d %k:%M', '2020-01-01 9:05', [1577869500, 0]],
  ['%Y-%m-%d %k:%M', '2020-01-01  9:05', [1577869500, 0]],
  ['%Y-%m-%d %l:%M %p', '2020-01-01 9:05 PM', [1577912700, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 UTC', [1577836800, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 est', [1577854800, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 CEST', [1577829600, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 Z', [1577836800, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 IST', [1577817000, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 NPT', [1577816100, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 A', [1577833200, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 ABC', undefined],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 GMTX', [1577836800, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 UTC1', [1577836800, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 gmtx', undefined],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 BRST', [1577844000, 0]],
  ['%Y-%m-%d %H:%M:%S %Z', '2020-01-01 00:00:00 NST', [1577849400, 0]],
  ['%Y-%m-%d%n%H%t%M', '2020-01-01 \t 05 06', [1577855160, 0]],
  ['%Y-%m-%d%n%H%t%M', '2020-01-010506', [1577855160, 0]],
  ['%Y week %U %w %u', '2020 week 05 3 7', [1577750400, 0]],
  ['%Y week %U %w %u', '2020 week 54 3 7', undefined],
  ['%G-W%V-%u %Y', '2020-W05-1 2020', [1577750400, 0]],
  ['%G-W%V-%u %Y', '20a0-W05-1 2020', undefined],
  ['%g %Y', '20 2020', [1577750400, 0]],
  ['%Ey-%Om-%Od', '21-03-04', [1614816000, 0]],
  ['%EY', '2021', [1637625600, 0]],
  ['%Od', '05', [1793836800, 0]],
  ['%Em', '05', undefined],
  ['%f', 'x', undefined],
  ['%Y-%m-%d %H:%M:%S,%L', '2021-03-04 05:06:07,89', [1614834367, 890000000]],
  ['%Y-%m-%d %H:%M:%S,%L', '2021-03-04 05:06:07.89', undefined],
  ['%H:%M:%S', '05:06:07', [1795410367, 0]],
  ['%H:%M:%S', '5:6:7', [1795410367, 0]],
  ['%H:%M:%S.%L', '05:06:07.5', [1795410367, 500000000]],
  ['%m/%d', '02/30', [1772409600, 0]],
  ['%m/%d', '12/31', [1798675200, 0]],
  ['%Y%m%d%H%M%S', '20210304050607', [1614834367, 0]],
  ['%Y%m%d%H%M%S', '202103040506', undefined],
  ['%d.%m.%Y %H:%M', '04.03.2021 05:06', [1614834360, 0]],
  ['%%%Y', '%2021', [1609372800, 0]],
  ['%Y-%m-%dT%H:%M:%SZ', '2021-03-04T05:06:07Z', [1614834367, 0]],
  ['%Y-%m-%dT%H:%M:%SZ', '2021-03-04T05:06:07+', undefined],
  ['%Y-%m-%dT%H:%M:%S.%LZ', '2021-03-04T05:06:07.5Z', [1614834367, 500000000]],
  ['%L %Y', '123 2020', [1577750400, 123000000]],
  ['%S.%L %S', '05.5 06', [1795392006, 500000000]],
  ['%z %Y', '+0200 2020', [1577743200, 0]],
  ['%z %L %Y', '+0200 5 2020', [1577750400, 500000000]],
  ['%Y%', '2020', undefined],
  ['%Y%', '2020%', undefined],
  ['%I:%M %p %H', '05:06 PM 07', [1795417560, 0]],
  ['%Y é %m', '2020 é 05', [1588204800, 0]],
  ['%h %e', 'Jan 05', [1767571200, 0]]
]

for (const [format, text, time] of KNOWN) {
  test(`${format} reads ${JSON.stringify(text)}`, () => {
    assert.deepEqual(read(readerOf(format), text), time)
  })
}

/** As above, with `time_offset`. */
const WITH_OFFSET: readonly (readonly [
  offset: number,
  format: string,
  text: string,
  time: Time
])[] = [
  [19_800, '%Y-%m-%d %H:%M:%S', '2021-03-04 05:06:07', [1614814567, 0]],
  [19_800, '%s', '1700000000', [1699980200, 0]],
  [19_800, '%b %d %H:%M:%S', 'Mar 4 05:06:07', [1772580967, 0]],
  [19_800, '%Y-%m-%dT%H:%M:%S%z', '2021-03-04T05:06:07+0200', [1614827167, 0]],
  [19_800, '%Y-%m-%dT%H:%M:%SZ', '2021-03-04T05:06:07Z', [1614834367, 0]],
  [-28_800, '%Y-%m-%d %H:%M:%S', '2021-03-04 05:06:07', [1614863167, 0]],
  [-28_800, '%s', '1700000000', [1700028800, 0]],
  [-28_800, '%b %d %H:%M:%S', 'Mar 4 05:06:07', [1772629567, 0]],
  [-28_800, '%Y-%m-%dT%H:%M:%S%z', '2021-03-04T05:06:07+0200', [1614827167, 0]],
  [-28_800, '%Y-%m-%dT%H:%M:%SZ', '2021-03-04T05:06:07Z', [1614834367, 0]],
  [0, '%Y-%m-%d %H:%M:%S', '2021-03-04 05:06:07', [1614834367, 0]],
  [0, '%s', '1700000000', [1700000000, 0]],
  [0, '%b %d %H:%M:%S', 'Mar 4 05:06:07', [1772600767, 0]],
  [0, '%Y-%m-%dT%H:%M:%S%z', '2021-03-04T05:06:07+0200', [1614827167, 0]],
  [0, '%Y-%m-%dT%H:%M:%SZ', '2021-03-04T05:06:07Z', [1614834367, 0]],
  [0, '%Y-%m-%d %H:%M:%S', '2021-03-04 05:06:07', [1614834367, 0]],
  [0, '%s', '1700000000', [1700000000, 0]],
  [0, '%b %d %H:%M:%S', 'Mar 4 05:06:07', [1772600767, 0]],
  [0, '%Y-%m-%dT%H:%M:%S%z', '2021-03-04T05:06:07+0200', [1614827167, 0]],
  [0, '%Y-%m-%dT%H:%M:%SZ', '2021-03-04T05:06:07Z', [1614834367, 0]]
]

for (const [offsetSeconds, format, text, time] of WITH_OFFSET) {
  test(`${format} with an offset of ${offsetSeconds} s reads ${JSON.stringify(text)}`, () => {
    assert.deepEqual(read(readerOf(format, { offsetSeconds }), text), time)
  })
}

/** As above, with `time_strict off`. */
const LAX: readonly (readonly [format: string, text: string, time: Time])[] = [
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04', [1614816000, 0]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06', [1614834360, 0]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07', [1614834367, 0]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.25', [1614834367, 250000000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03-04T05:06:07.25+02:00', [1614827167, 250000000]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021-03', [1614470400, 0]],
  ['%Y-%m-%dT%H:%M:%S.%L%z', '2021', [1609372800, 0]],
  ['%b %d %H:%M:%S', 'Mar 4 05', [1772600400, 0]],
  ['%b %d %H:%M:%S', 'Mar', [1774224000, 0]]
]

for (const [format, text, time] of LAX) {
  test(`${format} when lax takes what it can of ${JSON.stringify(text)}`, () => {
    assert.deepEqual(read(readerOf(format, { isStrict: false }), text), time)
    const isWhole = text.includes('+')
    assert.equal(read(readerOf(format), text) !== undefined, isWhole)
  })
}

test('a lax reader finds no time where it cannot read the year', () => {
  assert.deepEqual(read(readerOf('%Y-%m-%d', { isStrict: false }), 'today'), [0, 0])
  assert.deepEqual(read(readerOf('%d/%b/%Y', { isStrict: false }), '04/Mar'), [0, 0])
})

/** As above, with `time_zone`. */
const IN_ZONE: readonly (readonly [zone: string, format: string, text: string, time: Time])[] = [
  ['America/New_York', '%Y-%m-%d %H:%M', '2021-01-15 12:00', [1610730000, 0]],
  ['America/New_York', '%Y-%m-%d %H:%M', '2021-07-15 12:00', [1626364800, 0]],
  ['America/New_York', '%Y-%m-%d %H:%M', '2021-03-14 02:30', [1615707000, 0]],
  ['America/New_York', '%Y-%m-%d %H:%M', '2021-11-07 01:30', [1636263000, 0]],
  ['America/New_York', '%Y-%m-%d %H:%M', '2021-03-28 02:30', [1616913000, 0]],
  ['America/New_York', '%Y-%m-%d %H:%M', '2021-10-31 02:30', [1635661800, 0]],
  ['America/New_York', '%Y-%m-%d %H:%M', '1950-06-01 00:00', [0, 0]],
  ['America/New_York', '%m-%d %H:%M', '07-15 12:00', [1784131200, 0]],
  ['America/New_York', '%Y-%m-%d %H:%M %z', '2021-07-15 12:00 +0000', [1626350400, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M', '2021-01-15 12:00', [1610708400, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M', '2021-07-15 12:00', [1626343200, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M', '2021-03-14 02:30', [1615685400, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M', '2021-11-07 01:30', [1636245000, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M', '2021-03-28 02:30', [1616891400, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M', '2021-10-31 02:30', [1635640200, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M', '1950-06-01 00:00', [0, 0]],
  ['Europe/Berlin', '%m-%d %H:%M', '07-15 12:00', [1784109600, 0]],
  ['Europe/Berlin', '%Y-%m-%d %H:%M %z', '2021-07-15 12:00 +0000', [1626350400, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M', '2021-01-15 12:00', [1610692200, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M', '2021-07-15 12:00', [1626330600, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M', '2021-03-14 02:30', [1615669200, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M', '2021-11-07 01:30', [1636228800, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M', '2021-03-28 02:30', [1616878800, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M', '2021-10-31 02:30', [1635627600, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M', '1950-06-01 00:00', [0, 0]],
  ['Asia/Kolkata', '%m-%d %H:%M', '07-15 12:00', [1784097000, 0]],
  ['Asia/Kolkata', '%Y-%m-%d %H:%M %z', '2021-07-15 12:00 +0000', [1626350400, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M', '2021-01-15 12:00', [1610722800, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M', '2021-07-15 12:00', [1626361200, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M', '2021-03-14 02:30', [1615699800, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M', '2021-11-07 01:30', [1636259400, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M', '2021-03-28 02:30', [1616909400, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M', '2021-10-31 02:30', [1635658200, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M', '1950-06-01 00:00', [0, 0]],
  ['America/Sao_Paulo', '%m-%d %H:%M', '07-15 12:00', [1784127600, 0]],
  ['America/Sao_Paulo', '%Y-%m-%d %H:%M %z', '2021-07-15 12:00 +0000', [1626350400, 0]]
]

for (const [zone, format, text, time] of IN_ZONE) {
  test(`${format} in ${zone} reads ${JSON.stringify(text)}`, () => {
    const offsets = ZoneOffsets.of(zone)
    assert.ok(offsets)
    assert.deepEqual(read(readerOf(format, { zone: offsets }), text), time)
  })
}

test('the zone of the machine holds for texts that do not say theirs, and for those that do', () => {
  const before = process.env.TZ
  process.env.TZ = 'America/New_York'
  try {
    const reader = readerOf('%Y-%m-%d %H:%M:%S', { usesSystemTimezone: true })
    assert.deepEqual(read(reader, '2021-07-15 12:00:00'), [1_626_364_800, 0])
    assert.deepEqual(read(reader, '2021-01-15 12:00:00'), [1_610_730_000, 0])
    const zoned = readerOf('%Y-%m-%d %H:%M:%S %z', { usesSystemTimezone: true })
    assert.deepEqual(read(zoned, '2021-07-15 12:00:00 +0200'), [1_626_364_800, 0])
    const clock = readerOf('%H:%M', { usesSystemTimezone: true, now: () => 1_626_318_000_000 })
    assert.deepEqual(read(clock, '23:00'), [1_626_318_000, 0])
  } finally {
    if (before === undefined) delete process.env.TZ
    else process.env.TZ = before
  }
})

test('formats without a year take it from the clock, in the zone of the text', () => {
  const newYear = Date.UTC(2027, 0, 1, 0, 30)
  const rows: [zone: string | undefined, seconds: number][] = [
    [undefined, Date.UTC(2027, 5, 1) / 1000],
    ['America/New_York', Date.UTC(2026, 5, 1, 4) / 1000]
  ]
  for (const [name, seconds] of rows) {
    const zone = name === undefined ? undefined : ZoneOffsets.of(name)
    const options = { now: () => newYear, ...(zone === undefined ? {} : { zone }) }
    assert.deepEqual(read(readerOf('%b %d %H:%M', options), 'Jun 1 00:00'), [seconds, 0])
  }
})

test('the first and the last second of events are read, and none beyond', () => {
  const reader = readerOf('%s.%L')
  const rows: [text: string, time: Time][] = [
    ['4294967293.5', [4_294_967_293, 500_000_000]],
    ['4294967294.5', [0, 0]],
    ['4294967295.5', [0, 0]]
  ]
  for (const [text, time] of rows) assert.deepEqual(read(reader, text), time)
  const clock = readerOf('%Y-%m-%dT%H:%M:%S')
  assert.deepEqual(read(clock, '2106-02-07T06:28:12'), [4_294_967_292, 0])
  assert.deepEqual(read(clock, '2106-02-07T06:28:14'), [0, 0])
  assert.deepEqual(read(clock, '1970-01-01T00:00:01'), [1, 0])
  assert.deepEqual(read(clock, '1969-12-31T23:59:59'), [0, 0])
})

test('a NUL ends the text', () => {
  assert.deepEqual(read(readerOf('%Y-%m'), '2021-03\0'), [1_614_470_400, 0])
  assert.equal(read(readerOf('%Y-%m'), '2021\0-03'), undefined)
})

const FORMATS = [
  '%Y-%m-%dT%H:%M:%S.%L%z',
  '%Y-%m-%d %H:%M:%S',
  '%d/%b/%Y:%H:%M:%S %z',
  '%b %d %H:%M:%S',
  '%S.%L %M:%H %d.%m.%Y',
  '%L %S %Y'
]

/** Times that are mostly the same but for some digits. */
const times = fc.tuple(
  fc.constantFrom(2021, 2024),
  fc.constantFrom('03', '04'),
  fc.constantFrom('05', '5', '25'),
  fc.constantFrom('00', '07', '7', '59', '60', '61', '7x'),
  fc.constantFrom('1', '25', '123456789', '1234567891', ''),
  fc.constantFrom('Z', '+0200', '', ' x')
)

function textOf(format: string, [year, month, minute, second, fraction, zone]: TimeParts): string {
  const parts: Record<string, string> = {
    Y: String(year),
    m: month,
    d: '04',
    b: 'Mar',
    H: '05',
    M: minute,
    S: second,
    L: fraction,
    z: zone
  }
  return format.replaceAll(/%(.)/g, (_, letter: string) => parts[letter])
}

type TimeParts = typeof times extends fc.Arbitrary<infer Parts> ? Parts : never

test('a reader that remembers the last text reads the next as a new reader does', () => {
  fc.assert(
    fc.property(fc.constantFrom(...FORMATS), fc.array(times, { maxLength: 8 }), (format, list) => {
      const reader = readerOf(format)
      for (const parts of list) {
        const text = textOf(format, parts)
        assert.deepEqual(read(reader, text), read(readerOf(format), text), text)
      }
    }),
    { numRuns: 1000 }
  )
})

test('a text is not taken for the last one where digits stand in other places', () => {
  const rows: [format: string, first: string, second: string, time: Time | undefined][] = [
    ['%Y %L %S', '2021 1 00', '2021 1 005 00', [1_609_372_800, 100_000_000]],
    ['%Y %S1x', '2021 71x', '2021 01x', undefined]
  ]
  for (const [format, first, second, time] of rows) {
    const reader = readerOf(format)
    assert.ok(read(reader, first))
    assert.deepEqual(read(reader, second), time)
  }
})

test('any bytes are read or refused', () => {
  const bytes = fc.uint8Array({ maxLength: 40 })
  fc.assert(
    fc.property(fc.constantFrom(...KNOWN.map(([format]) => format)), bytes, (format, text) => {
      const reader = readerOf(format)
      if (!reader.read(text, 0, text.length))
        assert.deepEqual([reader.seconds, reader.nanoseconds], [0, 0])
      assert.ok(Number.isSafeInteger(reader.seconds))
    })
  )
})
