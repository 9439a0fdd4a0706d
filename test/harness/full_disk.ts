/**
 * Run by file.test.ts under a limit on the size of files: sends a chunk that does not fit into `<folder>/out` and prints
 * what was logged and counted.
 */
import { encodeEvent, EncodedInput } from './odd_events.ts'
import { startPipeline } from './pipeline.ts'

const [, , folder] = process.argv
const input = new EncodedInput()
const run = await startPipeline(
  `[INPUT]\n    name encoded\n[OUTPUT]\n    name file\n    match *\n    path ${folder}\n    file out\n    retry_limit no_retries\n`,
  { plugins: [input.plugin], directory: folder }
)
const event = encodeEvent([1_700_000_000, 0], [['text', 'x'.repeat(40)]])
input.push('app', ...Array.from({ length: 30_000 }, () => event))
run.flush()
await run.until(() => run.pipeline.pendingTasks === 0)
await run.stop()
const labels = { kind: 'output', name: 'file.0', reason: 'no_retries' }
process.stdout.write(
  JSON.stringify({
    log: run.log.filter(line => line.includes('output:file')),
    dropped: run.counter('spillway_dropped_records_total', labels)
  })
)
