/** A clock that a test moves. Timers fire in the order of their time. */
import type { Clock, Timer } from '../../src/base/clock.ts';
export declare class FakeClock implements Clock {
    #private;
    constructor(startMs: number);
    readonly now: () => number;
    readonly monotonic: () => number;
    after(delayMs: number, callback: () => void): Timer;
    every(intervalMs: number, callback: () => void): Timer;
    /** Moves time on and fires what becomes due, in order. */
    advance(ms: number): void;
    /** Like `advance`, and lets promises settle between timers. */
    advanceSlowly(ms: number, stepMs?: number): Promise<void>;
}
