/** Bounds of queues, buffers and loops, each with its unit in its name. */

/** A chunk is closed when its events reach this size; Fluent Bit 5.1.1 include/fluent-bit/flb_input_chunk.h. */
export const CHUNK_BYTES = 2_048_000

/** First size of the buffer of a chunk whose tag is new or slow. */
export const CHUNK_BYTES_FIRST = 8_192

/** A chunk that has come to this size is likely to fill up and gets the buffer of a full one. */
export const CHUNK_BYTES_BUSY = 98_304

/** Buffers of full chunks that are kept for the next ones. */
export const POOLED_BUFFERS_MAX = 3

/** Chunks of one input that may be on their way to outputs before `ready` makes the input wait. */
export const CHUNKS_UNDER_WAY_MAX = 2

/** Chunks with a file that are in memory at once, unless `storage.max_chunks_up` says otherwise. */
export const CHUNKS_UP_MAX = 128

/** What a stop waits for the medium to take what is left, in milliseconds. */
export const STOP_SYNC_MS_MAX = 5_000

/** Tags of an emitter that are kept without an open chunk: they come from record data and have no end. */
export const TAGS_IDLE_MAX = 1_000

/** Times that records may go round between filters and emitters before the rest of the pipeline gets its turn. */
export const EMITTER_DRAIN_ROUNDS_MAX = 1_000

/** Bytes of a chunk trace that wait for its output; what comes then is dropped, apart from what makes it more. */
export const TRACE_BYTES_MAX = 10_000_000

/** Bytes that file inputs read at once: larger blocks are no faster and cost memory. */
export const READ_BLOCK_BYTES = 131_072

/** Dead letters that are on their way to one output at once: those that wait for a retry must not hold up the others. */
export const LETTERS_UNDER_WAY_MAX = 8

/** Longest tag; Fluent Bit 5.1.1 include/fluent-bit/flb_input_chunk.h. */
export const TAG_BYTES_MAX = 65_531

/** Events of a threaded input are sent to the main thread when a tag has this many bytes of them. */
export const THREAD_BATCH_BYTES = 262_144

/**
 * Bytes that a threaded input may have on their way before `ready` makes it wait: they find room in the open chunk while
 * CHUNKS_UNDER_WAY_MAX others hold the buffers that are in the byte kernel's memory.
 */
export const THREAD_BYTES_MAX = 1_024_000

/** A thread that does not answer a stop for this long is ended. */
export const THREAD_STOP_MS_MAX = 5_000

/** Connections that one listener has open at once, unless its configuration says otherwise. */
export const CONNECTIONS_MAX = 10_000

/** Log lines that are kept for who begins to follow them. */
export const RECENT_LINES_MAX = 256
