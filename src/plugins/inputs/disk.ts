/**
 * disk: bytes read from and written to disks since the last look.
 * Source: Fluent Bit 5.1.1 plugins/in_disk/in_disk.c.
 * Differs: devices are told apart by name and not by line, so one that comes or goes does not count as traffic; a counter
 * that went back counts from 0, where Fluent Bit sends a figure near 2^64.
 */
import { join } from 'node:path'
import { text } from '../../config/options.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { sendEvent } from '../common/send_event.ts'
import { readSystemFile } from '../common/system_files.ts'

/** The unit of `/proc/diskstats`, whatever the sectors of the disk. */
const SECTOR_BYTES = 512

interface Sectors {
  readonly read: number
  readonly written: number
}

export const disk = defineInput({
  name: 'disk',
  summary: 'Disk throughput',
  upstream: 'plugins/in_disk/in_disk.c',
  options: {
    ...INTERVAL_OPTIONS,
    dev_name: text({ doc: 'Count devices only whose name contains this' })
  },
  create(values, context) {
    const path = join(context.root, '/proc/diskstats')
    const { dev_name: part = '' } = values
    let last: ReadonlyMap<string, Sectors> | undefined
    return intervalInput(
      context,
      readInterval(values),
      () => {
        const before = last
        last = readSectors(path, part)
        // The first look only says where counting starts.
        if (before === undefined) return
        sendEvent(context, throughput(before, last))
      },
      () => {
        if ((readSystemFile(path) ?? '') === '') {
          throw new Error(`Cannot read "${path}": it must list at least one device`)
        }
      }
    )
  }
})

function throughput(
  before: ReadonlyMap<string, Sectors>,
  now: ReadonlyMap<string, Sectors>
): { read_size: number; write_size: number } {
  let read = 0
  let written = 0
  for (const [name, sectors] of now) {
    const from = before.get(name)
    if (from === undefined) continue
    read += growth(from.read, sectors.read)
    written += growth(from.written, sectors.written)
  }
  return { read_size: read * SECTOR_BYTES, write_size: written * SECTOR_BYTES }
}

function growth(from: number, to: number): number {
  return to >= from ? to - from : to
}

/** Sectors of every device whose name contains `part`. */
function readSectors(path: string, part: string): ReadonlyMap<string, Sectors> {
  const devices = new Map<string, Sectors>()
  for (const line of (readSystemFile(path) ?? '').split('\n')) {
    // Major and minor number, name, reads, merged reads, sectors read, time, writes, merged writes, sectors written.
    const fields = line.trim().split(/ +/)
    const name = fields[2]
    if (fields.length < 10 || !name.includes(part)) continue
    devices.set(name, { read: Number(fields[5]), written: Number(fields[9]) })
  }
  return devices
}
