export class FakeClock {
    #nowMs;
    #order = 0;
    #pending = new Set();
    constructor(startMs) {
        this.#nowMs = startMs;
    }
    now = () => this.#nowMs;
    monotonic = () => this.#nowMs;
    after(delayMs, callback) {
        return this.#add(delayMs, undefined, callback);
    }
    every(intervalMs, callback) {
        return this.#add(intervalMs, intervalMs, callback);
    }
    /** Moves time on and fires what becomes due, in order. */
    advance(ms) {
        const end = this.#nowMs + ms;
        for (;;) {
            const next = this.#next();
            if (next === undefined || next.dueMs > end)
                break;
            this.#nowMs = Math.max(this.#nowMs, next.dueMs);
            if (next.intervalMs === undefined)
                this.#pending.delete(next);
            else
                next.dueMs += next.intervalMs;
            next.callback();
        }
        this.#nowMs = end;
    }
    /** Like `advance`, and lets promises settle between timers. */
    async advanceSlowly(ms, stepMs = 100) {
        for (let left = ms; left > 0; left -= stepMs) {
            this.advance(Math.min(stepMs, left));
            await new Promise(resolve => setImmediate(resolve));
        }
    }
    #next() {
        let first;
        for (const pending of this.#pending) {
            const earlier = first === undefined ||
                pending.dueMs < first.dueMs ||
                (pending.dueMs === first.dueMs && pending.order < first.order);
            if (earlier)
                first = pending;
        }
        return first;
    }
    #add(delayMs, intervalMs, callback) {
        const safeInterval = intervalMs === undefined ? undefined : Math.max(intervalMs, 0.001);
        const pending = {
            dueMs: this.#nowMs + delayMs,
            intervalMs: safeInterval,
            order: this.#order++,
            callback
        };
        this.#pending.add(pending);
        return { cancel: () => this.#pending.delete(pending) };
    }
}
