/**
 * dummy: makes the same record again and again.
 * Source: Fluent Bit 5.1.1 plugins/in_dummy/in_dummy.c.
 * Differs: `flush_on_startup` also works with an output whose `match` is left out, where Fluent Bit drops that first
 * record; a `metadata` that is not one JSON map counts as a mistake like text that is not JSON, where Fluent Bit makes
 * chunks that no output can read; a bad template is reported once for all `copies`.
 *
 * @hot bench/pipelines.ts
 */
import { transcodeJsonStream } from '../../codec/json_reader.ts'
import { isMap } from '../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { hasVariables } from '../../config/env.ts'
import { dynamic, flag, int, text } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'
import { defineInput } from '../../plugin/define.ts'
import { setEventTime, writeTimestamp } from '../../record/event.ts'
import { type Interval, intervalInput } from '../common/interval.ts'

const DEFAULT_BODY = '{"message":"dummy"}'
const DEFAULT_METADATA = '{}'

/** Events of one commit, so that `copies` of many do not make one chunk of them all. */
const EVENTS_PER_COMMIT = 1000

/** Rounds made up for when the timer was late; more are left out so that the program stays responsive. */
const ROUNDS_MAX = 10_000

/** The hang of `test_hang_on_exit`. */
const HANG_MS = 1_000_000

/** What stands before metadata and body: `[[timestamp`. */
const EVENT_START = Buffer.alloc(12)
EVENT_START.fill(0x92, 0, 2)
writeTimestamp(EVENT_START, 2, 0, 0)

interface DummyValues {
  readonly samples: number
  readonly dummy: string
  readonly metadata: string
  readonly copies: number
  readonly start_time_sec: number
  readonly start_time_nsec: number
  readonly fixed_timestamp: boolean
}

export const dummy = defineInput({
  name: 'dummy',
  summary: 'Made-up records',
  upstream: 'plugins/in_dummy/in_dummy.c',
  options: {
    samples: int({ default: '0', doc: 'Rounds to make; 0 makes them without end' }),
    dummy: dynamic(
      text({ default: DEFAULT_BODY, doc: 'JSON map of a record, or several for several records' })
    ),
    metadata: dynamic(text({ default: DEFAULT_METADATA, doc: 'JSON map of the metadata' })),
    rate: int({ default: '1', doc: 'Rounds a second' }),
    interval_sec: int({ default: '0', doc: 'Seconds between two rounds, instead of rate' }),
    interval_nsec: int({ default: '0', doc: 'Nanoseconds to add to interval_sec' }),
    copies: int({ default: '1', doc: 'Times that the record is made in a round' }),
    start_time_sec: int({ default: '-1', doc: 'Seconds that the time of records starts with' }),
    start_time_nsec: int({
      default: '-1',
      doc: 'Nanoseconds that the time of records starts with'
    }),
    fixed_timestamp: flag({ default: 'off', doc: 'Give all records the same time' }),
    flush_on_startup: flag({ default: 'false', doc: 'Make the first round at start' }),
    test_hang_on_exit: flag({ default: 'false', doc: 'For tests: do not stop for 1000 seconds' })
  },
  create(values, context) {
    const generator = new Generator(values, context)
    const timed = intervalInput(
      context,
      intervalOf(values),
      intervals => {
        const rounds = Math.min(intervals, ROUNDS_MAX)
        for (let round = 0; round < rounds && !context.paused; round++) generator.round()
      },
      () => {
        generator.begin()
        if (values.flush_on_startup) generator.round()
      }
    )
    return {
      start: () => timed.start(),
      async stop() {
        timed.stop()
        if (!values.test_hang_on_exit) return
        context.log.debug('TEST: Simulating hang for hot reload watchdog test')
        const { promise, resolve } = Promise.withResolvers<void>()
        context.clock.after(HANG_MS, resolve)
        await promise
      }
    }
  }
})

function intervalOf(values: {
  readonly rate: number
  readonly interval_sec: number
  readonly interval_nsec: number
}): Interval {
  const { rate, interval_sec: seconds, interval_nsec: nanoseconds } = values
  const isValid = seconds >= 0 && nanoseconds >= 0
  if (isValid && (seconds > 0 || nanoseconds > 0)) return { seconds, nanoseconds }
  return rate > 1
    ? { seconds: 0, nanoseconds: Math.max(1, Math.trunc(1e9 / rate)) }
    : { seconds: 1, nanoseconds: 0 }
}

/** Makes the records of a round. */
class Generator {
  readonly #values: DummyValues
  readonly #context: InputContext
  readonly #body: Template
  readonly #metadata: Template
  readonly #isTimeGiven: boolean
  readonly #startMs: number
  readonly #startNanoseconds: number
  #baseMs = 0
  #roundsLeft: number
  /** Whole events but for their time: one for each body. */
  #events: readonly Buffer[] = []
  #eventsBody: readonly Buffer[] | undefined
  #eventsMetadata: readonly Buffer[] | undefined

