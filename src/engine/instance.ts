/** What the configuration says of one instance, resolved and checked against its plugin's option table. */
import type { Location } from '../config/diagnostics.ts'
import type { ResolvedProperty } from '../config/resolve.ts'
import type { ConditionSpec } from '../record/condition.ts'
import type { FilterPlugin, InputPlugin, OutputPlugin, Plugin } from '../plugin/define.ts'

export interface InstanceSpec<P extends Plugin = Plugin> {
  readonly plugin: P
  /** `tail.0`. */
  readonly name: string
  readonly alias: string | undefined
  readonly id: number
  /** Of the section. */
  readonly at: Location
  /** False when an option has a mistake: the plugin is not made, so that one mistake gives one message. */
  readonly isValid: boolean
  /** Values of all tables: the plugin's own, generic and network keys. */
  readonly values: Readonly<Record<string, unknown>>
  readonly written: readonly ResolvedProperty[]
  /** What follows the port in a name such as `http://host:80/path`. */
  readonly uri: string | undefined
  /** The endpoints that `upstream` names. */
  readonly upstream: UpstreamGroup | undefined
}

/** Endpoints that one output sends to. Plain data, as all of a spec. */
export interface UpstreamGroup {
  readonly mode: 'round_robin' | 'failover'
  /** Failures in a row after which an endpoint is left out, and for how long at first. */
  readonly ejectAfter: number
  readonly ejectMs: number
  readonly nodes: readonly UpstreamNode[]
}

export interface UpstreamNode {
  /** `name`, `host`, `port` and the `tls.*` keys. */
  readonly values: Readonly<Record<string, unknown>>
  /** What the node says of the plugin's own keys. */
  readonly properties: Readonly<Record<string, unknown>>
}

export interface FilterSpec extends InstanceSpec<FilterPlugin> {}

/** A filter that runs as a processor of an input, an output or a route. */
export interface ProcessorSpec extends InstanceSpec<FilterPlugin> {
  readonly condition: ConditionSpec | undefined
}

export interface RouteSpec {
  readonly name: string
  readonly perRecord: boolean
  readonly isDefault: boolean
  readonly condition: ConditionSpec | undefined
  readonly processors: readonly ProcessorSpec[]
  readonly outputs: readonly { readonly name: string; readonly fallback: string | undefined }[]
}

export interface InputSpec extends InstanceSpec<InputPlugin> {
  /** Whether `telemetry` of the input wants records counted by tag; undefined where the service section decides. */
  readonly tagRecords?: boolean | undefined
  readonly processors: readonly ProcessorSpec[]
  readonly routes: readonly RouteSpec[]
}

export interface OutputSpec extends InstanceSpec<OutputPlugin> {
  readonly processors: readonly ProcessorSpec[]
}

/** What an instance is called where it is shown. */
export interface InstanceTitle {
  readonly plugin: string
  /** See `labelOf`. */
  readonly label: string
}

/** The alias when there is one, else the name. */
export function labelOf(spec: InstanceSpec): string {
  return spec.alias ?? spec.name
}

/** The text of a value, or undefined when it is not set. */
export function textValue(spec: InstanceSpec, key: string): string | undefined {
  const value = spec.values[key]
  return typeof value === 'string' ? value : undefined
}

/** The number of a value; 0 when it is not set. */
export function numberValue(spec: InstanceSpec, key: string): number {
  const value = spec.values[key]
  return typeof value === 'number' ? value : 0
}
