/**
 * Bugs of the program that are known and not repaired yet. What shows them is left out of the simulation, so that other
 * bugs are found, and comes back with `npm run simulate -- --known NAME`. An entry goes away with its bug.
 */
export const KNOWN_BUGS = {
  backlog_remove:
    'the program ends when the file of a found chunk that all outputs have had cannot be removed',
  bad_waits:
    'an output answers retry with a wait that is infinite or no number: it is never, or at once, sent again',
  empty_open_chunks:
    'an open chunk without events counts as up: storage.pause_on_chunks_overlimit can hold an input back for ever',
  failing_close: 'an error of a close ends the program, or leaves a chunk on its way for ever',
  forgotten_syncs:
    'after a failed sync a later one that goes well counts for the bytes of the first, too',
  hidden_letters: 'a crash leaves a half-written dead letter under a hidden name for ever',
  nameless_drops:
    'events that an output drops without a reason are given up, with the reason "undefined"',
  new_folders: 'with storage.sync full, folders above a new chunk file are not synced',
  notes_beyond_events:
    'what an output has settled is noted for events that are not in the file yet, which then cannot be delivered after a crash',
  notes_without_events:
    'what an output has settled is written to a file that has no events yet, as the disk was full, which then cannot be read',
  rate_gate_memory: 'an input that the rate gate has paused is not paused for mem_buf_limit',
  ring_after_stop:
    'events that an input hands over at its stop evict chunks of a memrb input that were given up at the stop: their receipts are called',
  stop_syncs:
    'with storage.sync full, receipts are called for what a stop leaves on disk before it is synced',
  two_readers: 'of two readers of an input that wait with ready() only the last is woken',
  unlisted_folders:
    'chunks in a folder that cannot be listed are not delivered before the next start, and nothing is said',
  stuck_receipts:
    'receipts of a chunk that is not stored are not called when its file cannot be removed'
} as const

export type KnownBug = keyof typeof KNOWN_BUGS

/** The known bugs that are to be shown all the same. */
export type Shown = ReadonlySet<KnownBug>
