import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventSink, InputContext } from '../../../plugin/context.ts'
import { Tags } from './tags.ts'

/** An input that notes what is asked of it. */
function site(): { context: InputContext; forgotten: string[]; asked: string[] } {
  const forgotten: string[] = []
  const asked: string[] = []
  const context = {
    sink: (tag: string, signal: string) => {
      asked.push(`${tag} ${signal}`)
      return {} as EventSink
    },
    forget: (tag: string) => void forgotten.push(tag)
  } as unknown as InputContext
  return { context, forgotten, asked }
}

test('a tag is that of the sender, behind the prefix, unless there is one for all', () => {
  const { context } = site()
  const bytes = Buffer.from('..one.two..')
  assert.equal(new Tags(context, '', undefined).read(bytes, 2, 9), 'one.two')
  assert.equal(new Tags(context, 'p.', undefined).read(bytes, 2, 9), 'p.one.two')
  assert.equal(new Tags(context, '', 'fixed').read(bytes, 2, 9), 'fixed')
  assert.equal(new Tags(context, '', undefined).read(bytes, 2, 2), '')
})

test('the tags used longest ago are forgotten', () => {
  const { context, forgotten } = site()
  const tags = new Tags(context, '', undefined)
  for (let n = 0; n < 4096; n++) tags.sink(`t${n}`, 'logs')
  tags.sink('t0', 'logs')
  assert.deepEqual(forgotten, [])
  tags.sink('more', 'logs')
  tags.sink('and more', 'metrics')
  assert.deepEqual(forgotten, ['t1', 't2'])
})

test('a sink is asked for with its signal', () => {
  const { context, asked } = site()
  new Tags(context, '', undefined).sink('a', 'traces')
  assert.deepEqual(asked, ['a traces'])
})
