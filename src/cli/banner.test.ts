import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { VERSION } from '../base/version.ts'
import { bannerText, versionText } from './banner.ts'

test('the version is that of package.json', () => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  assert.equal(VERSION, (JSON.parse(text) as { version: string }).version)
})

test('the version text names Spillway and the Fluent Bit that it follows', () => {
  assert.equal(versionText(), `Spillway v${VERSION}\nCompatible with Fluent Bit v5.1.1\n`)
})

test('only the first line of the banner is coloured, and only on a terminal', () => {
  const plain = bannerText(false)
  assert.equal(
    plain,
    `Spillway v${VERSION}\n* Compatible with Fluent Bit v5.1.1\n` +
      '* Copyright (C) 2026 The Spillway Authors, Apache License 2.0\n\n'
  )
  assert.equal(
    bannerText(true),
    plain.replace(/^.*/, line => `\u001b[1m\u001b[94m${line}\u001b[0m`)
  )
})
