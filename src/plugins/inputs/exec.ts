/**
 * exec: runs a shell command, once or at an interval, and takes each line that it prints.
 * Source: Fluent Bit 5.1.1 plugins/in_exec/in_exec.c.
 * Differs: the command runs beside the engine, where Fluent Bit stands still until it ends; a command whose output is not
 * wanted yet (`mem_buf_limit`) waits, where Fluent Bit loses its lines; `buf_size 1`, for which Fluent Bit makes empty
 * records without end, is refused.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { flag, size, text } from '../../config/options.ts'
import { type Parser, TextBlock } from '../../parser/parser.ts'
import type { EventSink, InputContext } from '../../plugin/context.ts'
import { defineInput, type Input } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { lineEnd, textEnd } from '../common/line_pieces.ts'
import { PacedStream } from '../common/paced_stream.ts'
import { beginEvent, writeParsed } from '../common/send_event.ts'

/** What a shell answers when there is no such command. */
const EXIT_NOT_FOUND = 127

/** A map with one pair, and its key. */
const EXEC_KEY = Buffer.from('\x81\xa4exec', 'latin1')

const EMPTY = Buffer.alloc(0)

export const exec = defineInput({
  name: 'exec',
  summary: 'Output of a command',
  upstream: 'plugins/in_exec/in_exec.c',
  options: {
    command: text({ doc: 'Command for /bin/sh' }),
    parser: text({ doc: 'Parser of each line; without it the line goes under the key exec' }),
    ...INTERVAL_OPTIONS,
    buf_size: size({
      default: '4096',
      doc: 'Longer lines are cut after this many bytes, less one'
    }),
    oneshot: flag({ default: 'false', doc: 'Run the command once, at start' }),
    exit_after_oneshot: flag({
      default: 'false',
      doc: 'Run the command once and stop the program when it ends'
    }),
    propagate_exit_code: flag({
      default: 'false',
      doc: "Exit with the command's exit code; needs exit_after_oneshot"
    })
  },
  create(values, context) {
    const { command: line, buf_size: bytes, exit_after_oneshot: exits } = values
    if (line === undefined) throw context.invalid('command', 'it is not set, it must be a command')
    if (values.propagate_exit_code && !exits) {
      throw context.invalid(
        'propagate_exit_code',
        'it makes no sense without "exit_after_oneshot on"'
      )
    }
    if (bytes < 2) {
      throw context.invalid('buf_size', `value must be 2 or more: current value is ${bytes}`)
    }
    const output = new CommandOutput(values.parser, bytes - 1, context)
    const command = new Command(line, output, context, exitCode => {
      if (!exits) {
        context.log.debug('one-shot command exited but exit_after_oneshot not set')
        return
      }
      context.log.info('one-shot command exited, terminating fluent-bit')
      context.stop(values.propagate_exit_code ? exitCode : 0)
    })
    const isOnce = values.oneshot || exits
    const timed = intervalInput(context, readInterval(values), () => command.runOrRemember())
    return {
      start() {
        output.reportMissingParser()
        if (isOnce) command.run()
        else timed.start()
      },
      pause: () => command.pause(),
      resume: () => command.resume(),
      stop() {
        timed.stop()
        command.terminate()
      }
    } satisfies Input
  }
})

/** One command that runs at most once at a time. */
class Command {
  readonly #line: string
  readonly #output: CommandOutput
  readonly #context: InputContext
  readonly #onExit: (exitCode: number) => void
  #child: ChildProcess | undefined
  #stream: PacedStream | undefined
  #isDue = false

  constructor(
    line: string,
    output: CommandOutput,
    context: InputContext,
    onExit: (exitCode: number) => void
  ) {
    this.#line = line
    this.#output = output
    this.#context = context
    this.#onExit = onExit
  }

