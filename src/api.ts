/**
 * What users' plugins import as `spillway`: the plugin contract, the option builders, and the values that go with them.
 */
export type { Clock, Timer } from './base/clock.ts'
export { type Decoded } from './codec/msgpack_reader.ts'
export { type Encodable, Extension, Float, MsgpackWriter } from './codec/msgpack_writer.ts'
export {
  choice,
  csv,
  double,
  dynamic,
  flag,
  int,
  many,
  type Option,
  type OptionTable,
  prefixed,
  secret,
  seconds,
  size,
  text,
  type Values,
  words
} from './config/options.ts'
export { compileOnigmo } from './parser/onigmo.ts'
export type {
  ChunkView,
  Emitter,
  EventSink,
  FilterBatch,
  FilterContext,
  InputContext,
  OutputContext,
  PluginContext
} from './plugin/context.ts'
export {
  defineFilter,
  defineInput,
  defineOutput,
  type Filter,
  type Input,
  type Loss,
  type Output,
  type Receipts
} from './plugin/define.ts'
export { type Delivery, drop, OK, partial, type PartialDelivery, retry } from './plugin/delivery.ts'
export { decodeEvents, type DecodedEvent, writeEventHeader } from './record/event.ts'
export { type Constant, constant, type EventView, Key } from './record/event_view.ts'
