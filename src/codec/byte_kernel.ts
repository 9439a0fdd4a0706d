/**
 * Copies and scans bytes sixteen at a time, which JavaScript cannot: four WebAssembly functions of a few instructions
 * each. They work on one fixed memory, so the buffers of hot paths (read blocks, full chunks, JSON parts) are allocated in it;
 * everything else takes the JavaScript way.
 *
 * Each function reads up to 15 bytes beyond `end`, and those that copy write up to 15 beyond what they copied:
 * buffers of this memory end in `KERNEL_SLACK` bytes that hold nothing.
 *
 * @hot bench/pipelines.ts
 */

/** Bytes behind each buffer of the kernel's memory that its functions may touch. */
export const KERNEL_SLACK = 16

/** 16 MB of address space; only what is used takes memory. It never grows, as growing would detach all buffers. */
const PAGES = 256
const PAGE_BYTES = 65_536

const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES })
let used = KERNEL_SLACK

/** Positions are offsets in the kernel's memory; see `kernelBase`. */
export interface ByteKernel {
  /**
   * Copies up to the first byte that JSON must escape: control characters, `"`, `\`, DEL and all beyond ASCII.
   *
   * @returns Bytes copied, at most `end - from`; `from` must be below `end`.
   */
  copyPlain(from: number, end: number, to: number): number
  /** Copies up to the first line feed; returns the bytes copied, `end - from` when there is none. */
  copyLine(from: number, end: number, to: number): number
  /** Copies up to the first `"` or `\`; returns the bytes copied, `end - from` when there is none. */
  copyText(from: number, end: number, to: number): number
  /** Bytes before the first line feed; `end - from` when there is none. */
  lineLength(from: number, end: number): number
}

/** Buffers that were given back, by their length. */
const free = new Map<number, Buffer[]>()

/** A buffer for a hot path that is kept for long. In the kernel's memory while there is room, else an ordinary one. */
export function allocateLasting(byteLength: number): Buffer {
  const again = free.get(byteLength)?.pop()
  if (again !== undefined) return again
  const start = used
  const next = start + byteLength + KERNEL_SLACK
  if (next > PAGES * PAGE_BYTES) return Buffer.allocUnsafeSlow(byteLength)
  used = next
  return Buffer.from(memory.buffer, start, byteLength)
}

/** Takes a buffer back for others that want one of this length; nobody may use it any more. */
export function releaseLasting(buffer: Buffer): void {
  if (kernelBase(buffer) === -1) return
  const buffers = free.get(buffer.length)
  if (buffers === undefined) free.set(buffer.length, [buffer])
  else buffers.push(buffer)
}

/** Where a buffer starts in the kernel's memory; -1 for any other buffer. */
export function kernelBase(buffer: Buffer): number {
  return buffer.buffer === memory.buffer ? buffer.byteOffset : -1
}

// --- The module, assembled from its instructions. Opcodes: WebAssembly 2.0 specification, section 5.4.

const I32 = 0x7f
const V128 = 0x7b
const END = 0x0b
const NO_RESULT = 0x40

const LOOP = [0x03, NO_RESULT]
const BLOCK = [0x02, NO_RESULT]
const branchIf = (depth: number): number[] => [0x0d, depth]
const get = (local: number): number[] => [0x20, local]
const set = (local: number): number[] => [0x21, local]
const tee = (local: number): number[] => [0x22, local]
const constant = (value: number): number[] => [0x41, value]
const SELECT = 0x1b
const EQUALS_ZERO = 0x45
const LESS_UNSIGNED = 0x49
const COUNT_TRAILING_ZEROS = 0x68
const ADD = 0x6a
const SUBTRACT = 0x6b
const LOAD_16 = [0xfd, 0x00, 0x00, 0x00]
const STORE_16 = [0xfd, 0x0b, 0x00, 0x00]
const sixteenOf = (byte: number): number[] => [0xfd, 0x0c, ...Array<number>(16).fill(byte)]
const EQUAL_BYTES = [0xfd, 0x23]
const LESS_SIGNED_BYTES = [0xfd, 0x25]
const OR_16 = [0xfd, 0x50]
const BIT_OF_EACH_BYTE = [0xfd, 0x64]

