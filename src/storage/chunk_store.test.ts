import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemFailure } from '../../test/harness/faulty_disk.ts'
import { seededRandom } from '../../test/harness/random.ts'
import { eventsBlock, settledBlock, startOfFile } from './chunk_format.ts'
import { ChunkStore, type Recovery, type StoreOptions } from './chunk_store.ts'
import { type Disk, systemDisk } from './disk.ts'

const RECORDED = join(import.meta.dirname, '../../test/data/fluent_bit_chunks')
const ORIGIN = { tag: 'app', input: 'tail.0' }
const NAME = '7-1700000000.000000001'
const PATH = `.spillway/chunks/tail.0/${NAME}.chunk`
const ASIDE = `.spillway/corrupt/tail.0/${NAME}.chunk`

const PIECES = ['the first events', 'more', 'and the last ones'].map(text => Buffer.from(text))
const BLOCKS = [
  Buffer.concat(startOfFile(ORIGIN)),
  Buffer.concat(eventsBlock(PIECES[0], 3)),
  Buffer.concat(eventsBlock(PIECES[1], 1)),
  Buffer.concat(settledBlock({ output: 'http.0', left: [1] })),
  Buffer.concat(eventsBlock(PIECES[2], 2))
]
const FILE = Buffer.concat(BLOCKS)
const ENDS = BLOCKS.map((_, index) => Buffer.concat(BLOCKS.slice(0, index + 1)).length)
/** Events, their bytes and notes, by how many blocks are good. */
const EVENTS = [0, 0, 3, 4, 4, 6]
const EVENT_BYTES = EVENTS.map((_, blocks) =>
  Buffer.concat(PIECES.slice(0, [0, 0, 1, 2, 2, 3][blocks]))
)

/** A `storage.path` with files in it. */
class Site {
  readonly root: string
  readonly store: ChunkStore

  constructor(t: TestContext, options: Partial<StoreOptions> = {}) {
    this.root = join(mkdtempSync(join(tmpdir(), 'spillway-store-')), 'store')
    t.after(() => rmSync(dirname(this.root), { recursive: true }))
    this.store = new ChunkStore({
      disk: systemDisk,
      root: this.root,
      syncs: false,
      checksum: false,
      deletesBad: false,
      rejectedFolder: 'rejected',
      notSynced: () => undefined,
      ...options
    })
  }

  write(path: string, content: Buffer): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true })
    writeFileSync(join(this.root, path), content)
  }

  read(path: string): Buffer {
    return readFileSync(join(this.root, path))
  }

  /** Paths of all files, sorted. */
  files(): string[] {
    if (!existsSync(this.root)) return []
    return readdirSync(this.root, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(this.root.length + 1))
      .toSorted()
  }

  /** Recovers the only file that is there. */
  recover(): Recovery {
    const found = this.store.find(neverCalled)
    assert.equal(found.length, 1)
    return this.store.recover(found[0])
  }

  /** What was set aside, and what its note says. */
  aside(path = ASIDE): unknown {
    if (!existsSync(join(this.root, path))) return undefined
    const note: unknown = JSON.parse(this.read(`${path}.json`).toString())
    return { content: this.read(path), note }
  }
}

function neverCalled(folder: string, failure: unknown): void {
  assert.fail(`${folder} cannot be listed: ${String(failure)}`)
}

/** A recovery as plain values, with the bytes that its file gives. */
function plain(recovery: Recovery, root: string): unknown {
  const { chunk, bad, leftFor } = recovery
  const { stored, ...rest } = chunk ?? { stored: undefined }
  return {
    chunk: stored === undefined ? undefined : { ...rest, content: stored.load() },
    bad: bad && {
      path: bad.path.slice(root.length + 1),
      reason: bad.reason,
      bytes: bad.bytes,
      end: bad.end.replace(`${root}/`, '')
    },
    leftFor
  }
}

/** The chunk of which the first blocks are good. */
function chunkOf(blocks: number): unknown {
  if (EVENTS[blocks] === 0) return undefined
  return {
    id: `${NAME}.flb`,
    origin: ORIGIN,
    events: EVENTS[blocks],
    bytes: EVENT_BYTES[blocks].length,
    settled: blocks > 3 ? [{ output: 'http.0', left: [1] }] : [],
    content: EVENT_BYTES[blocks]
  }
}

// --- the folder

