/** Runs one work with one agent and measures the process from outside, by /proc. Linux only. */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Agent } from './agents.ts'
import { END_MARK } from './generate.ts'
import {
  type ConnectionsWork,
  type FileWork,
  type GrowingWork,
  type IdleWork,
  PARSERS,
  type SentWork,
  type Work
} from './pipelines.ts'

/** What one run gave; a value that the work does not measure is undefined. */
export interface Measurement {
  readonly wallSeconds?: number
  readonly cpuSeconds?: number
  readonly rssPeakBytes?: number
}

const POLL_MS = 5
const SCRAPE_MS = 1_000
const RUN_TIMEOUT_MS = 180_000
const STOP_TIMEOUT_MS = 15_000
/** Enough of the end of an output to hold the last record whole. */
const TAIL_BYTES = 8192
/** What an agent gets to read its first directory and settle, before idleness is measured. */
const SETTLE_MS = 3_000

/**
 * Runs one work.
 *
 * @param folder Where the output and the configuration of the run go; emptied afterwards.
 * @throws {Error} When the agent wrote another number of records, ended early or took too long.
 */
export async function measure(work: Work, agent: Agent, folder: string): Promise<Measurement> {
  mkdirSync(folder, { recursive: true })
  const run = new Run(work, agent, mkdtempSync(join(folder, `${work.name}-`)))
  try {
    switch (work.kind) {
      case 'file':
        return await run.readFile(work)
      case 'growing':
        return await run.followFiles(work)
      case 'idle':
        return await run.stayIdle(work)
      case 'start':
        return await run.start()
      case 'sent':
        return await run.takeRecords(work)
      case 'connections':
        return await run.holdConnections(work)
    }
  } finally {
    await run.clean()
  }
}

interface Ports {
  readonly port?: number
  readonly sinkPort?: number
  readonly monitoringPort?: number | undefined
}

class Run {
  readonly #work: Work
  readonly #agent: Agent
  readonly #folder: string
  readonly #output: string
  #child: ChildProcess | undefined
  #errors = ''
  readonly #helpers: Helper[] = []

  constructor(work: Work, agent: Agent, folder: string) {
    this.#work = work
    this.#agent = agent
    this.#folder = folder
    this.#output = join(folder, 'out.log')
  }

  async readFile(work: FileWork): Promise<Measurement> {
    const monitoringPort = work.isScraped === true ? await freePort() : undefined
    const start = performance.now()
    const pid = this.#spawn(work.input.path, { monitoringPort })
    const scraper = monitoringPort === undefined ? undefined : new Scraper(monitoringPort)
    await this.#until(() => endsWithMark(this.#output), 'the last record')
    const wallSeconds = (performance.now() - start) / 1000
    if (scraper?.stop() === 0) throw new Error('The monitoring server has not answered')
    const measurement = { wallSeconds, cpuSeconds: cpuSeconds(pid), rssPeakBytes: rssPeak(pid) }
    await this.#stop()
    this.#checkRecords(work.records)
    return measurement
  }

