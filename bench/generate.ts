/**
 * Writes the log files that the benchmarks read: the same bytes on every machine, from a seed. The
 * last line of each file holds END_MARK, so that the end of an output can be told from its tail.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { join } from 'node:path'

/** Part of the last line of every file, and of no other line. */
export const END_MARK = 'end-of-benchmark'

/** Change it when the content of the files changes: files of another version are written anew. */
const VERSION = 1

const BLOCK_BYTES = 4 * 1024 * 1024

export interface LogFile {
  readonly path: string
  readonly bytes: number
  readonly lines: number
  /** Lines that the grep filter of the benchmarks drops: those of HEAD requests. */
  readonly headRequests: number
}

export interface LogFiles {
  /** Apache access log lines in combined format. */
  readonly apache: LogFile
  /** Lines of Docker's json-file log driver. */
  readonly docker: LogFile
  /** Application log lines without structure, one in nine with characters beyond ASCII. */
  readonly raw: LogFile
}

const MEGABYTE = 1024 * 1024

/** Makes the files, unless they are there from an earlier run. */
export function generateLogFiles(folder: string): LogFiles {
  mkdirSync(folder, { recursive: true })
  const manifest = join(folder, 'manifest.json')
  if (existsSync(manifest)) {
    const { version, files } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      version: number
      files: LogFiles
    }
    if (version === VERSION && Object.values(files).every(isWhole)) return files
  }
  const files = {
    apache: writeLogFile(join(folder, 'apache.log'), 160 * MEGABYTE, apacheLine),
    docker: writeLogFile(join(folder, 'docker.log'), 160 * MEGABYTE, dockerLine),
    raw: writeLogFile(join(folder, 'raw.log'), 237 * MEGABYTE, rawLine)
  }
  writeFileSync(manifest, JSON.stringify({ version: VERSION, files }))
  return files
}

function isWhole(file: LogFile): boolean {
  return existsSync(file.path)
}

type LineWriter = (random: Random, index: number, mark: string) => string

function writeLogFile(path: string, bytesMin: number, line: LineWriter): LogFile {
  const random = new Random(20_261_123)
  const fd = openSync(path, 'w')
  let bytes = 0
  let lines = 0
  let headRequests = 0
  const write = (text: string): void => {
    bytes += writeSync(fd, Buffer.from(text))
  }
  let block = ''
  while (bytes + block.length < bytesMin) {
    const text = line(random, lines, '')
    if (text.includes('"HEAD ')) headRequests++
    block += `${text}\n`
    lines++
    if (block.length >= BLOCK_BYTES) {
      write(block)
      block = ''
    }
  }
  write(`${block}${line(random, lines, END_MARK)}\n`)
  closeSync(fd)
  return { path, bytes, lines: lines + 1, headRequests }
}

/** mulberry32: 32 bits of state, the same sequence everywhere. */
class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** Whole numbers from 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]
  }
}

const START_MS = Date.UTC(2026, 9, 10, 6)
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')
const METHODS = 'GET GET GET GET GET GET GET POST POST PUT HEAD DELETE'.split(' ')
const STATUSES = '200 200 200 200 200 200 204 301 304 304 400 401 403 404 404 500 502'.split(' ')
const USERS = '- - - - - - - - frank alice j.smith'.split(' ')
const SEGMENTS =
  'api v1 v2 users orders items static img css js assets cart checkout search login health'.split(
    ' '
  )
const SUFFIXES = ['', '/', '.html', '.css', '.js', '.png', '?page=2', '?q=blue+shoes&sort=asc']
const REFERERS = [
  '-',
  '-',
  'https://www.example.com/',
  'https://www.example.com/search?q=blue+shoes',
  'https://shop.example.org/cart?session=8f14e45fceea167a'
]
const AGENTS = [
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
  'Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0',
  'curl/8.9.1',
  'kube-probe/1.31',
  'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'
]

function apacheLine(random: Random, index: number, mark: string): string {
  // 40 lines a second: the time changes as seldom as in a busy server's log.
  const time = new Date(START_MS + Math.floor(index / 40) * 1000)
  const address = `${10 + random.below(190)}.${random.below(256)}.${random.below(256)}.${random.below(256)}`
  const method = mark === '' ? random.pick(METHODS) : 'GET'
  const agent = mark === '' ? random.pick(AGENTS) : mark
  return (
    `${address} - ${random.pick(USERS)} [${apacheTime(time)}] ` +
    `"${method} ${requestPath(random)} HTTP/1.1" ${random.pick(STATUSES)} ${random.below(60_000)} ` +
    `"${random.pick(REFERERS)}" "${agent}"`
  )
}

/** `10/Oct/2026:06:00:00 +0000` */
function apacheTime(time: Date): string {
  const [date, clock] = time.toISOString().split('T')
  const [year, month, day] = date.split('-')
  return `${day}/${MONTHS[Number(month) - 1]}/${year}:${clock.slice(0, 8)} +0000`
}

function requestPath(random: Random): string {
  let path = ''
  for (let depth = 1 + random.below(4); depth > 0; depth--) path += `/${random.pick(SEGMENTS)}`
  return `${path}/${random.below(100_000)}${random.pick(SUFFIXES)}`
}

const LEVELS = 'INFO INFO INFO INFO DEBUG WARN ERROR'.split(' ')
const CLASSES =
  'c.e.shop.OrderService c.e.shop.CartController o.s.web.Filter c.e.pay.Gateway c.e.Worker'.split(
    ' '
  )
const EVENTS = [
  'order accepted',
  'cache miss, reading from the database',
  'retrying after a timeout of the payment gateway',
  'request finished',
  'user "j.smith" signed in',
  'queue length is above the soft limit'
]
const WIDE_EVENTS = [
  'заказ принят',
  '注文を受け付けました',
  'Zahlung über 12 € bestätigt ✓',
  'naïve café 🚀'
]

function applicationText(random: Random, index: number, mark: string): string {
  const time = new Date(START_MS + index * 7).toISOString()
  const event = random.below(9) === 0 ? random.pick(WIDE_EVENTS) : random.pick(EVENTS)
  const trace = (random.below(2 ** 31) * 2).toString(16).padStart(8, '0')
  return (
    `${time} ${random.pick(LEVELS)} [worker-${random.below(16)}] ${random.pick(CLASSES)} ` +
    `trace=${trace} user=${random.below(100_000)} took=${random.below(5_000)}ms: ${event}${mark === '' ? '' : ` ${mark}`}`
  )
}

function rawLine(random: Random, index: number, mark: string): string {
  const text = applicationText(random, index, mark)
  // Some lines carry a long tail, as stack frames and payloads do.
  return random.below(20) === 0 ? `${text} ${'payload=0123456789abcdef '.repeat(16)}` : text
}

function dockerLine(random: Random, index: number, mark: string): string {
  const log = `${applicationText(random, index, mark)}\n`
  const stream = random.below(5) === 0 ? 'stderr' : 'stdout'
  const nanos = String(random.below(1_000_000)).padStart(6, '0')
  const time = `${new Date(START_MS + index * 7).toISOString().slice(0, -1)}${nanos}Z`
  return JSON.stringify({ log, stream, time })
}