test('the folders of inputs are made under a hidden one, which Fluent Bit does not open', t => {
  const site = new Site(t)
  assert.equal(site.store.open(['tail.0', 'emitter.2']), true)
  assert.equal(site.store.open(['tail.0', 'emitter.2']), false)
  assert.deepEqual(readdirSync(site.root), ['.spillway'])
  assert.deepEqual(readdirSync(join(site.root, '.spillway/chunks')), ['emitter.2', 'tail.0'])
})

test('a folder that cannot be made is a failure', t => {
  const site = new Site(t)
  writeFileSync(site.root, '')
  assert.throws(() => site.store.open(['tail.0']), { code: 'ENOTDIR' })
})

test('a new file stands in the folder of its input, under the name of the chunk', t => {
  const site = new Site(t)
  site.store.open(['tail.0'])
  const { tag, input } = ORIGIN
  const chunk = {
    id: `${NAME}.flb`,
    tag,
    input: 'tail.0',
    routedTo: undefined,
    signal: 'logs'
  } as const
  site.store.newFile(chunk, input).append(PIECES[0], 3)
  assert.deepEqual(site.files(), [PATH])
  assert.deepEqual(site.read(PATH), Buffer.concat(BLOCKS.slice(0, 2)))
})

test("files are found oldest first by the time in their names, Fluent Bit's and our own", t => {
  const site = new Site(t)
  const paths = [
    '.spillway/chunks/tail.0/900-1700000000.000000005.chunk',
    'tail.0/3-1700000000.9.flb',
    '.spillway/chunks/tail.1/1-1700000000.000000010.chunk',
    'lib.1/9-1700000002.000000000.flb',
    '.spillway/chunks/a/1-1700000010.000000000.chunk',
    '.spillway/chunks/a/no time in its name.chunk'
  ]
  for (const path of paths.toReversed()) site.write(path, FILE)
  // Not chunks: hidden ones, dead letters, other names of a Fluent Bit's folder, files beside the folders.
  for (const path of [
    'rejected/app_0_http.0_0x1.flb',
    'tail.0/notes.txt',
    'tail.0/.4-1700000000.1.flb',
    '.hidden/4-1700000000.1.flb',
    '4-1700000000.1.flb',
    '.spillway/chunks/4-1700000000.1.chunk',
    '.spillway/corrupt/tail.0/4-1700000000.1.chunk',
    'tail.0/deeper/4-1700000000.1.flb'
  ]) {
    site.write(path, FILE)
  }
  mkdirSync(join(site.root, '.spillway/chunks/tail.0/5-1700000000.1.chunk'))
  assert.deepEqual(
    site.store
      .find(neverCalled)
      .map(({ path, folder, isOwn }) => [path.slice(site.root.length + 1), folder, isOwn]),
    paths.map(path => [path, path.split('/').at(-2), path.startsWith('.spillway')])
  )
})

test('a folder that cannot be listed is told of, and the others are listed', t => {
  const disk: Disk = {
    ...systemDisk,
    list: path => {
      if (path.endsWith('tail.0')) throw systemFailure('EIO', -5, 'scandir')
      return systemDisk.list(path)
    }
  }
  const site = new Site(t, { disk })
  site.write(PATH, FILE)
  const other = '.spillway/chunks/tail.1/7-1700000000.000000002.chunk'
  site.write(other, FILE)
  const told: string[] = []
  const found = site.store.find((path, failure) => {
    told.push(`${path.slice(site.root.length + 1)}: ${(failure as NodeJS.ErrnoException).code}`)
  })
  assert.deepEqual(
    found.map(({ path }) => path.slice(site.root.length + 1)),
    [other]
  )
  assert.deepEqual(told, ['.spillway/chunks/tail.0: EIO'])
})

test('a folder that is not there holds nothing', t => {
  assert.deepEqual(new Site(t).store.find(neverCalled), [])
})

// --- own files

test('a good file is recovered as it is, with what outputs had settled', t => {
  const site = new Site(t)
  site.write(PATH, FILE)
  assert.deepEqual(plain(site.recover(), site.root), {
    chunk: chunkOf(5),
    bad: undefined,
    leftFor: undefined
  })
  assert.deepEqual(site.files(), [PATH])
  assert.deepEqual(site.read(PATH), FILE)
})

