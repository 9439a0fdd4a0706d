import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { allocateLasting, kernel, kernelBase, KERNEL_SLACK } from './byte_kernel.ts'

const source = allocateLasting(4096)
const target = allocateLasting(4096)
const from = kernelBase(source)
const to = kernelBase(target)

/** Bytes before the first for which `stops` holds. */
function lengthBefore(bytes: Uint8Array, stops: (byte: number) => boolean): number {
  const found = bytes.findIndex(stops)
  return found < 0 ? bytes.length : found
}

const someBytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }),
  fc.string({ minLength: 1, maxLength: 300 }).map(text => Buffer.from(text)),
  fc
    .tuple(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 255 }))
    .map(([length, byte]) => {
      const bytes = Buffer.alloc(length, 0x61)
      bytes[length - 1] = byte
      return bytes
    })
)

test('copyPlain copies what JSON need not escape, wherever it starts and ends', () => {
  fc.assert(
    fc.property(someBytes, fc.nat(31), (bytes, offset) => {
      source.fill(0x22)
      source.set(bytes, offset)
      target.fill(0)
      const count = kernel.copyPlain(from + offset, from + offset + bytes.length, to + offset)
      const wanted = lengthBefore(
        bytes,
        byte => byte < 0x20 || byte >= 0x7f || byte === 0x22 || byte === 0x5c
      )
      assert.equal(count, wanted)
      assert.deepEqual(
        target.subarray(offset, offset + count),
        Buffer.from(bytes.subarray(0, count))
      )
      assert.ok(target.subarray(offset + count + KERNEL_SLACK).every(byte => byte === 0))
    }),
    { numRuns: 2000 }
  )
})

test('copyLine and lineLength stop at the first line feed', () => {
  fc.assert(
    fc.property(someBytes, fc.nat(31), (bytes, offset) => {
      source.fill(0x0a)
      source.set(bytes, offset)
      const end = from + offset + bytes.length
      const wanted = lengthBefore(bytes, byte => byte === 0x0a)
      assert.equal(kernel.lineLength(from + offset, end), wanted)
      assert.equal(kernel.copyLine(from + offset, end, to), wanted)
      assert.deepEqual(target.subarray(0, wanted), Buffer.from(bytes.subarray(0, wanted)))
    }),
    { numRuns: 2000 }
  )
})

test('copyText stops at a quote or a backslash', () => {
  fc.assert(
    fc.property(someBytes, bytes => {
      source.set(bytes, 3)
      const end = from + 3 + bytes.length
      const wanted = lengthBefore(bytes, byte => byte === 0x22 || byte === 0x5c)
      assert.equal(kernel.copyText(from + 3, end, to), wanted)
      assert.deepEqual(target.subarray(0, wanted), Buffer.from(bytes.subarray(0, wanted)))
    }),
    { numRuns: 2000 }
  )
})

test('every byte value is told apart, at every place in a word', () => {
  for (let byte = 0; byte < 256; byte++) {
    for (let place = 0; place < 16; place++) {
      source.fill(0x61, 0, 64)
      source[place] = byte
      const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
      assert.equal(kernel.copyPlain(from, from + 40, to), plain ? 40 : place)
      assert.equal(kernel.lineLength(from, from + 40), byte === 0x0a ? place : 40)
    }
  }
})

test('buffers beyond the kernel memory are ordinary ones', () => {
  const large = allocateLasting(64 * 1024 * 1024)
  assert.equal(large.length, 64 * 1024 * 1024)
  assert.equal(kernelBase(large), -1)
  assert.ok(kernelBase(allocateLasting(100)) > 0)
})