/** Marks the bytes of local `bytes` that JSON must escape; as signed bytes, all beyond ASCII are below the space. */
const mustEscape = (bytes: number): number[] => [
  ...get(bytes),
  ...sixteenOf(0x20),
  ...LESS_SIGNED_BYTES,
  ...[0x22, 0x5c, 0x7f].flatMap(byte => [
    ...get(bytes),
    ...sixteenOf(byte),
    ...EQUAL_BYTES,
    ...OR_16
  ])
]

const endsText = (bytes: number): number[] => [
  ...get(bytes),
  ...sixteenOf(0x22),
  ...EQUAL_BYTES,
  ...get(bytes),
  ...sixteenOf(0x5c),
  ...EQUAL_BYTES,
  ...OR_16
]

const isLineFeed = (bytes: number): number[] => [...get(bytes), ...sixteenOf(0x0a), ...EQUAL_BYTES]

/**
 * (func (param $from i32) (param $end i32) [(param $to i32)] (result i32)): goes over the bytes by sixteen until one
 * is marked or the end is reached, storing them at $to where it has one; gives how far it came.
 */
function scanner(stop: (bytes: number) => number[], copies: boolean): number[] {
  const [from, end, to] = [0, 1, 2]
  const start = copies ? 3 : 2
  const mask = start + 1
  const bytes = start + 2
  const step = (local: number): number[] => [...get(local), ...constant(16), ADD, ...set(local)]
  return body(
    [2, I32, 1, V128],
    [
      ...get(from),
      ...set(start),
      ...BLOCK,
      ...LOOP,
      ...(copies ? get(to) : []),
      ...get(from),
      ...LOAD_16,
      ...(copies ? [...tee(bytes), ...STORE_16] : set(bytes)),
      ...stop(bytes),
      ...BIT_OF_EACH_BYTE,
      ...tee(mask),
      // Something is marked: leave the loop with its position.
      EQUALS_ZERO,
      EQUALS_ZERO,
      ...branchIf(1),
      ...step(from),
      ...(copies ? step(to) : []),
      ...get(from),
      ...get(end),
      LESS_UNSIGNED,
      ...branchIf(0),
      END,
      END,
      // min(from + (mask ? ctz(mask) : 0), end) - start
      ...get(from),
      ...get(mask),
      COUNT_TRAILING_ZEROS,
      ...constant(0),
      ...get(mask),
      SELECT,
      ADD,
      ...tee(from),
      ...get(end),
      ...get(from),
      ...get(end),
      LESS_UNSIGNED,
      SELECT,
      ...get(start),
      SUBTRACT
    ]
  )
}

/** A function body: its locals (pairs of count and type), its code, its size before both. */
function body(locals: readonly number[], code: readonly number[]): number[] {
  const content = [locals.length / 2, ...locals, ...code, END]
  return [...size(content.length), ...content]
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = [...size(items.length), ...items.flat()]
  return [id, ...size(content.length), ...content]
}

/** LEB128, unsigned. */
function size(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...size(value >>> 7)]
}

function name(text: string): number[] {
  return [text.length, ...Buffer.from(text)]
}

const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

function assemble(): Uint8Array<ArrayBuffer> {
  const functionType = (parameters: number): number[] => [
    0x60,
    parameters,
    ...Array<number>(parameters).fill(I32),
    1,
    I32
  ]
  const names = ['copyPlain', 'copyLine', 'copyText', 'lineLength']
  return Uint8Array.from([
    ...MAGIC_AND_VERSION,
    ...section(1, [functionType(3), functionType(2)]),
    ...section(2, [[...name('js'), ...name('memory'), 0x02, 0x01, ...size(PAGES), ...size(PAGES)]]),
    ...section(3, [[0], [0], [0], [1]]),
    ...section(
      7,
      names.map((exported, index) => [...name(exported), 0x00, index])
    ),
    ...section(10, [
      scanner(mustEscape, true),
      scanner(isLineFeed, true),
      scanner(endsText, true),
      scanner(isLineFeed, false)
    ])
  ])
}

const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assemble()), { js: { memory } })

/** The functions; they check nothing. */
export const kernel = exports as unknown as ByteKernel
