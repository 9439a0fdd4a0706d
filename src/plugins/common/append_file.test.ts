import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type AppendFile, openAppendFile } from './append_file.ts'

const folder = mkdtempSync(join(tmpdir(), 'spillway-append-'))
after(() => rmSync(folder, { recursive: true }))

function opened(path: string, makeFolders = false): AppendFile {
  const result = openAppendFile(path, makeFolders)
  if (!result.ok) throw new Error(result.error.text)
  return result.file
}

test('append adds to the end of the file, also after others have', async () => {
  const path = join(folder, 'shared')
  writeFileSync(path, 'one ')
  const file = opened(path)
  appendFileSync(path, 'two ')
  assert.equal(await file.append(Buffer.from('three and more'), 5), undefined)
  assert.equal(file.close(), undefined)
  assert.equal(readFileSync(path, 'utf8'), 'one two three')
})

test('takeBack leaves the file as it was when it was opened', async () => {
  const path = join(folder, 'taken')
  writeFileSync(path, 'before\n')
  const file = opened(path)
  await file.append(Buffer.from('whole line\nhalf'), 15)
  await file.append(Buffer.from(' a line'), 7)
  file.takeBack()
  file.close()
  assert.equal(readFileSync(path, 'utf8'), 'before\n')
})

test('takeBack touches nothing when another writer has appended meanwhile', async () => {
  const path = join(folder, 'contended')
  const file = opened(path)
  await file.append(Buffer.from('ours '), 5)
  appendFileSync(path, 'theirs')
  file.takeBack()
  file.close()
  assert.equal(readFileSync(path, 'utf8'), 'ours theirs')
})

test('a device takes what it takes: its error is answered and nothing is taken back', async () => {
  const file = opened('/dev/full')
  assert.deepEqual(await file.append(Buffer.from('x'), 1), {
    code: 'ENOSPC',
    number: 28,
    text: 'No space left on device'
  })
  file.takeBack()
  assert.equal(file.close(), undefined)
})

test('folders are made on request only, open to all for reading', () => {
  const path = join(folder, 'new', 'deep', 'file')
  const refused = openAppendFile(path, false)
  assert.deepEqual(refused, {
    ok: false,
    error: { code: 'ENOENT', number: 2, text: 'No such file or directory' }
  })
  opened(path, true).close()
  const mode = (name: string): number => statSync(join(folder, name)).mode
  mkdirSync(join(folder, 'open'), 0o755)
  assert.deepEqual([mode('new'), mode('new/deep')], [mode('open'), mode('open')])
})

test('close reports a descriptor that somebody else has closed', () => {
  const file = opened(join(folder, 'closed'))
  assert.equal(file.close(), undefined)
  assert.equal(file.close()?.code, 'EBADF')
})
