import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemDisk as disk } from './disk.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'spillway-disk-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

test('a folder lists its files and folders by name, without hidden ones, links and pipes', t => {
  const root = folder(t)
  for (const name of ['b.flb', 'a.flb', '.hidden', 'C']) writeFileSync(join(root, name), '')
  for (const name of ['two', 'one', '.spillway']) mkdirSync(join(root, name))
  symlinkSync(join(root, 'a.flb'), join(root, 'link'))
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', join(root, 'pipe')])
  assert.deepEqual(disk.list(root), {
    files: ['C', 'a.flb', 'b.flb'],
    folders: ['one', 'two']
  })
})

test('a folder that is not there lists nothing, what is no folder is a failure', t => {
  const root = folder(t)
  writeFileSync(join(root, 'file'), '')
  assert.throws(() => disk.list(join(root, 'file')), { code: 'ENOTDIR' })
  assert.deepEqual(disk.list(join(root, 'none')), { files: [], folders: [] })
})

test('a folder is made with those above it, and may be there already', t => {
  const path = join(folder(t), 'a', 'b', 'c')
  assert.equal(disk.exists(path), false)
  disk.makeFolder(path)
  disk.makeFolder(path)
  assert.equal(disk.exists(path), true)
  writeFileSync(join(path, 'file'), '')
  assert.throws(() => disk.makeFolder(join(path, 'file')), { code: 'EEXIST' })
  assert.throws(() => disk.makeFolder(join(path, 'file', 'd')), { code: 'ENOTDIR' })
})

test('a new file is for its owner alone and never replaces one that is there', t => {
  const path = join(folder(t), 'file')
  disk.close(disk.create(path))
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.throws(() => disk.create(path), { code: 'EEXIST' })
})

test('pieces are written one after the other at a position, and an opened file keeps what it has', t => {
  const path = join(folder(t), 'file')
  const created = disk.create(path)
  const pieces = [Buffer.from('one '), Buffer.alloc(0), Buffer.from('two')]
  assert.equal(disk.write(created, pieces, 0), 7)
  disk.close(created)
  const opened = disk.open(path)
  assert.equal(disk.write(opened, [Buffer.from('TWO!')], 4), 4)
  disk.close(opened)
  assert.equal(disk.read(path).toString(), 'one TWO!')
  assert.equal(disk.size(path), 8)
  disk.truncate(path, 3)
  assert.equal(readFileSync(path, 'utf8'), 'one')
  disk.rename(path, `${path}.2`)
  assert.equal(disk.exists(path), false)
  disk.remove(`${path}.2`)
  assert.equal(disk.exists(`${path}.2`), false)
})

for (const [what, use] of [
  ['opened', path => disk.open(path)],
  ['read', path => disk.read(path)],
  ['measured', path => disk.size(path)],
  ['cut', path => disk.truncate(path, 0)],
  ['removed', path => disk.remove(path)],
  ['renamed', path => disk.rename(path, `${path}.2`)]
] as readonly (readonly [string, (path: string) => unknown])[]) {
  test(`a file that is not there cannot be ${what}`, t => {
    assert.throws(() => use(join(folder(t), 'none')), { code: 'ENOENT' })
  })
}

test('waiting for the medium ends later, with the failure if there was one', async t => {
  const root = folder(t)
  const descriptor = disk.create(join(root, 'file'))
  const outcomes: string[] = []
  const waits = [
    (done: (failure: Error | null) => void) => disk.sync(descriptor, done),
    (done: (failure: Error | null) => void) => disk.syncFolder(root, done),
    (done: (failure: Error | null) => void) => disk.syncFolder(join(root, 'none'), done)
  ]
  const all = waits.map(async wait => {
    const { promise, resolve } = Promise.withResolvers<NodeJS.ErrnoException | null>()
    wait(resolve)
    const failure = await promise
    outcomes.push(failure?.code ?? 'done')
  })
  assert.deepEqual(outcomes, [])
  await Promise.all(all)
  assert.deepEqual(
    outcomes.toSorted((a, b) => (a < b ? -1 : 1)),
    ['ENOENT', 'done', 'done']
  )
  disk.close(descriptor)
  const { promise, resolve } = Promise.withResolvers<NodeJS.ErrnoException | null>()
  const pipe = openSync('/dev/null', 'r')
  disk.sync(pipe, resolve)
  assert.equal((await promise)?.code, 'EINVAL')
  closeSync(pipe)
})
