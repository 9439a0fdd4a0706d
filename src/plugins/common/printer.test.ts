import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Logger } from '../../base/log.ts'
import type { PluginContext } from '../../plugin/context.ts'
import { drop, OK } from '../../plugin/delivery.ts'
import { Printer } from './printer.ts'

test('a printer answers a drop when its reader is gone, and says so once', () => {
  const lines: string[] = []
  const taken: string[] = []
  const log = new Logger({
    sink: { colour: false, write: line => void lines.push(line.replace(/^\[[^\]]*\] /, '')) },
    level: 'info'
  })
  let isOpen = true
  const stdout = {
    write(bytes: Buffer): void {
      if (!isOpen) throw Object.assign(new Error('write EPIPE'), { code: 'EPIPE', errno: -32 })
      taken.push(bytes.toString())
    }
  }
  const printer = new Printer({ log, stdout } as unknown as PluginContext)
  assert.deepEqual(printer.print(Buffer.from('a')), OK)
  assert.deepEqual(printer.print(Buffer.alloc(0)), OK)
  isOpen = false
  assert.deepEqual(printer.print(Buffer.from('b')), drop('cannot_print'))
  assert.deepEqual(printer.print(Buffer.from('c')), drop('cannot_print'))
  assert.deepEqual(taken, ['a'])
  assert.deepEqual(lines, ['[error] cannot print: Broken pipe\n'])
})