test('a file that is cut at any byte gives its whole blocks, and the rest is set aside with the reason', t => {
  const site = new Site(t)
  for (let length = 0; length <= FILE.length; length++) {
    const file = FILE.subarray(0, length)
    const whole = ENDS.filter(end => end <= length).length
    const kept = EVENTS[whole] === 0 ? 0 : ENDS[whole - 1]
    const isBad = length > kept && !(whole === 1 && length === ENDS[0])
    site.write(PATH, file)
    const bad = { path: PATH, reason: 'torn_block', bytes: length - kept }
    const what = `length ${length}`
    assert.deepEqual(
      plain(site.recover(), site.root),
      {
        chunk: chunkOf(whole),
        bad: isBad ? { ...bad, end: `set aside as ${ASIDE}` } : undefined,
        leftFor: undefined
      },
      what
    )
    assert.deepEqual(
      site.aside(),
      isBad
        ? { content: file.subarray(kept), note: { ...bad, path: join(site.root, PATH) } }
        : undefined,
      what
    )
    assert.equal(existsSync(join(site.root, PATH)), kept > 0, what)
    if (kept > 0) {
      assert.deepEqual(site.read(PATH), FILE.subarray(0, kept), what)
      assert.equal(site.recover().bad, undefined, what)
    }
    rmSync(site.root, { recursive: true })
  }
})

test('random flips never give a wrong event: what is recovered is whole good blocks', t => {
  const memory = new MemoryDisk()
  const site = new Site(t, { disk: memory.disk })
  const random = seededRandom(51_001)
  const path = join(site.root, PATH)
  for (let run = 0; run < 5_000; run++) {
    const file = Buffer.from(FILE)
    for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips--) {
      file[Math.floor(random() * file.length)] ^= 1 << Math.floor(random() * 8)
    }
    const whole = ENDS.filter(end => file.subarray(0, end).equals(FILE.subarray(0, end))).length
    memory.files.clear()
    memory.files.set(path, file)
    const { chunk, bad } = plain(
      site.store.recover({ path, folder: 'tail.0', isOwn: true }),
      site.root
    ) as { chunk: unknown; bad: { bytes: number } | undefined }
    assert.deepEqual(chunk, chunkOf(whole), `run ${run}`)
    const kept = EVENTS[whole] === 0 ? 0 : ENDS[whole - 1]
    assert.equal(bad?.bytes ?? 0, file.length - kept, `run ${run}`)
    const aside = memory.files.get(join(site.root, ASIDE)) ?? Buffer.alloc(0)
    assert.deepEqual(aside, file.subarray(kept), `run ${run}`)
  }
})

for (const [what, content, reason] of [
  ['zeros', Buffer.alloc(4096), 'bad_header'],
  ['garbage', Buffer.from('no chunk\n'.repeat(300)), 'bad_header'],
  ['the layout of Fluent Bit', readFileSync(join(RECORDED, 'logs_plain.flb')), 'bad_header']
] as const) {
  test(`a file of ${what} is set aside whole`, t => {
    const site = new Site(t)
    site.write(PATH, content)
    const bad = { path: PATH, reason, bytes: content.length }
    assert.deepEqual(plain(site.recover(), site.root), {
      chunk: undefined,
      bad: { ...bad, end: `set aside as ${ASIDE}` },
      leftFor: undefined
    })
    assert.deepEqual(site.files(), [ASIDE, `${ASIDE}.json`])
    assert.deepEqual(site.aside(), { content, note: { ...bad, path: join(site.root, PATH) } })
  })
}

for (const [what, content] of [
  ['is empty', Buffer.alloc(0)],
  ['has no events yet', BLOCKS[0]],
  ['has notes and no events', Buffer.concat([BLOCKS[0], BLOCKS[3]])]
] as const) {
  test(`a file that ${what} is from a crash right after it was made, and goes`, t => {
    const site = new Site(t)
    site.write(PATH, content)
    assert.deepEqual(plain(site.recover(), site.root), {
      chunk: undefined,
      bad: undefined,
      leftFor: undefined
    })
    assert.deepEqual(site.files(), [])
  })
}

test('storage.delete_irrecoverable_chunks deletes what would be set aside, and keeps what is good', t => {
  const site = new Site(t, { deletesBad: true })
  site.write(PATH, FILE.subarray(0, -1))
  const bad = { path: PATH, reason: 'torn_block', bytes: FILE.length - 1 - ENDS[3] }
  assert.deepEqual(plain(site.recover(), site.root), {
    chunk: chunkOf(4),
    bad: { ...bad, end: 'deleted' },
    leftFor: undefined
  })
  assert.deepEqual(site.files(), [PATH])
})

