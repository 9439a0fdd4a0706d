/** Answers `-h`, `-J` and `-V`: loads the plugins that the answer is about and prints it. */
import { isatty } from 'node:tty'
import { Catalog, type PluginList } from '../plugin/catalog.ts'
import type { Plugin, PluginKind } from '../plugin/define.ts'
import {
  FILTER_OPTIONS,
  INPUT_HIDDEN_OPTIONS,
  INPUT_OPTIONS,
  netOptions,
  OUTPUT_HIDDEN_OPTIONS,
  OUTPUT_OPTIONS,
  HTTP_SERVER_OPTIONS,
  TLS_OPTIONS
} from '../plugin/generic_options.ts'
import type { Command, RunCommand } from './args.ts'
import { bannerText } from './banner.ts'
import { blockingOutput } from './standard_output.ts'
import { generalHelp, pluginHelp, pluginSchema, schema, type SharedOptions } from './help.ts'

const GLOBAL_OPTIONS = { input: INPUT_OPTIONS, filter: FILTER_OPTIONS, output: OUTPUT_OPTIONS }

/**
 * Prints the answer to a command that does not run the agent.
 *
 * @returns The exit code.
 */
export async function answer(
  command: Exclude<Command, RunCommand | { kind: 'version' }>,
  shipped: PluginList
): Promise<number> {
  const catalog = new Catalog(shipped)
  const program = process.argv[1] ?? 'spillway'
  if (command.kind === 'usageError') {
    process.stderr.write(`${command.message}\n`)
    if (command.showHelp) print(await helpText(catalog, program))
    return 1
  }
  if (command.kind === 'help') {
    print(command.format === 'json' ? await schemaText(catalog) : await helpText(catalog, program))
    return 0
  }
  const { name, format } = command
  const kind = command.pluginKind === 'processor' ? 'filter' : command.pluginKind
  const text = kind === 'custom' ? undefined : await pluginHelpText(catalog, kind, name, format)
  if (text === undefined) {
    process.stderr.write(
      `Cannot show help of ${command.pluginKind} "${name}": there is no such plugin\n`
    )
    return 1
  }
  print(text)
  return 0
}

/** The general help. */
async function helpText(catalog: Catalog, program: string): Promise<string> {
  const lines = async (kind: PluginKind): Promise<Plugin[]> => allOf(catalog, kind)
  const filter = await lines('filter')
  return generalHelp({
    program,
    bold: isatty(1),
    plugins: {
      input: await lines('input'),
      processor: filter,
      filter,
      output: await lines('output')
    }
  })
}

/** The JSON schema of all plugins. */
async function schemaText(catalog: Catalog): Promise<string> {
  const plugins = [
    ...(await allOf(catalog, 'input')),
    ...(await allOf(catalog, 'filter')),
    ...(await allOf(catalog, 'output'))
  ]
  return JSON.stringify(schema(plugins.map(plugin => pluginSchema(plugin, sharedOptions(plugin)))))
}

/** Help or schema of one plugin; undefined when there is none of this name. */
async function pluginHelpText(
  catalog: Catalog,
  kind: PluginKind,
  name: string,
  format: 'text' | 'json'
): Promise<string | undefined> {
  const plugin = await catalog.load(kind, name)
  if (plugin === undefined) return undefined
  const shared = sharedOptions(plugin)
  if (format === 'json') return JSON.stringify(pluginSchema(plugin, shared))
  process.stderr.write(bannerText(isatty(1)))
  return pluginHelp(plugin, shared, isatty(1))
}

/** Writes all of a text before the program may exit. */
function print(text: string): void {
  blockingOutput(1).write(Buffer.from(text))
}

function sharedOptions(plugin: Plugin): SharedOptions {
  const global = GLOBAL_OPTIONS[plugin.kind]
  if (plugin.network === undefined) return { global }
  const hidden = plugin.kind === 'output' ? OUTPUT_HIDDEN_OPTIONS : INPUT_HIDDEN_OPTIONS
  return {
    global,
    address: { host: hidden.host, port: hidden.port },
    httpServer: plugin.network === 'http_server' ? HTTP_SERVER_OPTIONS : undefined,
    networking: netOptions(plugin),
    networkTls: plugin.tls === false ? undefined : TLS_OPTIONS
  }
}

async function allOf(catalog: Catalog, kind: PluginKind): Promise<Plugin[]> {
  const plugins = await Promise.all(catalog.names(kind).map(name => catalog.load(kind, name)))
  return plugins.filter(plugin => plugin !== undefined)
}
