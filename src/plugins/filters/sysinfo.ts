/**
 * sysinfo: appends what is known of the agent and the system that it runs on.
 * Source: Fluent Bit 5.1.1 plugins/filter_sysinfo/sysinfo.c, sysinfo_platform.c,
 * sysinfo_platform_linux.c.
 *
 * The version is that of the Fluent Bit whose configurations are run. A key that exists already
 * stays and the new one follows it; JSON shows the last.
 *
 * Differs: the values are read once, at start; the versions of system and kernel are there on every
 * platform.
 */
import { hostname, platform, release, version } from 'node:os'
import { FLUENT_BIT_VERSION } from '../../base/version.ts'
import { text, type Values } from '../../config/options.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import { type Constant, constant, type EventView } from '../../record/event_view.ts'

/** Fluent Bit's names of systems; src/flb_utils.c flb_utils_get_os_name(). */
const SYSTEM_NAMES: Readonly<Record<string, string>> = { darwin: 'macos', win32: 'win64' }

const OPTIONS = {
  fluentbit_version_key: text({ doc: 'Key of the version of Fluent Bit' }),
  os_name_key: text({ doc: 'Key of the name of the operating system' }),
  hostname_key: text({ doc: 'Key of the name of the host' }),
  os_version_key: text({ doc: 'Key of the version of the operating system' }),
  kernel_version_key: text({ doc: 'Key of the version of the kernel' })
}

export const sysinfo = defineFilter({
  name: 'sysinfo',
  summary: 'Append versions and names of the system',
  upstream: 'plugins/filter_sysinfo/sysinfo.c',
  options: OPTIONS,
  create: values => new Sysinfo(values)
})

interface Pair {
  readonly key: Constant
  readonly value: Constant
}

class Sysinfo implements Filter {
  readonly #values: Values<typeof OPTIONS>
  #pairs: readonly Pair[] = []

  constructor(values: Values<typeof OPTIONS>) {
    this.#values = values
  }

  start(): void {
    const values = this.#values
    const wanted: readonly (readonly [string | undefined, string])[] = [
      [values.fluentbit_version_key, FLUENT_BIT_VERSION],
      [values.os_name_key, SYSTEM_NAMES[platform()] ?? platform()],
      [values.hostname_key, hostname()],
      [values.os_version_key, version()],
      [values.kernel_version_key, release()]
    ]
    this.#pairs = wanted.flatMap(([key, value]) =>
      key === undefined ? [] : [{ key: constant(key), value: constant(value) }]
    )
  }

  filter(event: EventView): boolean {
    const pairs = this.#pairs
    for (let index = 0; index < pairs.length; index++) {
      event.append(pairs[index].key, pairs[index].value)
    }
    return true
  }
}
