/**
 * Instance names in the form of an address: `forward://0.0.0.0:24224`, `http://host:80/uri`.
 * Source: Fluent Bit 5.1.1 src/flb_network.c flb_net_host_set(); reference section 1.2.
 */
import type { MapEntry } from '../config/model.ts'

/** The plugin that a name means, and the keys that its address stands for. */
export interface InstanceName {
  readonly plugin: string
  readonly entries: readonly MapEntry[]
  readonly uri: string | undefined
}

/** Splits `name://host:port/uri?key=value`; plugins without a network take the name alone. */
export function splitInstanceName(text: string, named: MapEntry): InstanceName {
  const mark = text.indexOf('://')
  if (mark < 0) return { plugin: text, entries: [], uri: undefined }
  const match = /^(?<host>\[[^\]]*\]|[^:/?]*)(?::(?<port>\d+))?(?<uri>[/?].*)?$/s.exec(
    text.slice(mark + 3)
  )
  const entries: MapEntry[] = []
  const add = (key: string, value: string | undefined): void => {
    if (value === undefined || value === '') return
    const { at } = named.value
    const node = { kind: 'scalar', text: value, quoted: false, at } as const
    entries.push({ key, writtenKey: key, at: named.at, value: node })
  }
  add('host', match?.groups?.['host']?.replace(/^\[(.*)\]$/, '$1'))
  add('port', match?.groups?.['port'])
  return { plugin: text.slice(0, mark), entries, uri: match?.groups?.['uri'] }
}
