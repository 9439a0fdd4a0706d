/**
 * What the main thread and a thread with one plugin instance say to each other. Bytes of events go by transfer, anything
 * else is plain data.
 */
import type { Worker } from 'node:worker_threads'
import type { LogLevel, LogLine } from '../../base/log.ts'
import type { Signal } from '../../base/signal.ts'
import type { ServiceSettings } from '../../config/service.ts'
import type { Labels } from '../../metrics/registry.ts'
import type { ChunkView } from '../../plugin/context.ts'
import type { InputPlugin, OutputPlugin } from '../../plugin/define.ts'
import type { Delivery } from '../../plugin/delivery.ts'
import type { InstanceSpec } from '../instance.ts'
import type { Parcel } from './parcel.ts'

/** A plugin instance for a thread to run. */
export interface ThreadTask {
  readonly kind: 'input' | 'output'
  /** Name of the plugin. */
  readonly plugin: string
  /** Resolved, so that the thread need not read the configuration and cannot see another one. */
  readonly instance: Omit<InstanceSpec, 'plugin'>
  readonly service: ServiceSettings
  readonly logLevel: LogLevel
  /** Batches that an input may have on their way to the main thread. */
  readonly batchesMax: number
}

/** Starts threads; the engine does not know where plugins come from. */
export interface ThreadHost {
  /** @param name What the system shows as the thread's name. */
  start(plugin: InputPlugin | OutputPlugin, task: ThreadTask, name: string): Worker
}

/** What went wrong, without what cannot be sent. */
export interface Failure {
  readonly message: string
  readonly stack: string
}

interface FigureParts {
  readonly name: string
  readonly help: string
  readonly labels: Labels
}

export type CounterChange = FigureParts & { readonly added: number }
export type GaugeValue = FigureParts & { readonly value: number }

/** What every thread says. */
export type ThreadMessage =
  | { readonly kind: 'started' }
  /** The plugin did not start. */
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'stopped' }
  /** The plugin asks for a stop of the program. */
  | { readonly kind: 'stop_program'; readonly exitCode: number }
  | { readonly kind: 'log'; readonly line: LogLine }
  | { readonly kind: 'counters'; readonly changes: readonly CounterChange[] }
  /** Those that have changed. */
  | { readonly kind: 'gauges'; readonly values: readonly GaugeValue[] }
  /** Prints; the thread waits until `answer[0]` is 1, or less than 0: an error number with a minus sign. */
  | { readonly kind: 'print'; readonly parcel: Parcel; readonly answer: Int32Array }

export type OutputMessage =
  | {
      readonly kind: 'answered'
      readonly number: number
      readonly delivery: Delivery
      readonly buffer: ArrayBuffer
    }
  | {
      readonly kind: 'threw'
      readonly number: number
      readonly failure: Failure
      readonly buffer: ArrayBuffer
    }

/** What an input does, in its order. */
export type InputEntry =
  | {
      readonly kind: 'batch'
      readonly number: number
      readonly tag: string
      readonly signal: Signal
      readonly parcel: Parcel
      readonly events: number
      /** False when nobody wants to know what becomes of the batch. */
      readonly hasReceipt: boolean
    }
  | { readonly kind: 'forget'; readonly tag: string }
  | { readonly kind: 'flush' }

export type InputMessage =
  | { readonly kind: 'entries'; readonly entries: readonly InputEntry[] }
  /** All events that the input had committed have been sent. */
  | { readonly kind: 'drained' }

/** What an output in a thread is told. */
export interface OutputRequest {
  readonly kind: 'chunk'
  readonly number: number
  readonly chunk: Omit<ChunkView, 'bytes'>
  readonly parcel: Parcel
}

/** What an input in a thread is told. */
export type InputRequest =
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  | { readonly kind: 'drain' }
  /** The main thread has taken batches and has room for as many more. */
  | { readonly kind: 'taken'; readonly parcels: readonly Parcel[] }
  /** The receipts of a batch are due. */
  | { readonly kind: 'settled'; readonly number: number }

/** What any thread is told. */
export interface StopRequest {
  readonly kind: 'stop'
}

export function failureOf(cause: unknown): Failure {
  if (!(cause instanceof Error)) return { message: String(cause), stack: String(cause) }
  return { message: cause.message, stack: cause.stack ?? cause.message }
}

/** The error that a failure was made of, as far as it is known here. */
export function errorOf({ message, stack }: Failure): Error {
  return Object.assign(new Error(message), { stack })
}
