/**
 * How records can be lost with a configuration, worked out from what was resolved; `spillway check --loss` prints it. Here
 * stand the keys that every input and output has and the service section; what only a plugin knows it says in `losses`.
 */
import { Diagnostics, type Location } from '../config/diagnostics.ts'
import type { ResolvedProperty } from '../config/resolve.ts'
import type { ServiceSettings } from '../config/service.ts'
import { parseSize } from '../config/units.ts'
import type { Loss, LossMoment } from '../plugin/define.ts'
import {
  type FilterSpec,
  type InputSpec,
  type InstanceSpec,
  labelOf,
  numberValue,
  type OutputSpec,
  textValue
} from './instance.ts'
import { type ReceiptMoment, receiptMoment, type StorageType } from './receipt.ts'
import { NO_LIMIT, parseRetryLimit, retryDelaySeconds } from './retry.ts'
import { isActive, StaticRoutes } from './static_routes.ts'
import { storageType } from './storage_type.ts'
import type { PipelineSpec } from './world.ts'

/** One way to lose records. */
export interface Finding {
  /** Of the value that causes it, or of the section where the key is not written. */
  readonly at: Location
  readonly when: LossMoment
  /** `input tail.0`, or `service`. */
  readonly subject: string
  readonly message: string
  /** What to set so that they are kept; undefined where nothing helps. */
  readonly change: string | undefined
}

const SEVERITY: Readonly<Record<LossMoment, number>> = {
  always: 0,
  running: 1,
  failure: 2,
  stop: 3,
  crash: 4,
  power: 5
}

/** Attempts after which the waits of `retryDelaySeconds` do not grow any more. */
const GROWING_ATTEMPTS = 32

const IN_SERVICE = 'in the service section'

const LOST_WITH_MEMORY = 'wait in memory: a crash of the process loses those that are not delivered'

/**
 * Finds the ways to lose records, the worst first, then in the order of the configuration.
 *
 * @param servicePlaces Where the keys of the service section stand; a key that is not written has no place.
 */
export function findLosses(
  spec: PipelineSpec,
  servicePlaces: ReadonlyMap<string, Location>
): Finding[] {
  return new LossFinder(spec, servicePlaces).find()
}

class LossFinder {
  readonly #spec: PipelineSpec
  readonly #service: ServiceSettings
  readonly #places: ReadonlyMap<string, Location>
  readonly #routes: StaticRoutes
  readonly #findings: Finding[] = []
  /** What the end of `grace` takes: instances and where they say that they keep records in memory. */
  readonly #lostAtStop: Place[] = []
  /** What the end of the machine takes. */
  readonly #lostWithPower: Place[] = []
  /** Outputs that may refuse records. */
  readonly #refusing: Place[] = []
  /** True when records under new tags are kept on disk. */
  #hasStoredEmitter = false

  constructor(spec: PipelineSpec, servicePlaces: ReadonlyMap<string, Location>) {
    this.#spec = spec
    this.#service = spec.service
    this.#places = servicePlaces
    this.#routes = new StaticRoutes(spec)
  }

