import assert from 'node:assert/strict'
import { test } from 'node:test'
import { headingKind, isFullHeading, normaliseClassicKey, normaliseYamlKey } from './keys.ts'

test('classic keys are trimmed and lower-cased, in ASCII only', () => {
  assert.deepEqual([' Mem_Buf_Limit\t', 'memBufLimit', 'ÄB'].map(normaliseClassicKey), [
    'mem_buf_limit',
    'membuflimit',
    'Äb'
  ])
})

test('YAML keys turn from camelCase to snake_case if they start small and have no underscore', () => {
  const keys = [
    'memBufLimit',
    'MemBufLimit',
    'mem_BufLimit',
    'tls.caFile',
    'httpURL',
    ' aB',
    'name'
  ]
  assert.deepEqual(keys.map(normaliseYamlKey), [
    'mem_buf_limit',
    'membuflimit',
    'mem_buflimit',
    'tls.ca_file',
    'http_u_r_l',
    'ab',
    'name'
  ])
})

test('a heading is any beginning of a known word, tried in a fixed order', () => {
  const headings = [
    's',
    'st',
    'P',
    'pl',
    'Input',
    'INPUTS',
    'o',
    'up',
    'c',
    'm',
    'inputx',
    '',
    'node'
  ]
  assert.deepEqual(headings.map(headingKind), [
    'service',
    'stream_task',
    'parser',
    'plugins',
    'input',
    'input',
    'output',
    'upstream',
    'custom',
    'multiline_parser',
    'other',
    'other',
    'other'
  ])
})

test('full headings are told from short ones', () => {
  const headings = ['INPUT', 'inputs', 'UPSTREAM', 'upstream_servers', 'inp', 'foo']
  assert.deepEqual(headings.map(isFullHeading), [true, true, true, true, false, false])
})
