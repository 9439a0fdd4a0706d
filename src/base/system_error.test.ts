import assert from 'node:assert/strict'
import { openSync } from 'node:fs'
import { test } from 'node:test'
import { systemError } from './system_error.ts'

test('systemError gives the number and the words of glibc', () => {
  assert.deepEqual(systemError(thrownBy(() => openSync('/nonexistent/file', 'r'))), {
    code: 'ENOENT',
    number: 2,
    text: 'No such file or directory'
  })
})

test('systemError keeps the message of any other error', () => {
  assert.deepEqual(systemError(new Error('odd')), { code: '', number: 0, text: 'odd' })
  assert.deepEqual(systemError('odd'), { code: '', number: 0, text: 'odd' })
})

function thrownBy(action: () => unknown): unknown {
  try {
    action()
  } catch (cause) {
    return cause
  }
  throw new Error('nothing was thrown')
}