  find(): Finding[] {
    const { inputs, filters, outputs } = this.#spec
    for (const input of inputs) this.#input(input)
    for (const filter of filters) {
      if (isActive(filter)) this.#filter(filter, 'filter', this.#routes.emittedInputs())
    }
    for (const output of outputs) this.#output(output)
    this.#serviceSection()
    const files = [...new Set(this.#findings.map(({ at }) => at.file))]
    return this.#findings.toSorted(
      (a, b) =>
        SEVERITY[a.when] - SEVERITY[b.when] ||
        files.indexOf(a.at.file) - files.indexOf(b.at.file) ||
        a.at.line - b.at.line ||
        a.at.column - b.at.column
    )
  }

  #input(input: InputSpec): void {
    const { processors, routes } = input
    if (this.#unrouted(input)) return
    const own = this.#pluginLosses(input, 'input')
    if (own.some(loss => loss.when === 'always')) return
    this.#storage(input)
    this.#waits(input)
    for (const processor of [...processors, ...routes.flatMap(route => route.processors)]) {
      this.#filter(processor, 'processor', [input])
    }
  }

  /** Records that are sent to no output; true when all of an input are. */
  #unrouted(input: InputSpec): boolean {
    const gap = this.#routes.gapOf(input)
    if (gap === 'no_default_route') {
      this.#add(input, 'input', {
        when: 'running',
        message: 'records that meet the condition of none of its routes are dropped',
        change: 'one more route, with default: true as its condition'
      })
    } else if (gap === 'not_routable') {
      const message = 'all records are dropped, as they are not routable'
      this.#add(input, 'input', {
        when: 'always',
        key: 'routable',
        message,
        change: 'routable on'
      })
    } else if (gap === 'no_match') {
      const tag = textValue(input, 'tag') ?? input.name
      const message = `all records are dropped, as no output matches their tag "${tag}"`
      const change = `match ${tag} on an output`
      this.#add(input, 'input', { when: 'always', key: 'tag', message, change })
    }
    return gap === 'not_routable' || gap === 'no_match'
  }

  /** What is lost with the memory, or with the machine. */
  #storage(input: InputSpec): void {
    const { receipts } = input.plugin
    const type = this.#storageType(input)
    const place = this.#storagePlace(input)
    if (type === 'memrb' && numberValue(input, 'mem_buf_limit') > 0) {
      this.#add(input, 'input', {
        when: 'failure',
        key: 'mem_buf_limit',
        message: `the oldest records are dropped when ${asWritten(input, 'mem_buf_limit')} is reached`,
        change: this.#filesystem('storage.type')
      })
    }
    // A source that keeps records until they are delivered gives them again.
    if (receipts !== undefined && this.#moment(input) === 'settled') return
    if (type === 'filesystem') {
      this.#lostWithPower.push(place)
      return
    }
    this.#lostAtStop.push(place)
    const answered = receipts === 'sender' ? 'are acknowledged and then ' : ''
    this.#findings.push({
      at: place.at,
      when: 'crash',
      subject: `input ${place.label}`,
      message: `records ${answered}${LOST_WITH_MEMORY}`,
      change: `${receipts === 'sender' ? 'acknowledge delivered, or ' : ''}${this.#filesystem('storage.type')}`
    })
  }

  /** What an input loses while it is held back, as far as the contract tells: with receipts its source waits. */
  #waits(input: InputSpec): void {
    if (input.plugin.receipts !== undefined) return
    const type = this.#storageType(input)
    const add = (key: string, cause: string, change: string): void =>
      this.#add(input, 'input', {
        when: 'failure',
        key,
        message: `records that its source does not keep are lost while ${cause}`,
        change
      })
    if (type === 'memory' && numberValue(input, 'mem_buf_limit') > 0) {
      const cause = `${asWritten(input, 'mem_buf_limit')} holds it back`
      add('mem_buf_limit', cause, this.#filesystem('storage.type'))
    }
    const rates = ['rate_gate.max_bytes', 'rate_gate.max_records']
    if (input.values['rate_gate'] === true && rates.some(key => numberValue(input, key) > 0)) {
      add('rate_gate', 'rate_gate holds it back', 'rate_gate off')
    }
    if (type !== 'filesystem') return
    const pauses = 'storage.pause_on_chunks_overlimit'
    if (input.values[pauses] === true) {
      const chunks = this.#service['storage.max_chunks_up']
      add(pauses, `storage.max_chunks_up ${chunks} holds it back`, `${pauses} off`)
    }
    if (this.#routes.reachedBy(input).every(output => totalLimit(output) !== undefined)) return
    add(
      'storage.type',
      'the disk of storage.path is full',
      'storage.total_limit_size SIZE on its outputs, which drops the oldest records instead'
    )
  }

  /**
   * What a filter loses, also with the memory of its emitter.
   *
   * @param sources Inputs whose records may pass it.
   */
  #filter(filter: FilterSpec, kind: string, sources: readonly InputSpec[]): void {
    this.#pluginLosses(filter, kind)
    const key = 'emitter_storage.type'
    const type = textValue(filter, key)?.toLowerCase()
    if (type === undefined) return
    const place = { label: labelOf(filter), at: property(filter, key)?.at ?? filter.at }
    if (type === 'filesystem') {
      this.#lostWithPower.push(place)
      this.#hasStoredEmitter = true
      return
    }
    // Receipts wait for what was emitted too: an input that has them gives its records again.
    const givesAgain = (input: InputSpec): boolean =>
      input.plugin.receipts !== undefined && this.#moment(input) !== 'taken'
    if (sources.every(givesAgain)) return
    this.#lostAtStop.push(place)
    this.#add(filter, kind, {
      when: 'crash',
      key,
      message: `records under a new tag ${LOST_WITH_MEMORY}`,
      change: this.#filesystem(key)
    })
  }

  #output(output: OutputSpec): void {
    const sources = this.#routes.sourcesOf(output)
    if (sources.length === 0) return
    const own = this.#pluginLosses(output, 'output')
    if (own.some(loss => loss.when === 'always')) return
    for (const processor of output.processors) this.#filter(processor, 'processor', sources)
    this.#refusing.push({ label: labelOf(output), at: output.at })
    this.#retries(output)
    const limit = totalLimit(output)
    const isStored = sources.some(input => this.#storageType(input) === 'filesystem')
    if (limit === undefined || !(isStored || this.#hasStoredEmitter)) return
    const key = 'storage.total_limit_size'
    const message = `the oldest records that wait on disk are dropped when they hold ${limit}`
    this.#add(output, 'output', { when: 'failure', key, message, change: `${key} off` })
  }

  #retries(output: OutputSpec): void {
    const limit = parseRetryLimit(textValue(output, 'retry_limit') ?? '') ?? 1
    if (limit === NO_LIMIT || this.#keepsLetters()) return
    const { 'scheduler.base': base, 'scheduler.cap': cap } = this.#service
    const message =
      limit === 0
        ? 'records are dropped when their delivery fails once'
        : `records are dropped when their delivery fails after ${count(limit, 'retry', 'retries')}, ` +
          `${retrySpan(limit, base, cap)} after the first failure, sooner at a stop`
    const change = `retry_limit no_limits, or ${this.#letters()}`
    this.#add(output, 'output', { when: 'failure', key: 'retry_limit', message, change })
  }

  #serviceSection(): void {
    const { grace, 'storage.path': path, 'storage.sync': sync } = this.#service
    this.#deadLetters()
    if (path === undefined && grace >= 0) {
      this.#addForAll(this.#lostAtStop, labels => ({
        when: 'stop',
        key: 'grace',
        message: `records of ${labels} that are not delivered ${count(grace, 'second')} after a stop began are lost`,
        change: `storage.path FOLDER ${IN_SERVICE}`
      }))
    }
    if (sync.toLowerCase() !== 'full') {
      this.#addForAll(this.#lostWithPower, labels => ({
        when: 'power',
        key: 'storage.sync',
        message: `records of ${labels} are not forced to the disk: a crash of the machine loses the last of them`,
        change: `storage.sync full ${IN_SERVICE}`
      }))
    }
    const deletes = 'storage.delete_irrecoverable_chunks'
    const at = this.#places.get(deletes)
    if (path !== undefined && this.#service[deletes] && at !== undefined) {
      const message = 'what is damaged in the files of an earlier run is deleted, not set aside'
      const change = `${deletes} off ${IN_SERVICE}`
      this.#findings.push({ at, when: 'crash', subject: 'service', message, change })
    }
  }

  /** What becomes of records that an output refuses for good. */
  #deadLetters(): void {
    const { 'storage.keep.rejected': keeps, 'storage.path': path } = this.#service
    const limit = 'storage.rejected.limit'
    if (!keeps || path === undefined) {
      const reason = keeps ? ', as storage.keep.rejected has no effect without storage.path' : ''
      this.#addForAll(this.#refusing, labels => ({
        when: 'failure',
        key: 'storage.keep.rejected',
        message: `records refused by an output (${labels}) are dropped${reason}`,
        change: keeps ? `storage.path FOLDER ${IN_SERVICE}` : this.#letters()
      }))
    } else if (this.#service[limit] !== undefined) {
      this.#addForAll(this.#refusing, labels => ({
        when: 'failure',
        key: limit,
        message: `records refused or given up by an output (${labels}) are dropped while dead letters fill ${limit}`,
        change: `a larger ${limit} ${IN_SERVICE}, or none`
      }))
    }
  }

  #keepsLetters(): boolean {
    return this.#service['storage.keep.rejected'] && this.#service['storage.path'] !== undefined
  }

  /** The change that keeps dead letters. */
  #letters(): string {
    return `storage.keep.rejected on${this.#withPath()} ${IN_SERVICE}`
  }

  /** The change that keeps records on disk. */
  #filesystem(key: string): string {
    const path = this.#withPath()
    return path === '' ? `${key} filesystem` : `${key} filesystem${path} ${IN_SERVICE}`
  }

  #withPath(): string {
    return this.#service['storage.path'] === undefined ? ' with storage.path FOLDER' : ''
  }

  #storageType(input: InputSpec): StorageType {
    const written = property(input, 'storage.type')
    const own = written === undefined ? undefined : textValue(input, 'storage.type')
    // Mistakes have been reported before.
    return storageType(own, input.name, this.#service, input.at, new Diagnostics())
  }

  /** When the source of an input with receipts may forget its records. */
  #moment(input: InputSpec): ReceiptMoment {
    const acknowledge = input.values['acknowledge'] === 'delivered' ? 'delivered' : 'stored'
    return receiptMoment(input.plugin.receipts, this.#storageType(input), acknowledge)
  }

  /** Where an input is told how to keep its records. */
  #storagePlace(input: InputSpec): Place {
    const label = labelOf(input)
    const own = property(input, 'storage.type')?.at
    if (own !== undefined || !this.#service['storage.inherit']) {
      return { label, at: own ?? input.at }
    }
    return { label, at: this.#places.get('storage.type') ?? input.at }
  }

  #pluginLosses(spec: InstanceSpec, kind: string): readonly Loss[] {
    const losses = spec.plugin.losses?.(spec.values) ?? []
    for (const loss of losses) this.#add(spec, kind, loss)
    return losses
  }

  #add(spec: InstanceSpec, kind: string, { when, key, message, change }: Loss): void {
    const at = (key === undefined ? undefined : property(spec, key)?.at) ?? spec.at
    this.#findings.push({ at, when, subject: `${kind} ${labelOf(spec)}`, message, change })
  }

  /** A finding about a key of the service section and all instances that it matters to, if there are any. */
  #addForAll(
    places: readonly Place[],
    describe: (labels: string) => Loss & { readonly key: string }
  ): void {
    if (places.length === 0) return
    const labels = [...new Set(places.map(place => place.label))]
    const { when, key, message, change } = describe(joined(labels))
    const at = this.#places.get(key) ?? places[0].at
    this.#findings.push({ at, when, subject: 'service', message, change })
  }
}

