/**
 * The instances of one configuration and how they are connected. A reload makes another one that has most of them too.
 */
import type { Signal } from '../base/signal.ts'
import { SIGNALS } from '../base/signal.ts'
import type { EmitterRuntime } from './emitter.ts'
import { FilterChain, type FilterStep } from './filter_chain.ts'
import type { InputRoute, InputRuntime } from './input_runtime.ts'
import type { FilterSpec, InputSpec, OutputSpec } from './instance.ts'
import type { OutputRuntime } from './output_runtime.ts'
import type { Place, Row } from './place.ts'
import { Router } from './router.ts'
import type { PipelineSpec } from './world.ts'

/** A filter with its place in the pipeline. */
export interface FilterRuntime extends FilterStep {
  readonly name: string
  readonly matches: (tag: string) => boolean
}

export type InputPlace = Place<InputSpec, InputRuntime>
export type FilterPlace = Place<FilterSpec, FilterRuntime>
export type OutputPlace = Place<OutputSpec, OutputRuntime>

/** What a layout is made of. */
export interface Rows {
  readonly outputs: Pick<Row<OutputSpec, OutputRuntime>, 'places'>
  readonly inputs: Pick<Row<InputSpec, InputRuntime>, 'places'>
  readonly filters: Pick<Row<FilterSpec, FilterRuntime>, 'places'>
}

/** Makes instances for layouts. */
export interface LayoutFactory {
  routesTo(place: InputPlace, outputs: readonly OutputRuntime[]): readonly InputRoute[]
  renewed(layout: Layout, isGone: (runtime: InputRuntime | OutputRuntime) => boolean): Layout
}

export class Layout {
  readonly spec: PipelineSpec
  readonly factory: LayoutFactory
  readonly outputPlaces: readonly OutputPlace[]
  readonly inputPlaces: readonly InputPlace[]
  readonly filterPlaces: readonly FilterPlace[]
  /** Inputs, and the emitters of filters and processors. */
  readonly inputs: readonly InputRuntime[]
  readonly emitters: readonly EmitterRuntime[]
  readonly filters: readonly FilterRuntime[]
  readonly outputs: readonly OutputRuntime[]
  /** Where the conditional and plain routes of inputs lead. */
  readonly #routes: ReadonlyMap<InputRuntime, readonly InputRoute[]>
  readonly #filterRouter: Router<FilterRuntime>
  readonly #outputRouters: ReadonlyMap<Signal, Router<OutputRuntime>>
  readonly #chains = new Map<string, FilterChain | undefined>()

  constructor(spec: PipelineSpec, factory: LayoutFactory, { outputs, inputs, filters }: Rows) {
    this.spec = spec
    this.factory = factory
    this.outputPlaces = outputs.places
    this.inputPlaces = inputs.places
    this.filterPlaces = filters.places
    this.outputs = outputs.places.map(({ runtime }) => runtime)
    this.filters = filters.places.map(({ runtime }) => runtime)
    this.emitters = [...outputs.places, ...inputs.places, ...filters.places].flatMap(
      ({ emitters }) => emitters
    )
    this.inputs = [
      ...inputs.places.map(({ runtime }) => runtime),
      ...this.emitters.map(({ input }) => input)
    ]
    this.#routes = new Map(
      inputs.places.map(place => [place.runtime, factory.routesTo(place, this.outputs)])
    )
    this.#filterRouter = new Router(this.filters)
    this.#outputRouters = new Map(
      SIGNALS.map(signal => {
        const taking = this.outputs.filter(({ settings }) => settings.signals.includes(signal))
        return [signal, new Router(taking)]
      })
    )
  }

  /** Names of inputs and emitters, as `settle` makes them. */
  get inputNames(): string[] {
    const names = this.inputPlaces.map(({ spec }) => spec.name)
    return [...names, ...this.emitters.map(({ input }) => input.name)]
  }

  /** The outputs that match a tag and take the signal. */
  route(tag: string, signal: Signal): readonly OutputRuntime[] {
    return this.#outputRouters.get(signal)?.route(tag) ?? []
  }

  /** The filters that match a tag, as one chain; chains are shared by all inputs. */
  chain(tag: string): FilterChain | undefined {
    const filters = this.#filterRouter.route(tag)
    if (filters.length === 0) return undefined
    const key = filters.map(filter => this.filters.indexOf(filter)).join()
    let chain = this.#chains.get(key)
    if (chain === undefined) {
      chain = new FilterChain(filters)
      this.#chains.set(key, chain)
    }
    return chain
  }

  /** Makes its instances go by its names and routes; one that stayed at a reload had others. */
  settle(): void {
    for (const { spec, runtime } of this.inputPlaces) {
      runtime.stay(spec.name, this.#routes.get(runtime) ?? [])
    }
    for (const { input } of this.emitters) input.stay(input.name, input.settings.routes)
    for (const { spec, runtime } of this.outputPlaces) runtime.stay(spec.name, spec.id)
  }
}
