import assert from 'node:assert/strict'
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { event, FileRun } from '../../../../test/harness/file_run.ts'

const ROTATE = '    path FOLDER\n    file out\n    format plain\n    rotate on\n'

/** 2023-11-14T22:13:20 in local time, plus the second that the first flush takes. */
const NOW_MS = new Date(2023, 10, 14, 22, 13, 20).getTime()

/** A run whose random numbers give the suffixes 00000001, 00000002, … */
function start(properties: string): Promise<FileRun> {
  let count = 0
  return FileRun.start(`${ROTATE}${properties}`, '', {
    nowMs: NOW_MS,
    random: () => ++count / 2 ** 32
  })
}

/** 20 bytes a line. */
function line(n: number): string {
  return `{"text":"${String(n).padStart(8, '0')}"}\n`
}

function sent(n: number): Buffer {
  return event({ text: String(n).padStart(8, '0') })
}

/** What a compressed file holds, from the harness's one character a byte. */
function unpacked(content: string): string {
  return gunzipSync(Buffer.from(content, 'latin1')).toString()
}

test('a file that has reached rotate_max_size is renamed before the next chunk', async () => {
  const run = await start('    rotate_max_size 40\n    rotate_gzip off\n')
  for (const n of [1, 2, 3, 4, 5]) await run.send('app', sent(n))
  assert.deepEqual(await run.stop(), {
    'out.20231114_221323_00000001': line(1) + line(2),
    'out.20231114_221325_00000002': line(3) + line(4),
    out: line(5)
  })
  assert.deepEqual(run.log, [
    '[ info] file rotation enabled: rotate_max_size=40, rotate_max_files=7, rotate_gzip=false',
    '[ info] rotated FOLDER/out to FOLDER/out.20231114_221323_00000001',
    '[ info] rotated FOLDER/out to FOLDER/out.20231114_221325_00000002'
  ])
})

test('a rotated file is compressed unless rotate_gzip is off', async () => {
  const run = await start('    rotate_max_size 1\n')
  await run.send('app', sent(1))
  await run.send('app', sent(2))
  const files = await run.stop()
  assert.deepEqual(Object.keys(files).toSorted(), ['out', 'out.20231114_221322_00000001.gz'])
  assert.equal(unpacked(files['out.20231114_221322_00000001.gz']), line(1))
  assert.equal(files['out'], line(2))
})

test('a file that was too large already is renamed before the first chunk', async () => {
  const run = await start('    rotate_max_size 4\n    rotate_gzip off\n')
  writeFileSync(join(run.folder, 'out'), 'old\n')
  await run.send('app', sent(1))
  assert.deepEqual(await run.stop(), { 'out.20231114_221321_00000001': 'old\n', out: line(1) })
})

test('the oldest rotated files are removed, compressed or not, and no others', async () => {
  const run = await start('    rotate_max_size 1\n    rotate_gzip off\n    rotate_max_files 2\n')
  const rotated = [
    '20200101_000000',
    '20200101_000000.gz',
    '20220101_000000_0a0B0c0D.gz',
    '20210101_000000_00000000'
  ]
  const others = [
    '1',
    'gz',
    '20200101',
    '20200101_00000a',
    '20200101_000000_0000000g',
    '20200101_000000.bz2'
  ]
  for (const [index, name] of [...rotated, ...others].entries()) {
    writeFileSync(join(run.folder, `out.${name}`), name)
    utimesSync(join(run.folder, `out.${name}`), index, index)
  }
  writeFileSync(join(run.folder, 'other.20200101_000000'), '')
  mkdirSync(join(run.folder, 'out.20190101_000000'))
  writeFileSync(join(run.folder, 'out'), 'old\n')
  await run.send('app', sent(1))
  const names = Object.keys(await run.stop()).toSorted()
  const expected = [
    'out.20210101_000000_00000000',
    'out.20231114_221321_00000001',
    'out',
    'other.20200101_000000'
  ]
  assert.deepEqual(names, [...expected, ...others.map(name => `out.${name}`)].toSorted())
  assert.deepEqual(run.log.slice(2), [
    '[ info] cleaning up old rotated files: removing 3 files (keeping 2)'
  ])
})

test('files that changed in the same second are removed in the order of their names', async () => {
  const run = await start('    rotate_max_size 1\n    rotate_gzip off\n    rotate_max_files 4\n')
  for (const second of [5, 2, 8, 1, 7, 4, 6, 3]) {
    const path = join(run.folder, `out.20200101_00000${second}`)
    writeFileSync(path, '')
    utimesSync(path, 5.5, 5 + second / 10)
  }
  writeFileSync(join(run.folder, 'out'), 'old\n')
  await run.send('app', sent(1))
  assert.deepEqual(Object.keys(await run.stop()).toSorted(), [
    'out',
    'out.20200101_000006',
    'out.20200101_000007',
    'out.20200101_000008',
    'out.20231114_221321_00000001'
  ])
})

test('a file that cannot be renamed is written on', async () => {
  const run = await start('    rotate_max_size 1\n    rotate_gzip off\n')
  await run.send('app', sent(1))
  mkdirSync(join(run.folder, 'out.20231114_221322_00000001'))
  await run.send('app', sent(2))
  assert.deepEqual(await run.stop(), { out: line(1) + line(2) })
  assert.deepEqual(run.log.slice(1), [
    '[error] [errno=21] Is a directory',
    '[ warn] could not rotate FOLDER/out'
  ])
})

test('a rotated file that cannot be compressed is kept', async () => {
  const run = await start('    rotate_max_size 1\n')
  await run.send('app', sent(1))
  mkdirSync(join(run.folder, 'out.20231114_221322_00000001.gz'))
  await run.send('app', sent(2))
  await run.pipeline.until(() => run.log.length >= 5)
  rmSync(join(run.folder, 'out.20231114_221322_00000001.gz'), { recursive: true })
  assert.deepEqual(await run.stop(), { out: line(2), 'out.20231114_221322_00000001': line(1) })
  assert.deepEqual(run.log.slice(2), [
    '[error] [errno=21] Is a directory',
    '[error] compression failed for FOLDER/out.20231114_221322_00000001',
    '[ warn] keeping uncompressed rotated file FOLDER/out.20231114_221322_00000001'
  ])
})

test('each dynamic destination is rotated for itself', async () => {
  const run = await FileRun.start(
    ROTATE.replace('file out', 'file f$v') +
      '    rotate_max_size 8\n    rotate_gzip off\n    fallback_file rest\n',
    '',
    { nowMs: NOW_MS, random: () => 0.5 }
  )
  await run.send('app', event({ v: 1 }), event({ v: 12 }))
  await run.send('app', event({ v: 1 }), event({ v: 12 }))
  assert.deepEqual(await run.stop(), {
    'f1.20231114_221322_80000000': '{"v":1}\n',
    f1: '{"v":1}\n',
    'f12.20231114_221322_80000000': '{"v":12}\n',
    f12: '{"v":12}\n'
  })
})
