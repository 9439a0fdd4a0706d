/**
 * Events that are hard to print: every MessagePack type, odd numbers, bytes that are not UTF-8, repeated keys. Tests of
 * outputs push them and compare with what Fluent Bit 5.1.1 printed for the same bytes, received by its input forward.
 */
import { type Encodable } from '../../src/codec/msgpack_writer.ts';
import { type Plugin } from '../../src/plugin/define.ts';
/** Part of an event that is encoded already. */
export declare class Encoded {
    readonly bytes: Buffer;
    /** @param hex The MessagePack of one value. */
    constructor(hex: string);
}
export type Pair = readonly [key: Encodable | Encoded, value: Encodable | Encoded];
/** Encodes an event whose body has these pairs, repeated keys and all. */
export declare function encodeEvent(time: readonly [seconds: number, nanoseconds: number], pairs: readonly Pair[], metadata?: Encodable): Buffer;
/** The input `encoded`, which takes encoded events; for `PipelineOptions.plugins`. */
export declare class EncodedInput {
    #private;
    readonly plugin: Plugin;
    push(tag: string, ...events: readonly Buffer[]): void;
}
/** One event of each kind, a second and 7 ns apart, then one with metadata. */
export declare const ODD_EVENTS: readonly Buffer[];
