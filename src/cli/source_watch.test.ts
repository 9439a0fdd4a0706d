/** When files have changed: once nothing has moved for a second, however they were changed. */
import assert from 'node:assert/strict'
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { SourceWatch } from './source_watch.ts'

class Watched {
  readonly folder = mkdtempSync(join(tmpdir(), 'spillway-watch-'))
  readonly #clock = new FakeClock(1_700_000_000_000)
  readonly watch: SourceWatch
  changes = 0

  constructor(t: TestContext) {
    this.watch = new SourceWatch(this.#clock, () => this.changes++)
    t.after(() => {
      this.watch.stop()
      rmSync(this.folder, { recursive: true })
    })
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  write(name: string, content: string): void {
    writeFileSync(this.path(name), content)
  }

  /** Lets seconds pass, one by one. */
  pass(seconds: number): void {
    for (let second = 0; second < seconds; second++) this.#clock.advance(1000)
  }
}

test('a change counts once, a second after the last one', t => {
  const files = new Watched(t)
  files.write('a.conf', 'one')
  files.watch.watch([files.path('a.conf')])
  files.pass(3)
  assert.equal(files.changes, 0)
  files.write('a.conf', 'two!')
  files.pass(1)
  assert.equal(files.changes, 0)
  files.write('a.conf', 'three')
  files.pass(1)
  assert.equal(files.changes, 0)
  files.pass(1)
  assert.equal(files.changes, 1)
  files.pass(3)
  assert.equal(files.changes, 1)
})

test('a file that is replaced, removed or made anew has changed', t => {
  const files = new Watched(t)
  files.write('a.conf', 'one')
  files.watch.watch([files.path('a.conf')])
  files.write('b.conf', 'one')
  renameSync(files.path('b.conf'), files.path('a.conf'))
  files.pass(2)
  assert.equal(files.changes, 1)
  unlinkSync(files.path('a.conf'))
  files.pass(2)
  assert.equal(files.changes, 2)
  files.write('a.conf', 'one')
  files.pass(2)
  assert.equal(files.changes, 3)
})

test('a link that is turned to another folder is a change, as with a mounted ConfigMap', t => {
  const files = new Watched(t)
  for (const version of ['v1', 'v2']) {
    mkdirSync(files.path(version))
    files.write(`${version}/a.conf`, version)
  }
  symlinkSync('v1', files.path('data'))
  files.watch.watch([files.path('data/a.conf')])
  symlinkSync('v2', files.path('new'))
  renameSync(files.path('new'), files.path('data'))
  files.pass(2)
  assert.equal(files.changes, 1)
})

test('a new file in a folder that a pattern looks into is a change', t => {
  const files = new Watched(t)
  files.watch.watch([files.folder])
  files.write('more.conf', 'x')
  files.pass(2)
  assert.equal(files.changes, 1)
})

test('what changes while it is being read is a change', t => {
  const files = new Watched(t)
  files.write('a.conf', 'one')
  files.watch.watch([files.path('a.conf')])
  files.watch.mark()
  files.write('a.conf', 'other')
  files.watch.watch([files.path('a.conf')])
  files.pass(2)
  assert.equal(files.changes, 1)
})

test('paths of a configuration that is not used are watched too', t => {
  const files = new Watched(t)
  files.write('a.conf', 'one')
  files.watch.watch([files.path('a.conf')])
  files.watch.add([files.path('b.conf')])
  files.write('b.conf', 'one')
  files.pass(2)
  assert.equal(files.changes, 1)
})
