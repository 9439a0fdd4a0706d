/**
 * Log lines in Fluent Bit's format, on stderr or in a file.
 * Source: Fluent Bit 5.1.1 src/flb_log.c; reference section 12.
 */
import { writeSync } from 'node:fs'
import { RECENT_LINES_MAX } from './limits.ts'

/** Levels from least to most talkative; a logger prints its own level and every lower one. */
export const LOG_LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What a line says it is. */
export type LineLevel = Exclude<LogLevel, 'off'> | 'help'

/** A line as what it says. */
export interface LogLine {
  readonly level: LineLevel
  /** With its prefix, without the time and the level. */
  readonly text: string
  /** Milliseconds since the epoch. */
  readonly timeMs: number
}

/** Receives every line that passes the level filter. */
export interface LogSink {
  /** True when the destination is a terminal, so that level words may be coloured. */
  readonly colour: boolean
  write(text: string, level?: LineLevel): void
}

const LEVEL_COLOUR: Record<LogLevel | 'help', string> = {
  off: '',
  error: '\u001b[91m',
  warn: '\u001b[93m',
  info: '\u001b[92m',
  debug: '\u001b[93m',
  trace: '\u001b[94m',
  help: '\u001b[96m'
}

/** A sink on a file descriptor. Writes are synchronous: a crash loses no line. */
export function fileDescriptorSink(fd: number, colour: boolean): LogSink {
  return {
    colour,
    write(text) {
      const bytes = Buffer.from(text)
      let offset = 0
      let refused = 0
      while (offset < bytes.length && refused < 1000) {
        try {
          offset += writeSync(fd, bytes, offset)
        } catch (cause) {
          // A full pipe answers EAGAIN: try again for a bounded time. Any other failure (a closed
          // stderr, a full disk) must not stop the pipeline, and there is nowhere left to report it.
          if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN') return
          refused++
        }
      }
    }
  }
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0')
}

/** `2026/08/21 06:03:47` in local time. */
export function localTimestamp(epochMs: number): string {
  const time = new Date(epochMs)
  const date = `${time.getFullYear()}/${pad(time.getMonth() + 1, 2)}/${pad(time.getDate(), 2)}`
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(n => pad(n, 2))
  return `${date} ${clock.join(':')}`
}

/**
 * Writes log lines with a fixed prefix such as `[input:tail:tail.0] `.
 * Children share the sink and the clock; their level may differ.
 */
export class Logger {
  /** Lines written so far by level, over this logger and all its children. */
  readonly counts: Record<Exclude<LogLevel, 'off'>, number>
  readonly #sink: LogSink
  readonly #now: () => number
  readonly #prefix: string
  /** Of this logger and all its children. */
  readonly #stream: LogStream
  /** Of this logger alone; a child without one follows its parent. */
  #ownRank: number | undefined
  #parent: Logger | undefined
  #suppressMs = 0
  readonly #suppressed = new Map<string, number>()

  constructor(options: {
    sink: LogSink
    level: LogLevel
    now?: () => number
    prefix?: string
    counts?: Logger['counts']
    stream?: LogStream
  }) {
    this.#sink = options.sink
    this.#ownRank = LOG_LEVELS.indexOf(options.level)
    this.#now = options.now ?? Date.now
    this.#prefix = options.prefix ?? ''
    this.#stream = options.stream ?? new LogStream()
    this.counts = options.counts ?? { error: 0, warn: 0, info: 0, debug: 0, trace: 0 }
  }

  get level(): LogLevel {
    return LOG_LEVELS[this.#rank] ?? 'info'
  }

  set level(level: LogLevel) {
    this.#ownRank = LOG_LEVELS.indexOf(level)
  }

  get #rank(): number {
    return this.#ownRank ?? (this.#parent === undefined ? 0 : this.#parent.#rank)
  }

