/**
 * Measures Spillway, and Fluent Bit beside it when FLUENT_BIT names its program.
 *
 *     npm run bench -- [--only NAME[,NAME]] [--runs N] [--agents spillway,fluent-bit] [--folder DIRECTORY]
 *
 * Prints a Markdown table of medians. Exits non-zero only when a run fails: a slow run is a result.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Agent, checkoutSpillway, fluentBit, installSpillway } from './agents.ts'
import { generateLogFiles } from './generate.ts'
import { measure, type Measurement } from './measure.ts'
import { type PairWork, pairs, type Work, works } from './pipelines.ts'

/** A start is short and noisy: it is measured this many times as often. */
const START_RUNS_FACTOR = 5

/** What is compared in pairs is close: it takes more runs to tell. */
const PAIR_RUNS = 10

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    runs: { type: 'string', default: '3' },
    agents: { type: 'string', default: 'spillway,fluent-bit' },
    folder: { type: 'string', default: join(tmpdir(), 'spillway-bench') }
  }
})
const { folder } = values
const runs = Number(values.runs)
const only = values.only?.split(',')
const wanted = values.agents.split(',')

const files = generateLogFiles(join(folder, 'logs'))
const selected = works(files).filter(work => only === undefined || only.includes(work.name))
const agents = wanted.includes('spillway') ? [installSpillway(folder)] : []
const theirs = wanted.includes('fluent-bit') ? fluentBit() : undefined
if (theirs !== undefined) agents.push(theirs)

const load = loadavg()[0]
if (load > 0.5) console.error(`The machine is busy (load ${load.toFixed(1)}): figures are noisy`)

let failures = 0
const rows: string[] = []
for (const work of selected) {
  const ofWork = work.kind === 'start' ? withCheckout(agents) : agents
  const results = await runAlternately(work, ofWork)
  rows.push(...describe(work, results))
}
if (rows.length > 0) console.log(tableHead() + rows.join(''))
const ours = agents.find(agent => agent.name === 'Spillway')
for (const pair of pairs(files)) {
  const isWanted = only === undefined || only.includes(pair.name)
  if (isWanted && ours !== undefined) console.log(await comparePair(pair, ours))
}
process.exitCode = failures > 0 ? 1 : 0

function withCheckout(list: readonly Agent[]): Agent[] {
  return wanted.includes('spillway') ? [checkoutSpillway(folder), ...list] : [...list]
}

/** All runs of a work, the agents in turn, so that a busy minute hits them alike. */
async function runAlternately(
  work: Work,
  list: readonly Agent[]
): Promise<Map<Agent, Measurement[]>> {
  const results = new Map(list.map((agent): [Agent, Measurement[]] => [agent, []]))
  const count = work.kind === 'start' ? runs * START_RUNS_FACTOR : runs
  // The first start of each agent fills the compile cache and the page cache; it does not count.
  if (work.kind === 'start') for (const agent of list) await attempt(work, agent)
  for (let index = 0; index < count; index++) {
    for (const agent of list) {
      const measurement = await attempt(work, agent)
      if (measurement !== undefined) results.get(agent)?.push(measurement)
    }
  }
  return results
}

async function attempt(work: Work, agent: Agent): Promise<Measurement | undefined> {
  try {
    // A system that takes pages back from idle files would make the one pay that waited longer.
    if (work.kind === 'file') readOnce(work.input.path)
    for (const path of agent.files) readOnce(path)
    const measurement = await measure(work, agent, join(folder, 'runs'))
    console.error(`${work.name}, ${agent.name}: ${JSON.stringify(measurement)}`)
    return measurement
  } catch (cause) {
    failures++
    console.error(cause instanceof Error ? cause.message : cause)
    return undefined
  }
}

