import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { SlowDisk, SmallDisk, systemFailure } from '../../test/harness/faulty_disk.ts'
import { ChunkFile, type ChunkFileOptions } from './chunk_file.ts'
import { eventsBlock, readChunkFile, settledBlock, startOfFile } from './chunk_format.ts'
import { type Disk, systemDisk } from './disk.ts'

const ORIGIN = { tag: 'app', input: 'tail.0' }
const FIRST = Buffer.from('the first events')
const BOTH = Buffer.from('the first events and more')
const MORE = BOTH.subarray(FIRST.length)

interface SiteOptions {
  readonly disk: Disk
  readonly syncs: boolean
}

/** A file in a folder of the test's own, and what is in it. */
class Site {
  readonly path: string
  readonly file: ChunkFile

  /** Failures that the file has told of. */
  readonly failures: string[] = []

  constructor(t: TestContext, { disk = systemDisk, syncs = false }: Partial<SiteOptions> = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'spillway-chunk-'))
    t.after(() => rmSync(folder, { recursive: true }))
    this.path = join(folder, 'a.chunk')
    this.file = new ChunkFile(this.options(disk, syncs))
  }

  options(disk: Disk, syncs: boolean): ChunkFileOptions {
    const folder = dirname(this.path)
    return {
      disk,
      path: this.path,
      damagedPath: join(folder, 'corrupt', 'a.chunk'),
      origin: ORIGIN,
      syncFolders: syncs ? done => disk.syncFolder(folder, done) : undefined,
      notSynced: (path, failure) => void this.failures.push(`${basename(path)}: ${failure.message}`)
    }
  }

  get content(): Buffer {
    return readFileSync(this.path)
  }

  get exists(): boolean {
    return systemDisk.exists(this.path)
  }
}

/** A file's content, written in one piece. */
function content(...blocks: readonly (readonly Buffer[])[]): Buffer {
  return Buffer.concat([...startOfFile(ORIGIN), ...blocks.flat()])
}

/** Notes the names of receipts that are due. */
function receipts(): { due: string[]; named: (name: string) => () => void } {
  const due: string[] = []
  return { due, named: name => () => void due.push(name) }
}

test('there is no file before there are events, and then one for its owner alone', t => {
  const { file, path } = new Site(t)
  assert.equal(systemDisk.exists(path), false)
  assert.equal(file.fileBytes, 0)
  file.append(FIRST, 3)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(file.fileBytes, statSync(path).size)
  assert.deepEqual([file.storedBytes, file.storedEvents], [FIRST.length, 3])
})

test('each append writes what is new as a block of its own', t => {
  const site = new Site(t)
  site.file.append(FIRST, 3)
  site.file.append(FIRST, 3)
  site.file.append(BOTH, 5)
  assert.deepEqual(site.content, content(eventsBlock(FIRST, 3), eventsBlock(MORE, 2)))
  assert.deepEqual(site.file.load(), BOTH)
})

test('what an output has settled stands behind the events, also once the file is sealed', t => {
  const site = new Site(t)
  site.file.append(FIRST, 3)
  site.file.seal()
  site.file.settle({ output: 'http.0', left: [2] })
  site.file.settle({ output: 'http.1' })
  assert.deepEqual(
    site.content,
    content(
      eventsBlock(FIRST, 3),
      settledBlock({ output: 'http.0', left: [2] }),
      settledBlock({ output: 'http.1' })
    )
  )
  assert.deepEqual(site.file.load(), FIRST)
})

test('a file is open while it is written to and closed once it is sealed', t => {
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk })
  site.file.append(FIRST, 3)
  site.file.append(BOTH, 5)
  site.file.seal()
  site.file.settle({ output: 'http.0' })
  site.file.remove()
  assert.deepEqual(
    slow.calls.map(call => call.replace(/ \d+$/, '')),
    [
      'create a.chunk',
      'write a.chunk',
      'write a.chunk',
      'close a.chunk',
      'open a.chunk',
      'write a.chunk',
      'close a.chunk',
      'remove a.chunk'
    ]
  )
})

test('a chunk that never had events has no file to remove', t => {
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk })
  site.file.seal()
  site.file.remove()
  assert.deepEqual(slow.calls, [])
})

test('removing a file twice is fine', t => {
  const site = new Site(t)
  site.file.append(FIRST, 3)
  site.file.remove()
  site.file.remove()
  assert.equal(site.exists, false)
})

// --- the disk fails

