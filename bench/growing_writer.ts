/**
 * Appends lines to many files at a steady rate, one line at a time as applications do.
 *
 *     node growing_writer.ts FOLDER FILES LINES_PER_SECOND SECONDS
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const TICK_MS = 10

const [folder, ...numbers] = process.argv.slice(2)
const [files, linesPerSecond, seconds] = numbers.map(Number)
const descriptors = Array.from({ length: files }, (_, index) =>
  openSync(join(folder, `app-${index}.log`), 'a')
)
const total = linesPerSecond * seconds
const start = performance.now()
let written = 0
while (written < total) {
  const due = Math.min(total, Math.floor(((performance.now() - start) / 1000) * linesPerSecond))
  for (; written < due; written++) writeSync(descriptors[written % files], line(written))
  await delay(TICK_MS)
}
for (const descriptor of descriptors) closeSync(descriptor)

function line(index: number): string {
  const user = (index * 7919) % 100_000
  return (
    `2026-10-10T06:00:00.000Z INFO [worker-${index % 16}] c.e.shop.OrderService ` +
    `request=${index} user=${user} took=${user % 977}ms: request finished\n`
  )
}