  constructor(values: DummyValues, context: InputContext) {
    const { samples, start_time_sec: seconds, start_time_nsec: nanoseconds } = values
    this.#values = values
    this.#context = context
    this.#roundsLeft = samples > 0 ? samples : Infinity
    this.#isTimeGiven = seconds >= 0 || nanoseconds >= 0
    this.#startMs = Math.max(0, seconds) * 1000
    this.#startNanoseconds = Math.max(0, nanoseconds)
    this.#body = new Template(values.dummy, DEFAULT_BODY, context, {
      unset: 'environment variable resolution failed for dummy message, using default',
      malformed: 'failed to parse JSON template, using cached body',
      accepts: () => true
    })
    this.#metadata = new Template(values.metadata, DEFAULT_METADATA, context, {
      unset: 'environment variable resolution failed for metadata, using default',
      malformed: 'failed to parse JSON template, using cached metadata',
      accepts: encoded => encoded.length === 1 && isMap(encoded[0][0])
    })
  }

  begin(): void {
    this.#body.begin()
    this.#metadata.begin()
    this.#baseMs = this.#context.clock.now()
  }

  round(): void {
    if (this.#roundsLeft === 0) return
    const { copies, fixed_timestamp: isFixed, samples } = this.#values
    // A counted run with a fixed time sends its first records again, whatever variables say meanwhile.
    const isRepeat = isFixed && samples > 0 && this.#roundsLeft < samples
    if (!isRepeat) this.#refresh()
    this.#roundsLeft--
    if (this.#events.length === 0 || copies <= 0) {
      this.#context.log.error('log chunk size == 0')
      return
    }
    const sink = this.#context.sink(this.#context.tag)
    let count = 0
    for (let copy = 0; copy < copies; copy++) {
      this.#write(sink.writer)
      count += this.#events.length
      if (count < EVENTS_PER_COMMIT) continue
      sink.commit(count)
      count = 0
    }
    if (count > 0) sink.commit(count)
  }

  /** Puts the events together again, when a template has changed. */
  #refresh(): void {
    const bodies = this.#body.resolve()
    const metadata = this.#metadata.resolve()
    if (bodies === this.#eventsBody && metadata === this.#eventsMetadata) return
    this.#eventsBody = bodies
    this.#eventsMetadata = metadata
    const maps = bodies.filter(body => isMap(body[0]))
    this.#events = maps.map(body => Buffer.concat([EVENT_START, ...metadata, body]))
  }

  #write(out: MsgpackWriter): void {
    let timeMs = this.#values.fixed_timestamp ? this.#baseMs : this.#context.clock.now()
    if (this.#isTimeGiven) timeMs = this.#startMs + (timeMs - this.#baseMs)
    let seconds = Math.floor(timeMs / 1000)
    let nanoseconds = Math.floor((timeMs - seconds * 1000) * 1e6)
    if (this.#isTimeGiven) {
      nanoseconds += this.#startNanoseconds
      seconds += Math.floor(nanoseconds / 1e9)
      nanoseconds %= 1e9
    }
    for (let index = 0; index < this.#events.length; index++) {
      const event = this.#events[index]
      const at = out.length
      out.raw(event, 0, event.length)
      setEventTime(out.bytes, at, seconds, nanoseconds)
    }
  }
}

interface TemplateRules {
  /** Warning when the text is empty at start. */
  readonly unset: string
  /** Warning when the text cannot be used later. */
  readonly malformed: string
  readonly accepts: (encoded: readonly Buffer[]) => boolean
}

/** JSON text with variables, as MessagePack values. */
class Template {
  readonly #text: string
  readonly #default: string
  readonly #context: InputContext
  readonly #rules: TemplateRules
  readonly #isStatic: boolean
  #firstValues: readonly Buffer[] = []
  #expanded = ''
  #values: readonly Buffer[] | undefined

  constructor(text: string, fallback: string, context: InputContext, rules: TemplateRules) {
    this.#text = text
    this.#default = fallback
    this.#context = context
    this.#rules = rules
    this.#isStatic = !hasVariables(text)
  }

  /** Reads the template for the first time; what it gives now stands in whenever a later reading fails. */
  begin(): void {
    const { log } = this.#context
    let expanded = this.#context.expand(this.#text)
    if (expanded === '') {
      log.warn(this.#rules.unset)
      expanded = this.#default
    }
    let values = this.#encode(expanded)
    if (values === undefined) {
      log.warn('data is incomplete. Use default string.')
      values = this.#encode(this.#default)
    }
    this.#firstValues = values ?? []
  }

  /** The values now; the same array as long as they are the same. */
  resolve(): readonly Buffer[] {
    const expanded = this.#isStatic ? this.#text : this.#context.expand(this.#text)
    if (expanded === '') return this.#firstValues
    if (expanded !== this.#expanded) {
      this.#expanded = expanded
      this.#values = this.#encode(expanded)
    }
    if (this.#values === undefined) this.#context.log.warn(this.#rules.malformed)
    return this.#values ?? this.#firstValues
  }

  /** Each JSON value of the text; undefined when they cannot be used. Text behind the last whole value is left out. */
  #encode(json: string): readonly Buffer[] | undefined {
    const source = Buffer.from(json)
    const out = new MsgpackWriter(source.length + 16)
    const values: Buffer[] = []
    transcodeJsonStream(source, 0, source.length, out, (start, end) => {
      values.push(Buffer.from(out.bytes.subarray(start, end)))
    })
    return values.length > 0 && this.#rules.accepts(values) ? values : undefined
  }
}