  /**
   * A logger with its own prefix and `log_suppress_interval` (milliseconds, 0 is off); without a level it follows this one.
   */
  child(prefix: string, level?: LogLevel, suppressMs = 0): Logger {
    const { counts } = this
    const options = {
      sink: this.#sink,
      level: 'info' as const,
      now: this.#now,
      prefix,
      counts,
      stream: this.#stream
    }
    const logger = new Logger(options)
    logger.#ownRank = level === undefined ? undefined : LOG_LEVELS.indexOf(level)
    logger.#parent = this
    logger.#suppressMs = suppressMs
    return logger
  }

  /** True when a line of this level would be printed; guards costly messages. */
  enabled(level: Exclude<LogLevel, 'off'>): boolean {
    return LOG_LEVELS.indexOf(level) <= this.#rank
  }

  error(message: string): void {
    this.#line('error', message)
  }

  warn(message: string): void {
    this.#line('warn', message)
  }

  info(message: string): void {
    this.#line('info', message)
  }

  debug(message: string): void {
    this.#line('debug', message)
  }

  trace(message: string): void {
    this.#line('trace', message)
  }

  /** The ` help` level, printed whenever errors are. */
  help(message: string): void {
    if (this.#rank > 0) this.#print('help', message)
  }

  /** Lines printed so far. */
  get position(): number {
    return this.#stream.position
  }

  /**
   * Calls `take` with each line that is printed, until the function that it gives is called.
   *
   * @param from The `position` to begin at: of lines before now, the last `RECENT_LINES_MAX` are still there.
   */
  follow(take: (line: LogLine) => void, from = this.position): () => void {
    return this.#stream.follow(take, from)
  }

  /** Prints a line that a logger in another thread has made, as it is. */
  relay(line: LogLine): void {
    if (line.level !== 'help') this.counts[line.level]++
    this.#write(line)
  }

  #line(level: Exclude<LogLevel, 'off'>, message: string): void {
    if (LOG_LEVELS.indexOf(level) > this.#rank) return
    if (this.#suppressMs > 0 && this.#isSuppressed(message)) return
    this.counts[level]++
    this.#print(level, message)
  }

  /** Messages that differ only in their figures count as the same, as format strings do in C. */
  #isSuppressed(message: string): boolean {
    const shape = message.replaceAll(/\d+/g, '#')
    const now = this.#now()
    const last = this.#suppressed.get(shape)
    if (last !== undefined && now - last < this.#suppressMs) return true
    if (this.#suppressed.size >= 256) this.#suppressed.clear()
    this.#suppressed.set(shape, now)
    return false
  }

  #print(level: LineLevel, message: string): void {
    this.#write({ level, text: this.#prefix + message, timeMs: this.#now() })
  }

  #write(line: LogLine): void {
    const { level, text, timeMs } = line
    const stamp = `${localTimestamp(timeMs)}.${pad(Math.floor(timeMs) % 1000, 3)}`
    const word = level.padStart(5)
    const head = this.#sink.colour
      ? `\u001b[1m[\u001b[0m${stamp}\u001b[1m]\u001b[0m [${LEVEL_COLOUR[level]}${word}\u001b[0m] `
      : `[${stamp}] [${word}] `
    this.#sink.write(`${head}${text}\n`, level)
    this.#stream.add(line)
  }
}

/** The lines of a logger and all its children, for those who follow them. */
class LogStream {
  position = 0
  readonly #recent: LogLine[] = []
  readonly #followers = new Set<(line: LogLine) => void>()

  add(line: LogLine): void {
    this.position++
    if (this.#recent.push(line) > RECENT_LINES_MAX) this.#recent.shift()
    for (const take of this.#followers) take(line)
  }

  follow(take: (line: LogLine) => void, from: number): () => void {
    const missed = Math.max(this.position - from, 0)
    if (missed > 0) for (const line of this.#recent.slice(-missed)) take(line)
    this.#followers.add(take)
    return () => void this.#followers.delete(take)
  }
}