  async followFiles(work: GrowingWork): Promise<Measurement> {
    const logs = join(this.#folder, 'logs')
    mkdirSync(logs)
    for (let index = 0; index < work.files; index++) {
      writeFileSync(join(logs, `app-${index}.log`), '')
    }
    const pid = this.#spawn(join(logs, '*.log'))
    await delay(SETTLE_MS)
    const before = cpuSeconds(pid)
    const { files, linesPerSecond, seconds } = work
    const writer = join(import.meta.dirname, 'growing_writer.ts')
    const words = [writer, logs, String(files), String(linesPerSecond), String(seconds)]
    await finished(spawn(process.execPath, words, { stdio: ['ignore', 'inherit', 'inherit'] }))
    const counter = new LineCounter(this.#output)
    const records = linesPerSecond * seconds
    await this.#until(() => counter.count() >= records, `${records} records`)
    const measurement = { cpuSeconds: cpuSeconds(pid) - before, rssPeakBytes: rssPeak(pid) }
    await this.#stop()
    this.#checkRecords(records)
    return measurement
  }

  async stayIdle(work: IdleWork): Promise<Measurement> {
    const input = join(this.#folder, 'quiet.log')
    writeFileSync(input, '')
    const pid = this.#spawn(input)
    await delay(SETTLE_MS)
    const before = cpuSeconds(pid)
    await delay(work.seconds * 1000)
    const measurement = { cpuSeconds: cpuSeconds(pid) - before, rssPeakBytes: rssPeak(pid) }
    await this.#stop()
    return measurement
  }

  async start(): Promise<Measurement> {
    const begin = performance.now()
    this.#spawn('')
    const child = this.#running()
    let wallSeconds: number | undefined
    child.stdout?.once('data', () => {
      wallSeconds = (performance.now() - begin) / 1000
    })
    await this.#until(() => wallSeconds !== undefined, 'the first record')
    const rssPeakBytes = rssPeak(child.pid ?? 0)
    await this.#stop()
    return wallSeconds === undefined ? {} : { wallSeconds, rssPeakBytes }
  }

  async takeRecords(work: SentWork): Promise<Measurement> {
    const [port, sinkPort] = [await freePort(), await freePort()]
    const records = String(work.records)
    const sink =
      work.to === 'forward' ? this.#helper('forward_sink.ts', String(sinkPort), records) : undefined
    await sink?.says('ready')
    const pid = this.#spawn('', { port, sinkPort })
    await this.#until(() => isListening(port), 'listening')
    const before = cpuSeconds(pid)
    const start = performance.now()
    const sender = this.#helper('sender.ts', work.protocol, String(port), records)
    if (sink === undefined) await this.#until(() => endsWithMark(this.#output), 'the last record')
    else await this.#until(() => sink.said('taken'), 'the last record')
    const wallSeconds = (performance.now() - start) / 1000
    const measurement = {
      wallSeconds,
      cpuSeconds: cpuSeconds(pid) - before,
      rssPeakBytes: rssPeak(pid)
    }
    await sender.says('taken')
    await this.#stop()
    if (sink === undefined) this.#checkRecords(work.records)
    return measurement
  }

  async holdConnections(work: ConnectionsWork): Promise<Measurement> {
    const port = await freePort()
    const pid = this.#spawn('', { port, sinkPort: 0 })
    await this.#until(() => isListening(port), 'listening')
    const sockets = Array.from({ length: work.connections }, () => connect(port, '127.0.0.1'))
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    await delay(SETTLE_MS)
    const rssPeakBytes = rssPeak(pid)
    for (const socket of sockets) socket.destroy()
    await this.#stop()
    return { rssPeakBytes }
  }

  /** Starts a program of the bench, which ends with the run. */
  #helper(file: string, ...words: readonly string[]): Helper {
    const helper = new Helper([join(import.meta.dirname, file), ...words])
    this.#helpers.push(helper)
    return helper
  }

  /** Stops what still runs and removes the files of the run. */
  async clean(): Promise<void> {
    await this.#stop()
    for (const helper of this.#helpers) helper.end()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Starts the agent on the work's configuration; gives its process id. */
  #spawn(input: string, { port = 0, sinkPort = 0, monitoringPort }: Ports = {}): number {
    const parsers = join(this.#folder, 'parsers.conf')
    const config = join(this.#folder, 'bench.conf')
    writeFileSync(parsers, PARSERS)
    const paths = {
      input,
      parsers,
      outputFolder: this.#folder,
      outputFile: 'out.log',
      port,
      sinkPort,
      monitoringPort
    }
    writeFileSync(config, this.#work.config(paths))
    const env = { ...process.env, ...this.#agent.environment }
    const child = spawn(this.#agent.program, ['-c', config], {
      env,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    child.stderr.on('data', (bytes: Buffer) => {
      this.#errors = `${this.#errors}${bytes.toString('latin1')}`.slice(-4000)
    })
    // An agent that is not read from would stop at a full pipe.
    child.stdout.on('data', () => {})
    child.on('error', cause => {
      this.#errors += String(cause)
    })
    this.#child = child
    return child.pid ?? 0
  }

  #running(): ChildProcess {
    if (this.#child === undefined) throw new Error('Cannot measure: the agent was not started')
    return this.#child
  }

  async #until(condition: () => boolean, wanted: string): Promise<void> {
    const deadline = performance.now() + RUN_TIMEOUT_MS
    const child = this.#running()
    while (!condition()) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
        throw new Error(`${this.#title()} ended before ${wanted}: ${this.#errors}`)
      }
      if (performance.now() > deadline) {
        throw new Error(`${this.#title()} took too long for ${wanted}: ${this.#errors}`)
      }
      await delay(POLL_MS)
    }
  }

  async #stop(): Promise<void> {
    const child = this.#child
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = finished(child)
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await gone
    clearTimeout(timer)
  }

  #checkRecords(expected: number): void {
    const records = new LineCounter(this.#output).count()
    if (records === expected) return
    throw new Error(`${this.#title()} wrote ${records} records instead of ${expected}`)
  }

  #title(): string {
    return `${this.#agent.name} at the work "${this.#work.name}"`
  }
}

/** A sender or receiver, which says on a line each how far it is. */
class Helper {
  readonly #child: ChildProcess
  #output = ''

  constructor(words: readonly string[]) {
    this.#child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child.stdout?.on('data', (bytes: Buffer) => {
      this.#output += bytes.toString()
    })
  }

  said(word: string): boolean {
    if (this.#child.exitCode !== null && this.#child.exitCode > 0) {
      throw new Error('Cannot measure: the sender or receiver has failed')
    }
    return this.#output.includes(word)
  }

  async says(word: string): Promise<void> {
    while (!this.said(word)) await delay(POLL_MS)
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}

/** True when somebody listens on a port of this machine; asks the system, not the port. */
function isListening(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')} `
  return ['/proc/net/tcp', '/proc/net/tcp6'].some(path =>
    readFileSync(path, 'latin1')
      .split('\n')
      .some(line => line.split(/ +/)[2]?.concat(' ').endsWith(local) && / 0A /.test(line))
  )
}

function finished(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve())
  })
}

