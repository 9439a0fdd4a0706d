/**
 * Runs test files and says at the end which tests were skipped and why, then the runner's closing
 * lines.
 *
 *     node tools/test.ts               every *.test.ts under src and test
 *     node tools/test.ts src/codec     those below a folder, or the files named
 *
 * A test that needs a program which may be missing here is skipped with a reason that begins with
 * "needs peer". With REQUIRE_PEERS=1, as in CI, such a skip fails the run.
 */
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

/** A test file that hangs must not hang CI. */
const FILE_TIMEOUT_MS = 300_000

interface Skip {
  readonly name: string
  readonly file: string
  readonly reason: string
}

const skips: Skip[] = []
const closingLines: string[] = []
let failed = false

const places = process.argv.length > 2 ? process.argv.slice(2) : ['src', 'test']
const files = places.flatMap(place =>
  place.endsWith('.ts') ? [place] : globSync(`${place}/**/*.test.ts`)
)
if (files.length === 0) {
  console.error(`Cannot run tests: no *.test.ts under ${places.join(', ')}`)
  process.exit(1)
}

const events = run({
  files: files.toSorted(),
  concurrency: availableParallelism(),
  timeout: FILE_TIMEOUT_MS
})
events.on('test:fail', () => {
  failed = true
})
events.on('test:pass', ({ name, file, skip }) => {
  if (skip === undefined || skip === false) return
  skips.push({ name, file: file ?? '', reason: skip === true ? 'no reason given' : skip })
})
for await (const text of events.compose(holdClosingLines).compose(spec)) process.stdout.write(text)

console.log()
for (const { name, file, reason } of skips) console.log(`skipped: ${name} (${file}): ${reason}`)
const missing = skips.filter(({ reason }) => reason.startsWith('needs peer'))
if (process.env['REQUIRE_PEERS'] === '1' && missing.length > 0) {
  console.log(`failed: ${missing.length} tests were skipped for want of a peer`)
  failed = true
}
console.log(closingLines.join('\n'))
process.exitCode = failed ? 1 : 0

/** Takes the runner's closing lines (`tests 12`, `pass 12`, …) out, to be printed last. */
async function* holdClosingLines(source: AsyncIterable<object>): AsyncGenerator<object> {
  for await (const event of source) {
    if (isClosingLine(event)) closingLines.push(`ℹ ${event.data.message}`)
    else yield event
  }
}

function isClosingLine(event: object): event is { data: { message: string } } {
  const { type, data } = event as {
    type?: string
    data?: { file?: string; nesting?: number; message?: string }
  }
  return type === 'test:diagnostic' && data?.file === undefined && data?.nesting === 0
}