test('a disk that takes a few bytes at a time gets all of them', t => {
  const disk: Disk = {
    ...systemDisk,
    write: (descriptor, pieces, position) =>
      systemDisk.write(descriptor, [Buffer.concat(pieces).subarray(0, 5)], position)
  }
  const site = new Site(t, { disk })
  site.file.append(FIRST, 3)
  site.file.append(BOTH, 5)
  assert.deepEqual(site.content, content(eventsBlock(FIRST, 3), eventsBlock(MORE, 2)))
})

test('a write that fails after any number of bytes leaves the file as it was, and the next one writes all', t => {
  const whole = content(eventsBlock(FIRST, 3), eventsBlock(MORE, 2))
  const first = content(eventsBlock(FIRST, 3))
  for (let room = 0; room < whole.length; room++) {
    const small = new SmallDisk()
    const site = new Site(t, { disk: small.disk })
    small.room = room
    const isStored = (bytes: Buffer, events: number): boolean => {
      try {
        site.file.append(bytes, events)
        return true
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
        return false
      }
    }
    assert.equal(isStored(FIRST, 3), room >= first.length, `room ${room}`)
    assert.equal(isStored(BOTH, 5), false, `room ${room}`)
    assert.deepEqual(
      site.exists ? site.content : Buffer.alloc(0),
      room >= first.length ? first : Buffer.alloc(0),
      `room ${room}`
    )
    small.room = Number.POSITIVE_INFINITY
    assert.equal(isStored(BOTH, 5), true, `room ${room}`)
    const { pieces, problem, events } = readChunkFile(site.content)
    assert.deepEqual(
      { bytes: Buffer.concat(pieces), problem, events },
      { bytes: BOTH, problem: undefined, events: 5 },
      `room ${room}`
    )
    site.file.remove()
  }
})

test('a disk that says it has written nothing is a failure, not a loop', t => {
  const site = new Site(t, { disk: { ...systemDisk, write: () => 0 } })
  assert.throws(() => site.file.append(FIRST, 3), /the disk takes no more/)
  assert.equal(site.exists, false)
})

test('what a failed write has left and cannot be cut off is written over by the next', t => {
  const small = new SmallDisk()
  const disk: Disk = {
    ...small.disk,
    truncate: () => {
      throw systemFailure('EIO', -5, 'ftruncate')
    }
  }
  const site = new Site(t, { disk })
  site.file.append(FIRST, 3)
  small.room = 10
  assert.throws(() => site.file.append(BOTH, 5), /ENOSPC/)
  assert.equal(readChunkFile(site.content).problem, 'torn_block')
  assert.deepEqual(Buffer.concat(readChunkFile(site.content).pieces), FIRST)
  small.room = Number.POSITIVE_INFINITY
  site.file.append(BOTH, 5)
  assert.deepEqual(site.content, content(eventsBlock(FIRST, 3), eventsBlock(MORE, 2)))
})

test('a first write that fails, and whose file cannot be removed, can be tried again', t => {
  const small = new SmallDisk()
  let isBroken = true
  const disk: Disk = {
    ...small.disk,
    remove: path => {
      if (isBroken) throw systemFailure('EIO', -5, 'unlink')
      systemDisk.remove(path)
    }
  }
  const site = new Site(t, { disk })
  small.room = 10
  assert.throws(() => site.file.append(FIRST, 3), /ENOSPC/)
  small.room = Number.POSITIVE_INFINITY
  isBroken = false
  site.file.append(FIRST, 3)
  assert.deepEqual(site.content, content(eventsBlock(FIRST, 3)))
})

test('a note of what an output has settled keeps a file good that the disk had not taken yet', t => {
  const small = new SmallDisk()
  const site = new Site(t, { disk: small.disk })
  small.room = 0
  assert.throws(() => site.file.append(FIRST, 3), /ENOSPC/)
  small.room = Number.POSITIVE_INFINITY
  site.file.settle({ output: 'http.0' })
  site.file.append(FIRST, 3)
  const { origin, pieces, problem } = readChunkFile(site.content)
  assert.deepEqual(
    { origin, bytes: Buffer.concat(pieces), problem },
    { origin: ORIGIN, bytes: FIRST, problem: undefined }
  )
})

test('a file that was changed behind the back of the program is not loaded', t => {
  const site = new Site(t)
  site.file.append(FIRST, 3)
  const flipped = Buffer.from(site.content)
  flipped[flipped.length - 1] ^= 1
  writeFileSync(site.path, flipped)
  assert.throws(() => site.file.load(), /bad_checksum/)
  writeFileSync(site.path, site.content.subarray(0, -1))
  assert.throws(() => site.file.load(), /torn_block/)
  rmSync(site.path)
  assert.throws(() => site.file.load(), { code: 'ENOENT' })
})

// --- receipts