/** An instance by its alias or name, and where the configuration says what is found. */
interface Place {
  readonly label: string
  readonly at: Location
}

/** The property that counts; undefined when the key is not written. */
function property(spec: InstanceSpec, key: string): ResolvedProperty | undefined {
  return spec.written.findLast(written => written.key === key)
}

/** `mem_buf_limit 5M`, as the user wrote it. */
function asWritten(spec: InstanceSpec, key: string): string {
  return `${key} ${property(spec, key)?.text ?? ''}`
}

/** The text of `storage.total_limit_size`; undefined when there is no limit. */
function totalLimit(output: OutputSpec): string | undefined {
  const text = textValue(output, 'storage.total_limit_size')
  return text === undefined || (parseSize(text) ?? 0) === 0 ? undefined : text
}

/** `6 to 11 seconds`: how long the waits before all retries take together. */
function retrySpan(limit: number, base: number, cap: number): string {
  const total = (random: () => number): number => {
    let seconds = 0
    const growing = Math.min(limit, GROWING_ATTEMPTS)
    for (let attempt = 1; attempt <= growing; attempt++) {
      seconds += retryDelaySeconds(attempt, base, cap, random)
    }
    return seconds + (limit - growing) * retryDelaySeconds(growing, base, cap, random)
  }
  const [least, leastUnit] = inUnits(total(() => 0))
  const [most, mostUnit] = inUnits(total(() => 1 - Number.EPSILON))
  const first = leastUnit === mostUnit ? `${least}` : `${least} ${leastUnit}`
  return first === `${most}` ? `${most} ${mostUnit}` : `${first} to ${most} ${mostUnit}`
}

/** A time in the unit in which it reads well. */
function inUnits(seconds: number): readonly [number, string] {
  if (seconds < 120) return [seconds, 'seconds']
  if (seconds < 120 * 60) return [Math.round(seconds / 60), 'minutes']
  if (seconds < 48 * 3600) return [Math.round(seconds / 3600), 'hours']
  return [Math.round(seconds / 86_400), 'days']
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`
}

/** `a`, `a and b`, `a, b and c`. */
function joined(words: readonly string[]): string {
  const last = words.slice(-1)
  const others = words.slice(0, -1).join(', ')
  return [...(others === '' ? [] : [others]), ...last].join(' and ')
}