/** Runs both works of a pair in turn; gives a line that compares their medians. */
async function comparePair(pair: PairWork, agent: Agent): Promise<string> {
  const sides = { plain: [] as Measurement[], other: [] as Measurement[] }
  for (let index = 0; index < PAIR_RUNS; index++) {
    for (const side of ['plain', 'other'] as const) {
      const measurement = await attempt(pair[side], agent)
      if (measurement !== undefined) sides[side].push(measurement)
    }
  }
  const plain = medians(sides.plain)
  const other = medians(sides.other)
  const compare = (key: 'cpuSeconds' | 'wallSeconds'): string =>
    `${seconds(other[key])} s against ${seconds(plain[key])} s, × ${factor(other[key], plain[key])}`
  return (
    `\n${pair.name}: ${pair.summary}, medians of ${PAIR_RUNS} alternating pairs: ` +
    `CPU ${compare('cpuSeconds')}; wall ${compare('wallSeconds')}; ` +
    `costs ${lost(plain.cpuSeconds, other.cpuSeconds)} % of the throughput of a CPU second`
  )
}

/** Percent of throughput that is lost when the same work takes `other` instead of `plain` seconds. */
function lost(plain: number | undefined, other: number | undefined): string {
  return plain === undefined || other === undefined ? '' : ((1 - plain / other) * 100).toFixed(0)
}

function tableHead(): string {
  return (
    '\n| work | agent | wall s | throughput | CPU s | peak RSS MB | wall × | CPU × | RSS × |\n' +
    '|---|---|---|---|---|---|---|---|---|\n'
  )
}

/** One row an agent; the factors are those of the agent to Fluent Bit. */
function describe(work: Work, results: ReadonlyMap<Agent, readonly Measurement[]>): string[] {
  const base = theirs === undefined ? undefined : medians(results.get(theirs) ?? [])
  return [...results].map(([agent, list]) => {
    const own = medians(list)
    const cells = [
      `${work.name}: ${work.summary}`,
      agent.name,
      seconds(own.wallSeconds),
      throughput(work, own.wallSeconds),
      seconds(own.cpuSeconds),
      own.rssPeakBytes === undefined ? '' : (own.rssPeakBytes / 1e6).toFixed(0),
      factor(own.wallSeconds, base?.wallSeconds),
      factor(own.cpuSeconds, base?.cpuSeconds),
      factor(own.rssPeakBytes, base?.rssPeakBytes)
    ]
    return `| ${cells.join(' | ')} |\n`
  })
}

/** Megabytes of input a second, from process start to the last byte written; records a second that were sent. */
function throughput(work: Work, wallSeconds: number | undefined): string {
  if (wallSeconds === undefined) return ''
  if (work.kind === 'sent') return `${(work.records / 1000 / wallSeconds).toFixed(0)} k/s`
  if (work.kind !== 'file') return ''
  return `${(statSync(work.input.path).size / 1e6 / wallSeconds).toFixed(0)} MB/s`
}

function seconds(value: number | undefined): string {
  return value?.toFixed(value < 1 ? 3 : 2) ?? ''
}

function factor(ours: number | undefined, base: number | undefined): string {
  return ours === undefined || base === undefined ? '' : (ours / base).toFixed(2)
}

function medians(list: readonly Measurement[]): {
  wallSeconds: number | undefined
  cpuSeconds: number | undefined
  rssPeakBytes: number | undefined
} {
  return {
    wallSeconds: median(list.map(entry => entry.wallSeconds)),
    cpuSeconds: median(list.map(entry => entry.cpuSeconds)),
    rssPeakBytes: median(list.map(entry => entry.rssPeakBytes))
  }
}

function median(numbers: readonly (number | undefined)[]): number | undefined {
  const sorted = numbers.filter(number => number !== undefined).toSorted((a, b) => a - b)
  if (sorted.length === 0) return undefined
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Puts a file into the page cache, so that no run waits for the disk. */
function readOnce(path: string): void {
  const block = Buffer.allocUnsafe(1024 * 1024)
  const fd = openSync(path, 'r')
  while (readSync(fd, block) > 0);
  closeSync(fd)
}
