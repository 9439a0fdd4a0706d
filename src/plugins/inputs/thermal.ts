/**
 * thermal: temperatures of the machine, from its thermal zones or, where it has none, from its hardware monitors.
 * Source: Fluent Bit 5.1.1 plugins/in_thermal/in_thermal.c.
 * Differs: devices come in the order of their names; `type_regex` also looks at hardware monitors, where Fluent Bit
 * matches it against an empty text; no more than 32 devices are read in either case.
 */
import { join } from 'node:path'
import type { Logger } from '../../base/log.ts'
import { Float } from '../../codec/msgpack_writer.ts'
import { text } from '../../config/options.ts'
import { compileOnigmo, type Matcher } from '../../parser/onigmo.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { beginEvent } from '../common/send_event.ts'
import { readSystemFile, readSystemFolder } from '../common/system_files.ts'

const DEVICES_MAX = 32

/** A hardware monitor has the inputs temp0 to temp9, or some of them. */
const INPUTS_MAX = 10

interface Device {
  readonly name: string
  readonly type: string
  /** Degrees Celsius. */
  readonly temp: Float
}

interface Wanted {
  readonly name: Matcher | undefined
  readonly type: Matcher | undefined
}

export const thermal = defineInput({
  name: 'thermal',
  summary: 'Temperatures',
  upstream: 'plugins/in_thermal/in_thermal.c',
  options: {
    ...INTERVAL_OPTIONS,
    name_regex: text({ doc: 'Read devices only whose name matches' }),
    type_regex: text({ doc: 'Read devices only whose type matches' })
  },
  create(values, context) {
    const { log, clock, root } = context
    let wanted: Wanted = { name: undefined, type: undefined }
    let lastCount = 0
    return intervalInput(
      context,
      readInterval(values),
      () => {
        const devices = readDevices(root, wanted, log)
        const count = devices?.length ?? -1
        if (count !== lastCount) {
          log.info(`the number of thermal devices changed ${lastCount} -> ${count}`)
        }
        lastCount = count
        if (devices === undefined || count === 0) return
        const sink = context.sink(context.tag)
        const { writer } = sink
        for (const { name, type, temp } of devices) {
          beginEvent(writer, clock.now())
          writer.value({ name, type, temp })
        }
        sink.commit(count)
      },
      () => {
        wanted = {
          name: compile('name_regex', values.name_regex, log),
          type: compile('type_regex', values.type_regex, log)
        }
        lastCount = readDevices(root, wanted, log)?.length ?? -1
        if (lastCount === 0) log.warn('thermal device file not found')
      }
    )
  }
})

/** A pattern that does not compile is reported and left out, as Fluent Bit does. */
function compile(key: string, pattern: string | undefined, log: Logger): Matcher | undefined {
  if (pattern === undefined) return undefined
  try {
    return compileOnigmo(pattern)
  } catch {
    log.error(`invalid '${key}' config value`)
    return undefined
  }
}

/** The thermal zones or else the hardware monitors; undefined when the machine does not have the folder at all. */
function readDevices(root: string, wanted: Wanted, log: Logger): readonly Device[] | undefined {
  const zones = readZones(join(root, '/sys/class/thermal'), wanted, log)
  if (zones === undefined || zones.length > 0) return zones
  return readMonitors(join(root, '/sys/class/hwmon'), wanted, log)
}

function readZones(folder: string, wanted: Wanted, log: Logger): Device[] | undefined {
  const names = readSystemFolder(folder)
  if (names === undefined) return undefined
  const devices: Device[] = []
  for (const name of names) {
    if (!name.startsWith('thermal_zone') || wanted.name?.test(name) === false) continue
    const type = readType(join(folder, name, 'type'), path => log.error(`cannot read ${path}`))
    if (type === undefined || type === '' || wanted.type?.test(type) === false) continue
    const temp = readTemperature(join(folder, name, 'temp'))
    if (temp !== undefined) devices.push({ name, type, temp })
  }
  return devices.slice(0, DEVICES_MAX)
}

function readMonitors(folder: string, wanted: Wanted, log: Logger): Device[] | undefined {
  const names = readSystemFolder(folder)
  if (names === undefined) return undefined
  const devices: Device[] = []
  for (const name of names) {
    if (!name.startsWith('hwmon') || wanted.name?.test(name) === false) continue
    const type = readType(join(folder, name, 'name'), path => log.error(`cannot open ${path}`))
    if (type === undefined || wanted.type?.test(type) === false) continue
    for (let index = 0; index < INPUTS_MAX; index++) {
      const input = `temp${index}_input`
      const temp = readTemperature(join(folder, name, input))
      if (temp !== undefined) devices.push({ name: `${name}_${input}`, type, temp })
    }
  }
  return devices.slice(0, DEVICES_MAX)
}

/** The first line of a file; undefined when it cannot be read. */
function readType(path: string, onFailure: (path: string) => void): string | undefined {
  const content = readSystemFile(path)
  if (content === undefined) onFailure(path)
  return content?.split('\n', 1)[0]
}

/** The file holds thousandths of a degree. */
function readTemperature(path: string): Float | undefined {
  const digits = /^\s*([+-]?\d+)/.exec(readSystemFile(path) ?? '')?.[1]
  return digits === undefined ? undefined : new Float(Number(digits) / 1000)
}