test('without synchronization events are stored once they are written', t => {
  const { due, named } = receipts()
  const small = new SmallDisk()
  const site = new Site(t, { disk: small.disk })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  assert.deepEqual(due, ['first'])
  small.room = 0
  assert.throws(() => site.file.append(BOTH, 5))
  site.file.whenStored(BOTH.length, named('more'))
  assert.deepEqual(due, ['first'])
  small.room = 1000
  site.file.append(BOTH, 5)
  assert.deepEqual(due, ['first', 'more'])
})

test('with synchronization events are stored once the file, and the first time its folder, is on the medium', t => {
  const { due, named } = receipts()
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  assert.deepEqual(due, [])
  slow.endSync()
  assert.deepEqual(due, [])
  slow.endSync()
  assert.deepEqual(due, ['first'])
  site.file.append(BOTH, 5)
  site.file.whenStored(BOTH.length, named('more'))
  assert.deepEqual(due, ['first'])
  slow.endSync()
  assert.deepEqual(due, ['first', 'more'])
  const folder = site.path.split('/').at(-2)
  assert.deepEqual(
    slow.calls.filter(call => call.startsWith('sync')),
    ['sync a.chunk', `sync folder ${folder}`, 'sync a.chunk']
  )
})

test('events that are written while the disk works are on the medium after the next turn', t => {
  const { due, named } = receipts()
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  site.file.append(BOTH, 5)
  site.file.whenStored(BOTH.length, named('more'))
  assert.equal(slow.syncing, 1)
  slow.endSync()
  slow.endSync()
  assert.deepEqual(due, ['first'])
  slow.endSync()
  assert.deepEqual(due, ['first', 'more'])
  assert.equal(slow.syncing, 0)
})

test('a file that is sealed while the disk works is closed afterwards', t => {
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.seal()
  assert.ok(!slow.calls.includes('close a.chunk'))
  slow.endSync()
  slow.endSync()
  assert.equal(slow.calls.at(-1), 'close a.chunk')
})

test('what the medium did not take is not stored', t => {
  const { due, named } = receipts()
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  slow.endSync(systemFailure('EIO', -5, 'fdatasync'))
  assert.deepEqual(due, [])
  assert.deepEqual(site.failures, ['a.chunk: EIO: fdatasync'])
  site.file.remove()
  assert.deepEqual(due, ['first'])
})

test('a folder that does not reach the medium leaves the events unacknowledged', t => {
  const { due, named } = receipts()
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  slow.endSync()
  slow.endSync(systemFailure('EIO', -5, 'fsync'))
  assert.deepEqual(due, [])
  assert.deepEqual(site.failures, ['a.chunk: EIO: fsync'])
})

test('after the medium has failed once, nothing in the file counts as stored: Linux forgets what it could not write', t => {
  const { due, named } = receipts()
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  slow.endSync(systemFailure('EIO', -5, 'fdatasync'))
  site.file.append(BOTH, 5)
  site.file.whenStored(BOTH.length, named('more'))
  while (slow.syncing > 0) slow.endSync()
  assert.deepEqual(due, [])
  site.file.remove()
  assert.deepEqual(due, ['first', 'more'])
})

test('a damaged file is moved away, and its receipts are given back', t => {
  const { due, named } = receipts()
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  const before = site.content
  const place = site.file.setAside()
  assert.equal(site.exists, false)
  assert.equal(place, join(dirname(site.path), 'corrupt', 'a.chunk'))
  assert.deepEqual(readFileSync(place), before)
  assert.deepEqual(due, ['first'])
})

test('a chunk that is delivered before it is stored gives its receipts back', t => {
  const { due, named } = receipts()
  const slow = new SlowDisk()
  const site = new Site(t, { disk: slow.disk, syncs: true })
  site.file.append(FIRST, 3)
  site.file.whenStored(FIRST.length, named('first'))
  site.file.remove()
  assert.deepEqual(due, ['first'])
  slow.endSync()
  slow.endSync()
  assert.deepEqual(due, ['first'])
  assert.equal(slow.calls.filter(call => call === 'close a.chunk').length, 1)
})

// --- a file of an earlier run

test('a file that was found takes notes behind what is good in it', t => {
  const site = new Site(t)
  const good = content(eventsBlock(FIRST, 3))
  writeFileSync(site.path, Buffer.concat([good, Buffer.from('torn')]))
  const file = ChunkFile.found(site.options(systemDisk, false), good.length)
  assert.deepEqual(file.load(), FIRST)
  assert.equal(file.fileBytes, good.length)
  file.settle({ output: 'http.0' })
  assert.deepEqual(file.load(), FIRST)
  assert.deepEqual(readChunkFile(site.content).settled, [{ output: 'http.0' }])
  file.remove()
  assert.equal(site.exists, false)
})
