/**
 * netif: traffic of a network interface since the last look.
 * Source: Fluent Bit 5.1.1 plugins/in_netif/in_netif.c.
 * Differs: a counter that went back counts from 0, where Fluent Bit sends a figure near 2^64.
 */
import { join } from 'node:path'
import { flag, text } from '../../config/options.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { sendEvent } from '../common/send_event.ts'
import { readSystemFile } from '../common/system_files.ts'

/** The columns of `/proc/net/dev` as Fluent Bit names them (`compressepd` too), and those sent without `verbose`. */
const COLUMNS = [
  { name: 'rx.bytes', isBasic: true },
  { name: 'rx.packets', isBasic: true },
  { name: 'rx.errors', isBasic: true },
  { name: 'rx.drop', isBasic: false },
  { name: 'rx.fifo', isBasic: false },
  { name: 'rx.frame', isBasic: false },
  { name: 'rx.compressed', isBasic: false },
  { name: 'rx.multicast', isBasic: false },
  { name: 'tx.bytes', isBasic: true },
  { name: 'tx.packets', isBasic: true },
  { name: 'tx.errors', isBasic: true },
  { name: 'tx.drop', isBasic: false },
  { name: 'tx.fifo', isBasic: false },
  { name: 'tx.collisions', isBasic: false },
  { name: 'tx.carrier', isBasic: false },
  { name: 'tx.compressepd', isBasic: false }
]

export const netif = defineInput({
  name: 'netif',
  summary: 'Network interface usage',
  upstream: 'plugins/in_netif/in_netif.c',
  options: {
    interface: text({ doc: 'Name of the interface, or its begin: the last that fits is taken' }),
    ...INTERVAL_OPTIONS,
    verbose: flag({
      default: 'false',
      doc: 'Send all counters, not only bytes, packets and errors'
    }),
    test_at_init: flag({ default: 'false', doc: 'Refuse to start when there is no such interface' })
  },
  create(values, context) {
    const { interface: name, verbose } = values
    if (name === undefined) {
      throw context.invalid('interface', 'it is not set, it must name a network interface')
    }
    const { log } = context
    const path = join(context.root, '/proc/net/dev')
    let counters: readonly number[] = COLUMNS.map(() => 0)
    let last: readonly number[] | undefined
    const read = (): boolean => {
      const lines = readSystemFile(path)?.split('\n')
      if (lines === undefined) log.error('cannot open /proc/net/dev')
      const found = lines?.map(readCounters).findLast(line => line?.name.startsWith(name))
      counters = found?.counters ?? counters
      return found !== undefined
    }
    return intervalInput(
      context,
      readInterval(values),
      () => {
        read()
        const before = last
        last = counters
        // The first look only says where counting starts.
        if (before === undefined) return
        const body: Record<string, number> = {}
        for (const [index, column] of COLUMNS.entries()) {
          if (!verbose && !column.isBasic) continue
          body[`${name}.${column.name}`] = growth(before[index], counters[index])
        }
        sendEvent(context, body)
      },
      () => {
        if (!values.test_at_init) return
        if (!read()) {
          throw new Error(
            `Cannot find network interface "${name}" in "${path}": test_at_init is on`
          )
        }
        log.info(`${name}: init test passed`)
      }
    )
  }
})

function growth(from: number, to: number): number {
  return to >= from ? to - from : to
}

/** A line such as `  eth0: 1 2 …`; undefined for the two lines of headings. */
function readCounters(line: string): { name: string; counters: readonly number[] } | undefined {
  const fields = line.trim().split(/ +/)
  if (fields.length !== COLUMNS.length + 1) return undefined
  return { name: fields[0], counters: fields.slice(1).map(Number) }
}