  /** Runs the command now, or as soon as the run that is under way has ended. */
  runOrRemember(): void {
    if (this.#child === undefined) this.run()
    else this.#isDue = true
  }

  run(): void {
    const { log } = this.#context
    const child = startShell(this.#line)
    if (child instanceof Error) {
      log.error(`Cannot run command "${this.#line}": ${child.message}`)
      this.#onExit(EXIT_NOT_FOUND)
      return
    }
    this.#child = child
    if (child.stdout !== null) {
      this.#stream = new PacedStream(child.stdout, this.#context, bytes => this.#output.take(bytes))
    }
    child.once('error', cause => {
      log.error(`Cannot run command "${this.#line}": ${cause.message}`)
      this.#end(child, EXIT_NOT_FOUND)
    })
    // Not `exit`: what the command has printed may come after it, and a part of it may still run.
    child.once('close', (code, signal) => this.#end(child, this.#exitCode(code, signal)))
  }

  pause(): void {
    this.#stream?.pause()
  }

  resume(): void {
    this.#stream?.resume()
  }

  /** Ends the command and all that it started; no more of its output is taken. */
  terminate(): void {
    const child = this.#child
    if (child?.pid === undefined) return
    this.#child = undefined
    this.#stream?.detach()
    child.stdout?.destroy()
    child.unref()
    try {
      process.kill(-child.pid, 'SIGTERM')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ESRCH') return
      this.#context.log.warn('could not terminate command process group')
    }
  }

  #end(child: ChildProcess, exitCode: number): void {
    if (this.#child !== child) return
    this.#output.end()
    this.#child = undefined
    this.#stream = undefined
    this.#onExit(exitCode)
    if (!this.#isDue) return
    this.#isDue = false
    if (!this.#context.paused) this.run()
  }

  /** As a shell has it: 128 and the number of the signal for a command that a signal ended. */
  #exitCode(code: number | null, signal: NodeJS.Signals | null): number {
    const { log } = this.#context
    if (signal === null) {
      log.debug(`command ${this.#line} exited with code ${code}`)
      return code ?? 0
    }
    const number = constants.signals[signal]
    log.debug(`command ${this.#line} exited with signal ${number}`)
    return 128 + number
  }
}

/** Starts a shell in a process group of its own, so that all that it starts can be ended with it. */
function startShell(line: string): ChildProcess | Error {
  try {
    return spawn('/bin/sh', ['-c', line], {
      argv0: 'sh',
      stdio: ['inherit', 'pipe', 'inherit'],
      detached: true
    })
  } catch (cause) {
    return cause as Error
  }
}

/** Makes events of what a command prints. */
class CommandOutput {
  readonly #parserName: string | undefined
  readonly #parser: Parser | undefined
  readonly #lineBytesMax: number
  readonly #context: InputContext
  readonly #block = new TextBlock()
  /** The begin of a line whose end has not come yet. */
  #rest = EMPTY

  constructor(parserName: string | undefined, lineBytesMax: number, context: InputContext) {
    this.#parserName = parserName
    this.#parser = parserName === undefined ? undefined : context.parser(parserName)
    this.#lineBytesMax = lineBytesMax
    this.#context = context
  }

  /** A parser that does not exist does not stop the start: lines come as if none was asked for. */
  reportMissingParser(): void {
    if (this.#parserName === undefined || this.#parser !== undefined) return
    this.#context.log.error(`requested parser '${this.#parserName}' not found`)
  }

  take(printed: Buffer): void {
    const bytes = this.#rest.length === 0 ? printed : Buffer.concat([this.#rest, printed])
    const timeMs = this.#context.clock.now()
    const limit = this.#lineBytesMax
    let count = 0
    let at = 0
    for (;;) {
      const end = lineEnd(bytes, at, bytes.length, limit)
      if (end < 0) break
      if (this.#write(bytes, at, end, timeMs)) count++
      at = end
    }
    this.#rest = at === bytes.length ? EMPTY : Buffer.from(bytes.subarray(at))
    if (count > 0) this.#sink.commit(count)
  }

  /** Takes the last line, which need not have a line end. */
  end(): void {
    const rest = this.#rest
    this.#rest = EMPTY
    if (rest.length === 0) return
    if (this.#write(rest, 0, rest.length, this.#context.clock.now())) this.#sink.commit(1)
  }

  get #sink(): EventSink {
    return this.#context.sink(this.#context.tag)
  }

  #write(bytes: Buffer, start: number, end: number, timeMs: number): boolean {
    const { writer } = this.#sink
    const withoutFeed = bytes[end - 1] === 0x0a ? end - 1 : end
    const stop = textEnd(bytes, start, withoutFeed)
    if (this.#parser === undefined) {
      beginEvent(writer, timeMs)
      writer.raw(EXEC_KEY, 0, EXEC_KEY.length)
      writer.stringBytes(bytes, start, stop)
      return true
    }
    this.#block.set(bytes, start, stop)
    if (writeParsed(this.#parser, this.#block, start, stop, timeMs, writer)) return true
    this.#context.log.error('parser returned an error')
    this.#context.dropped('unparsed', 1, stop - start)
    return false
  }
}
