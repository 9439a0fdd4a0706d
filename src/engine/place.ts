/**
 * An instance in a pipeline: what it was made from, and what there is of it. At a reload, an instance whose text is still
 * the same stays in its place.
 */
import type { MetricsScope } from '../metrics/registry.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Environment } from '../config/env.ts'
import type { EmitterRuntime } from './emitter.ts'
import {
  type InputSpec,
  type InstanceSpec,
  type OutputSpec,
  type ProcessorSpec,
  textValue
} from './instance.ts'
import type { DescribedParsers, PipelineSpec } from './world.ts'

export interface Place<Spec extends InstanceSpec, Runtime> {
  readonly spec: Spec
  /** All that the instance depends on, as text; see `Prints`. */
  readonly print: string
  readonly runtime: Runtime
  /** Those of the filter, or of processors. */
  readonly emitters: readonly EmitterRuntime[]
  /** What the instance counts; it is released when nothing of the instance is left. */
  readonly metrics: MetricsScope
}

/** Service keys that instances look at when they are made, by what they are for. */
const JSON_KEYS = ['json.escape_unicode', 'json.convert_nan_to_null'] as const
const STORAGE_KEYS = ['storage.type', 'storage.inherit'] as const

/** A listener is not to close because outputs are to write other JSON: inputs write none, their processors may. */
const SERVICE_KEYS = {
  input: STORAGE_KEYS,
  filter: [...JSON_KEYS, ...STORAGE_KEYS],
  output: [...JSON_KEYS, 'flush']
} as const

/** What configurations say of instances, as texts that are equal when the instances are. */
export class Prints {
  readonly #environment: Environment
  readonly #parsers: DescribedParsers
  readonly #service: ServiceSettings
  readonly #tagRecords: PipelineSpec['tagRecords']
  readonly #isOnlyPair: boolean

  constructor(
    { inputs, outputs, service, tagRecords }: PipelineSpec,
    world: { readonly environment: Environment; readonly parsers: DescribedParsers }
  ) {
    this.#environment = world.environment
    this.#parsers = world.parsers
    this.#service = service
    this.#tagRecords = tagRecords
    this.#isOnlyPair = inputs.length === 1 && outputs.length === 1
  }

  input(spec: InputSpec): string {
    const routes = spec.routes.map(({ processors, ...route }) => [
      route,
      processors.map(processor => this.#processor(processor))
    ])
    const { processors, tagRecords } = spec
    return JSON.stringify([
      this.#instance(spec, 'input'),
      this.#processors(processors),
      routes,
      tagRecords,
      this.#tagRecords
    ])
  }

  filter(spec: InstanceSpec): string {
    // Its emitter may count by tag.
    return JSON.stringify([this.#instance(spec, 'filter'), this.#tagRecords])
  }

  output(spec: OutputSpec): string {
    // Without a match it takes all there is, if there is one input and one output.
    const takesAll = textValue(spec, 'match') === undefined && this.#isOnlyPair
    return JSON.stringify([
      this.#instance(spec, 'output'),
      this.#processors(spec.processors),
      takesAll
    ])
  }

  #processors(specs: readonly ProcessorSpec[]): string[] {
    return specs.map(spec => this.#processor(spec))
  }

  #processor(spec: ProcessorSpec): string {
    return JSON.stringify([this.#instance(spec, 'filter'), spec.condition, this.#tagRecords])
  }

  #instance(spec: InstanceSpec, kind: keyof typeof SERVICE_KEYS): string {
    const { plugin, alias, uri, upstream } = spec
    const written = spec.written.map(({ key, text }) => [
      key,
      this.#environment.expandLasting(text)
    ])
    const parsers = this.#parsersIn(Object.values(spec.values))
    const service = SERVICE_KEYS[kind].map(key => this.#service[key] ?? null)
    return JSON.stringify([plugin.name, alias, uri, upstream, written, parsers, service])
  }

  /** Definitions of the parsers that values name; a text that happens to be a parser's name does no harm. */
  #parsersIn(values: readonly unknown[]): string[] {
    const names = values
      .flat()
      .flatMap(value => (typeof value === 'string' ? value.split(',') : []))
      .map(name => name.trim())
    return [...new Set(names)].flatMap(name => this.#parsers.definition(name) ?? [])
  }
}

/** The places of one kind in a new layout, of which some are taken from an old one. */
export class Row<Spec extends InstanceSpec, Runtime> {
  readonly places: Place<Spec, Runtime>[] = []
  readonly #old: Set<Place<Spec, Runtime>>
  readonly #make: (spec: Spec, print: string) => Place<Spec, Runtime> | undefined

  /** @param make Makes an instance; it gives nothing when the plugin refuses its configuration. */
  constructor(
    old: readonly Place<Spec, Runtime>[],
    make: (spec: Spec, print: string) => Place<Spec, Runtime> | undefined
  ) {
    this.#old = new Set(old)
    this.#make = make
  }

  /** Adds the instance of a spec: the old one that is the same, or one that is made. */
  fill(spec: Spec, print: string): void {
    for (const place of this.#old) {
      if (place.print !== print || !isSame(place.spec, spec)) continue
      this.#old.delete(place)
      this.places.push({ ...place, spec })
      return
    }
    this.#add(this.#make(spec, print))
  }

  /** Adds an instance as it is, or another one that is made like it. */
  keep(place: Place<Spec, Runtime>, isGone: boolean): void {
    this.#add(isGone ? this.#make(place.spec, place.print) : place)
  }

  #add(place: Place<Spec, Runtime> | undefined): void {
    if (place !== undefined) this.places.push(place)
  }
}

/** True for the spec of the same instance, given that the texts are the same. */
function isSame(old: InstanceSpec, spec: InstanceSpec): boolean {
  return old.plugin === spec.plugin && (old.name === spec.name || hasOwnName(spec))
}

/** True when an instance may go by another number: nothing but its place in the file made the difference. */
function hasOwnName(spec: InstanceSpec): boolean {
  const needsTag = spec.plugin.kind === 'input' && textValue(spec, 'tag') === undefined
  return spec.alias !== undefined && !needsTag
}
