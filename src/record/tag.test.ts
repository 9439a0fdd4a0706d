import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileMatch, expandGroupTag, expandPathTag, tagPart } from './tag.ts'

const MATCHES: readonly (readonly [pattern: string, tag: string, matches: boolean])[] = [
  ['*', '', true],
  ['*', 'any.thing', true],
  ['**', 'a', true],
  ['', '', true],
  ['', 'a', false],
  ['a.b', 'a.b', true],
  ['a.b', 'a.bc', false],
  ['a.b', 'axb', false],
  ['A', 'a', false],
  ['kube.*', 'kube.', true],
  ['kube.*', 'kube', false],
  ['kube.*', 'kube.a.b.c', true],
  ['*.log', 'a.b.log', true],
  ['*.log', 'a.log.b', false],
  ['a*a', 'a', false],
  ['a*a', 'aa', true],
  ['a*b*c', 'aXbYc', true],
  ['a*b*c', 'abcbc', true],
  ['a*b*c', 'acb', false],
  ['*ab*', 'xaab', true],
  ['*ab*ab*', 'xabx', false],
  ['*a*', '', false],
  ['a?c', 'abc', false],
  ['{a,b}', 'a', false],
  ['a.**.b', 'a.x.y.b', true],
  ['[a-z]+', 'abc', false],
  ['é*', 'éx', true],
  ['a\n*', 'a\nb', true]
]

for (const [pattern, tag, matches] of MATCHES) {
  test(`match "${pattern}" ${matches ? 'takes' : 'leaves'} tag "${tag}"`, () => {
    assert.equal(compileMatch(pattern)(tag), matches)
  })
}

test('match is what trying every split says', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '*', '.'), maxLength: 9 })
  fc.assert(
    fc.property(text, text, (pattern, tag) => compileMatch(pattern)(tag) === model(pattern, tag)),
    {
      numRuns: 2000
    }
  )
})

test('parts of a tag are counted from 0', () => {
  const parts = [-1, 0, 1, 2, 3, 9].slice(1).map(index => tagPart('a.bb..c', index))
  assert.deepEqual(
    [parts, tagPart('one', 0), tagPart('one', 1), tagPart('', 0), tagPart('.a', 0)],
    [['a', 'bb', '', 'c', ''], 'one', '', '', '']
  )
})

/** Recorded from in_tail of Fluent Bit 5.1.1. */
const EXPANDED: readonly (readonly [tag: string, path: string, expanded: string])[] = [
  ['kube.*', '/var/log/a.log', 'kube.var.log.a.log'],
  ['kube.*', '/tmp/x:y..log', 'kube.tmp.x.y.log'],
  ['kube.*', '/tmp/back\\slash.log', 'kube.tmp.back.slash.log'],
  ['kube.*', '/tmp/é.log', 'kube.tmp.é.log'],
  ['*', '/tmp/a.log', 'tmp.a.log'],
  ['*.s', '/tmp/a.log', 'tmp.a.log.s'],
  ['.p.*..*/', '/tmp/a.log', '.p.tmp.a.log'],
  ['/l:*', '/tmp/sub dir/b*c.log', 'l.tmp.sub dir.bc.log'],
  ['x.*', './a.log', 'x.a.log'],
  ['x.*', 'a.log', 'x.a.log'],
  ['x/y', 'a.log', 'x/y']
]

for (const [tag, path, expanded] of EXPANDED) {
  test(`tag "${tag}" of file ${path} is ${expanded}`, () => {
    assert.equal(expandPathTag(tag, path), expanded)
  })
}

test('groups of tag_regex are put into the tag, and an underscore for those that matched nothing', () => {
  const groups = { pod: 'web-1', ns: '', odd: 'a/b' }
  const tags = ['<pod>', 'kube.<ns>.<pod>.x', '<odd>/<none>', 'plain', '<toString>', '<>', 'a>b']
  assert.deepEqual(
    tags.map(tag => expandGroupTag(tag, groups)),
    ['web-1', 'kube._.web-1.x', 'a/b/_', 'plain', '_', '_', 'a>b']
  )
})

test('a group name without its closing bracket is no tag', () => {
  const tags = ['<pod', 'a.<pod.<ns>', 'a<']
  assert.deepEqual(
    tags.map(tag => expandGroupTag(tag, { pod: 'x', ns: 'y' })),
    [undefined, undefined, undefined]
  )
})

function model(pattern: string, tag: string): boolean {
  if (pattern === '') return tag === ''
  if (pattern[0] !== '*')
    return tag !== '' && tag[0] === pattern[0] && model(pattern.slice(1), tag.slice(1))
  for (let at = 0; at <= tag.length; at++) if (model(pattern.slice(1), tag.slice(at))) return true
  return false
}
