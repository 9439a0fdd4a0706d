import { loadConfiguration } from '../../src/cli/configuration.ts';
import type { Decoded } from '../../src/codec/msgpack_reader.ts';
import { type Encodable, Float } from '../../src/codec/msgpack_writer.ts';
import { Diagnostics } from '../../src/config/diagnostics.ts';
import { MetricsRegistry } from '../../src/metrics/registry.ts';
import { type Plugin } from '../../src/plugin/define.ts';
import { type Delivery } from '../../src/plugin/delivery.ts';
import { FakeClock } from './fake_clock.ts';
/** An event as tests write and read it. Maps are plain objects, whole doubles are `Float`. */
export interface TestEvent {
    readonly time: readonly [seconds: number, nanoseconds: number];
    readonly metadata: unknown;
    readonly body: unknown;
}
export interface TakenChunk {
    readonly tag: string;
    readonly events: readonly TestEvent[];
}
export interface PipelineOptions {
    /** Files beside the configuration, by relative path. */
    readonly files?: Readonly<Record<string, string | Uint8Array>>;
    /** The text is YAML. */
    readonly yaml?: boolean;
    /** Prefix of /proc, /sys and /etc. */
    readonly root?: string;
    /** What the fake clock starts with; milliseconds since the epoch. */
    readonly nowMs?: number;
    readonly environment?: Readonly<Record<string, string>>;
    /** Uniform in [0, 1); 0.5 unless given. */
    readonly random?: () => number;
    /** More plugins that the configuration may name. */
    readonly plugins?: readonly Plugin[];
    /** What `collect` answers; OK unless given. */
    readonly answer?: (chunk: TakenChunk, attempt: number) => Delivery;
    /** Keep this folder instead of a new one; the test removes it. */
    readonly directory?: string;
}
export declare const DEFAULT_NOW_MS = 1700000000123;
/** Starts a pipeline; throws with all diagnostics when the configuration is refused. */
export declare function startPipeline(configuration: string, options?: PipelineOptions): Promise<TestPipeline>;
/** Checks a configuration without starting it: `file:line:column: message` of errors and warnings. */
export declare function checkConfiguration(configuration: string, options?: PipelineOptions): Promise<{
    errors: string[];
    warnings: string[];
}>;
export declare class TestPipeline {
    #private;
    /** Holds the configuration and the files. */
    readonly directory: string;
    readonly clock: FakeClock;
    readonly diagnostics: Diagnostics;
    /** Chunks that `collect` took, in order. */
    readonly taken: TakenChunk[];
    /** Log lines without their time. */
    readonly log: string[];
    readonly metrics: MetricsRegistry;
    constructor(configuration: string, options: PipelineOptions);
    /** Text printed to standard output. */
    get stdout(): string;
    /** Bodies of all events that `collect` took, in order. */
    get bodies(): unknown[];
    /** Resolves with the exit code when the pipeline stopped by itself. */
    get stopped(): Promise<number>;
    get pipeline(): Awaited<ReturnType<typeof loadConfiguration>>['pipeline'];
    /** Writes a file beside the configuration. */
    write(path: string, content: string | Uint8Array): void;
    load(): Promise<void>;
    start(): Promise<void>;
    /** Sends events with these bodies through the input `lib` that has the tag; their time is now. */
    push(tag: string, ...bodies: Encodable[]): void;
    /** Sends whole events through the input `lib` that has the tag. */
    pushEvents(tag: string, ...events: {
        time: readonly [number, number];
        metadata: Encodable;
        body: Encodable;
    }[]): void;
    /** Sends open chunks to their outputs, as the flush timer does. */
    flush(): void;
    /** Value of a counter; 0 when nothing counted yet. */
    counter(name: string, labels: Readonly<Record<string, string>>): number;
    /** Waits for something that real I/O brings about; fails after `limitMs` of real time. */
    until(condition: () => boolean, limitMs?: number): Promise<void>;
    /** Stops in order and gives the exit code; removes the folder unless the test gave it. */
    stop(): Promise<number>;
    remove(): Promise<void>;
}
/** All events of a chunk, as tests compare them. */
export declare function testEvents(bytes: Buffer): TestEvent[];
/** Maps with string keys become objects without a prototype, so that tests read well. */
export declare function plain(value: Decoded): unknown;
/** A double with a whole value, for expectations. */
export declare function float(value: number): Float;
