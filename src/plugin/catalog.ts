/** Finds plugins: the shipped ones, loaded when a configuration names them, and the users' own. */
import { stat } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { messageOf } from '../base/error_message.ts'
import { ConfigError, type Location } from '../config/diagnostics.ts'
import type { Plugin, PluginCatalog, PluginKind } from './define.ts'

/** Shipped plugins by name; each entry loads its file. */
export type PluginList = Readonly<
  Record<PluginKind, Readonly<Record<string, () => Promise<Plugin>>>>
>

/** A user's file as it was when it was loaded. */
interface LoadedFile {
  readonly stamp: string
  /** None of a file that could not be loaded: Node.js would say the same of it for ever. */
  readonly plugins: readonly Plugin[] | undefined
}

export class Catalog implements PluginCatalog {
  readonly #shipped: PluginList
  readonly #own: Plugin[] = []
  /** Plugins that no file has. */
  readonly #added: Plugin[] = []
  readonly #files = new Map<Plugin, string>()
  readonly #loaded: Map<string, LoadedFile>

  constructor(shipped: PluginList, loaded = new Map<string, LoadedFile>()) {
    this.#shipped = shipped
    this.#loaded = loaded
  }

  /** One without users' files, for a configuration that is read again; files that have not changed are not loaded again. */
  renewed(): Catalog {
    const catalog = new Catalog(this.#shipped, this.#loaded)
    for (const plugin of this.#added) catalog.add(plugin)
    return catalog
  }

  /** Adds a plugin; it goes before a shipped one of the same kind and name. */
  add(plugin: Plugin): void {
    this.#own.unshift(plugin)
    this.#added.push(plugin)
  }

  /**
   * Loads a user's file: every plugin that it exports is added.
   *
   * @throws {ConfigError} When the file cannot be loaded or exports no plugin.
   */
  async addFile(path: string, workingDirectory: string, at?: Location): Promise<void> {
    const file = resolve(workingDirectory, path)
    let plugins: readonly Plugin[]
    try {
      plugins = await this.#load(file)
    } catch (cause) {
      const reason = messageOf(cause)
      throw new ConfigError('CFG_PLUGIN_FILE', `Cannot load plugin file "${path}": ${reason}`, at)
    }
    if (plugins.length === 0) {
      const message = `Cannot load plugin file "${path}": it exports no plugin, it must export what defineInput, defineFilter or defineOutput returns`
      throw new ConfigError('CFG_PLUGIN_FILE', message, at)
    }
    for (const plugin of plugins) {
      this.#own.unshift(plugin)
      this.#files.set(plugin, file)
    }
  }

  /** The user's file that a plugin came from, as an absolute path; undefined for any other plugin. */
  fileOf(plugin: Plugin): string | undefined {
    return this.#files.get(plugin)
  }

  async load(kind: PluginKind, name: string): Promise<Plugin | undefined> {
    const wanted = name.toLowerCase()
    const own = this.#own.find(plugin => plugin.kind === kind && plugin.name === wanted)
    if (own !== undefined) return own
    const shipped = this.#shipped[kind]
    return Object.hasOwn(shipped, wanted) ? shipped[wanted]() : undefined
  }

  /** The plugins of a file; one that has changed is loaded anew, what it imports is not. */
  async #load(file: string): Promise<readonly Plugin[]> {
    const { mtimeMs, size, ino } = await stat(file)
    const stamp = `${mtimeMs}-${size}-${ino}`
    const known = this.#loaded.get(file)
    if (known?.stamp === stamp && known.plugins !== undefined) return known.plugins
    offerApi()
    this.#loaded.set(file, { stamp, plugins: undefined })
    const { href } = pathToFileURL(file)
    const module: Record<string, unknown> = await import(
      known === undefined ? href : `${href}?${stamp}`
    )
    const plugins = Object.values(module).filter(isPlugin)
    this.#loaded.set(file, { stamp, plugins })
    return plugins
  }

  names(kind: PluginKind): readonly string[] {
    const own = this.#own.filter(plugin => plugin.kind === kind).map(plugin => plugin.name)
    return [...new Set([...own, ...Object.keys(this.#shipped[kind])])].toSorted()
  }
}

let apiIsOffered = false

/** Lets users' files import `spillway` wherever they lie: it is this very program, not another copy of it. */
function offerApi(): void {
  if (apiIsOffered) return
  apiIsOffered = true
  // The published program is bundled: all of its files lie beside the API's.
  const path = import.meta.url.endsWith('.ts') ? '../api.ts' : './api.js'
  const url = new URL(path, import.meta.url).href
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'spillway' ? { url, shortCircuit: true } : next(specifier, context)
  })
}

function isPlugin(value: unknown): value is Plugin {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    'create' in value &&
    'options' in value &&
    'name' in value
  )
}