function endsWithMark(path: string): boolean {
  if (!existsSync(path)) return false
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES))
    readSync(fd, bytes, 0, bytes.length, size - bytes.length)
    return bytes.at(-1) === 0x0a && bytes.includes(END_MARK)
  } finally {
    closeSync(fd)
  }
}

/** Counts the lines of a file that may still grow; each call reads only what is new. */
class LineCounter {
  readonly #path: string
  readonly #block = Buffer.allocUnsafe(1024 * 1024)
  #offset = 0
  #lines = 0

  constructor(path: string) {
    this.#path = path
  }

  count(): number {
    if (!existsSync(this.#path)) return 0
    const fd = openSync(this.#path, 'r')
    for (;;) {
      const length = readSync(fd, this.#block, 0, this.#block.length, this.#offset)
      if (length === 0) break
      for (let at = 0; at < length; at++) if (this.#block[at] === 0x0a) this.#lines++
      this.#offset += length
    }
    closeSync(fd)
    return this.#lines
  }
}

/**
 * CPU time of all threads of a process since its start, user and system. Nanoseconds of the living
 * threads, where the kernel has them; of the process in ticks of 10 ms otherwise, and whenever that
 * is more: then threads have ended.
 */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // Behind the name in parentheses: fields 14 and 15 are utime and stime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = (Number(fields[11]) + Number(fields[12])) / 100
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${thread}/schedstat`
    if (existsSync(path)) nanoseconds += Number(readFileSync(path, 'latin1').split(' ')[0])
  }
  return Math.max(ticks, nanoseconds / 1e9)
}

/** The most memory that the process has had resident. */
function rssPeak(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}

/** Asks an agent for all its metrics every second, beginning with the first. */
class Scraper {
  readonly #timer: NodeJS.Timeout
  #answers = 0

  constructor(port: number) {
    const url = `http://127.0.0.1:${port}/api/v2/metrics/prometheus`
    const ask = async (): Promise<void> => {
      try {
        const answer = await fetch(url)
        const text = await answer.text()
        if (answer.ok && text.includes('fluentbit_input_records_total')) this.#answers++
      } catch {
        // It does not listen yet.
      }
    }
    this.#timer = setInterval(() => void ask(), SCRAPE_MS)
  }

  /** Gives how often there was an answer. */
  stop(): number {
    clearInterval(this.#timer)
    return this.#answers
  }
}