test('what was set aside before under the same name is replaced: a crash came between', t => {
  const site = new Site(t)
  site.write(ASIDE, Buffer.from('half writ'))
  site.write(`${ASIDE}.json`, Buffer.from('{'))
  site.write(PATH, Buffer.from('garbage'))
  site.recover()
  const note = { path: join(site.root, PATH), reason: 'bad_header', bytes: 7 }
  assert.deepEqual(site.aside(), { content: Buffer.from('garbage'), note })
})

test('a file that cannot be read is a failure, and stays', t => {
  const disk: Disk = {
    ...systemDisk,
    read: () => {
      throw systemFailure('EACCES', -13, 'open')
    }
  }
  const site = new Site(t, { disk })
  site.write(PATH, FILE)
  assert.throws(() => site.recover(), { code: 'EACCES' })
  assert.deepEqual(site.read(PATH), FILE)
})

test(
  'a file without permissions is a failure, and stays',
  { skip: process.getuid?.() === 0 && 'root reads every file' },
  t => {
    const site = new Site(t)
    site.write(PATH, FILE)
    chmodSync(join(site.root, PATH), 0)
    assert.throws(() => site.recover(), { code: 'EACCES' })
  }
)

test('the good part of a file is recovered while the disk has no room to set the rest aside', t => {
  const disk: Disk = {
    ...systemDisk,
    create: path => {
      if (path.includes('corrupt')) throw systemFailure('ENOSPC', -28, 'open')
      return systemDisk.create(path)
    }
  }
  const site = new Site(t, { disk })
  site.write(PATH, FILE.subarray(0, -1))
  const { chunk } = plain(site.recover(), site.root) as { chunk: unknown }
  assert.deepEqual(chunk, chunkOf(4))
  assert.deepEqual(site.read(PATH), FILE.subarray(0, -1))
})

// --- files of Fluent Bit

const FLB_PATH = 'tail.0/7-1700000000.1.flb'
const FLB_ASIDE = '.spillway/corrupt/tail.0/7-1700000000.1.flb'

for (const [name, origin, events, bytes] of [
  ['logs_checksum', { tag: 'app.checksum', input: 'tail.0' }, 3, 171],
  ['logs_plain', { tag: 'app.plain', input: 'tail.0' }, 3, 147],
  ['logs_open', { tag: 'app.open', input: 'tail.0' }, 3, 204],
  ['logs_trimmed', { tag: 'app.trimmed', input: 'tail.0' }, 3, 4605],
  ['blobs', { tag: 'app.blobs', input: 'tail.0' }, 1, 61],
  ['routes', { tag: 'errors', input: 'tail.0', outputs: ['pager', 'http.1'] }, 3, 174]
] as const) {
  test(`the recorded file ${name} is recovered and stays as it is until it is delivered`, t => {
    const site = new Site(t, { checksum: true })
    const file = readFileSync(join(RECORDED, `${name}.flb`))
    site.write(FLB_PATH, file)
    const { chunk, bad, leftFor } = site.recover()
    assert.deepEqual([bad, leftFor], [undefined, undefined])
    const { stored, ...rest } = chunk ?? assert.fail('nothing was recovered')
    assert.deepEqual(rest, { id: '7-1700000000.1.flb', origin, events, bytes, settled: [] })
    assert.equal(stored.load().length, bytes)
    stored.settle({ output: 'http.0' })
    assert.deepEqual(site.read(FLB_PATH), file)
    assert.equal(stored.fileBytes, file.length)
    stored.remove()
    assert.deepEqual(site.files(), [])
  })
}

for (const signal of ['metrics', 'traces']) {
  test(`a file of ${signal} is recovered as such, its contexts counted`, t => {
    const site = new Site(t)
    const file = readFileSync(join(RECORDED, `${signal}.flb`))
    site.write(FLB_PATH, file)
    const { chunk, bad } = site.recover()
    assert.equal(bad, undefined)
    const origin = { tag: `app.${signal}`, input: 'tail.0', signal }
    assert.deepEqual([chunk?.origin, chunk?.events], [origin, 1])
    assert.ok(file.includes(chunk?.stored.load() ?? ''))
    assert.equal(chunk?.bytes, chunk?.stored.load().length)
  })
}

test('a file of profiles is left for a version that can send them', t => {
  const site = new Site(t)
  const file = readFileSync(join(RECORDED, 'traces.flb'))
  file[24 + 2] = 4
  site.write(FLB_PATH, file)
  assert.deepEqual(site.recover(), { chunk: undefined, bad: undefined, leftFor: 'profiles' })
  assert.deepEqual(site.read(FLB_PATH), file)
})

