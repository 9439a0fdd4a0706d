/** The shipped plugins, all loaded. */
import { Catalog } from '../src/plugin/catalog.ts'
import type { Plugin } from '../src/plugin/define.ts'
import { SHIPPED } from '../src/plugins/all.ts'
import { PLUGIN_KINDS } from './pages.ts'

/** By kind, each in alphabetical order. */
export async function loadShippedPlugins(): Promise<Plugin[]> {
  const catalog = new Catalog(SHIPPED)
  const loads = PLUGIN_KINDS.flatMap(kind =>
    catalog.names(kind).map(async name => catalog.load(kind, name))
  )
  return (await Promise.all(loads)).filter(plugin => plugin !== undefined)
}