test('a file that Fluent Bit was killed over before its first event goes', t => {
  const site = new Site(t)
  const file = Buffer.alloc(4096)
  file.set(readFileSync(join(RECORDED, 'logs_plain.flb')).subarray(0, 24 + 13))
  file.fill(0, 10, 14)
  site.write(FLB_PATH, file)
  assert.deepEqual(site.recover(), { chunk: undefined, bad: undefined, leftFor: undefined })
  assert.deepEqual(site.files(), [])
})

/** `logs_checksum` with a bit of its last event's text flipped: it is whole as MessagePack. */
function flipped(): Buffer {
  const file = Buffer.from(readFileSync(join(RECORDED, 'logs_checksum.flb')))
  const at = file.lastIndexOf('with checksum')
  file[at] ^= 0x20
  return file
}

test('storage.checksum on refuses a file of which a bit was flipped, and sets it aside whole', t => {
  const site = new Site(t, { checksum: true })
  site.write(FLB_PATH, flipped())
  const bad = { path: FLB_PATH, reason: 'bad_checksum', bytes: flipped().length }
  assert.deepEqual(plain(site.recover(), site.root), {
    chunk: undefined,
    bad: { ...bad, end: `set aside as ${FLB_ASIDE}` },
    leftFor: undefined
  })
  assert.deepEqual(site.files(), [FLB_ASIDE, `${FLB_ASIDE}.json`])
  assert.deepEqual(site.read(FLB_ASIDE), flipped())
})

test('storage.checksum off takes what is whole of a file of which a bit was flipped', t => {
  const site = new Site(t, { checksum: false })
  site.write(FLB_PATH, flipped())
  const { chunk, bad } = site.recover()
  assert.equal(bad, undefined)
  assert.equal(chunk?.events, 3)
  assert.match(chunk.stored.load().toString('latin1'), /with checksum.*With checksum/s)
})

test('of a file that Fluent Bit was killed over, whole events are recovered and the rest is set aside', t => {
  const file = readFileSync(join(RECORDED, 'logs_plain.flb')).subarray(0, 184)
  const contentAt = 184 - 147
  for (let length = 1; length < file.length; length++) {
    const site = new Site(t)
    const cut = file.subarray(0, length)
    site.write(FLB_PATH, cut)
    const { chunk, bad } = site.recover()
    const whole = Math.max(0, Math.floor((length - contentAt) / 49))
    const rest = length < contentAt ? length : length - contentAt - whole * 49
    assert.deepEqual(
      { events: chunk?.events ?? 0, bytes: chunk?.bytes ?? 0 },
      { events: whole, bytes: whole * 49 },
      `length ${length}`
    )
    assert.deepEqual(
      { reason: bad?.reason, bytes: bad?.bytes },
      { reason: 'truncated', bytes: rest },
      `length ${length}`
    )
    assert.equal(site.files().includes(FLB_PATH), whole > 0, `length ${length}`)
    if (chunk !== undefined) {
      assert.deepEqual(chunk.stored.load(), file.subarray(contentAt, contentAt + whole * 49))
    }
  }
})

test("garbage where Fluent Bit's chunks are is set aside whole", t => {
  const site = new Site(t)
  site.write(FLB_PATH, Buffer.from('garbage'))
  const bad = { path: FLB_PATH, reason: 'bad_header', bytes: 7 }
  assert.deepEqual(plain(site.recover(), site.root), {
    chunk: undefined,
    bad: { ...bad, end: `set aside as ${FLB_ASIDE}` },
    leftFor: undefined
  })
  assert.deepEqual(site.files(), [FLB_ASIDE, `${FLB_ASIDE}.json`])
})

/** Files in memory: thousands of recoveries in a second. */
class MemoryDisk {
  readonly files = new Map<string, Buffer>()
  readonly #open: string[] = []

  readonly disk: Disk = {
    ...systemDisk,
    exists: path => this.files.has(path),
    makeFolder: () => undefined,
    create: path => this.#open.push(path) - 1,
    write: (descriptor, pieces) => {
      const bytes = Buffer.concat(pieces)
      this.files.set(this.#open[descriptor], bytes)
      return bytes.length
    },
    close: () => undefined,
    read: path => this.files.get(path) ?? assert.fail(`there is no ${path}`),
    truncate: (path, length) => void this.files.set(path, this.disk.read(path).subarray(0, length)),
    remove: path => void this.files.delete(path)
  }
}
