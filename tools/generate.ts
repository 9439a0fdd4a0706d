/**
 * Writes the generated pages of docs/.
 *
 *     node tools/generate.ts            writes them, and removes those of plugins that are gone
 *     node tools/generate.ts --check    changes nothing; fails when a page is not as it would be written
 */
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errorsPage, kindFolder, parityPage, pluginListPage, pluginPage } from './pages.ts'
import { readRecord } from './parity_record.ts'
import { loadShippedPlugins } from './shipped.ts'

const DOCS = join(import.meta.dirname, '../docs')

const plugins = await loadShippedPlugins()
const pages = new Map<string, string>([
  ['errors.md', errorsPage()],
  ['parity.md', parityPage(plugins, readRecord())],
  ['plugins/README.md', pluginListPage(plugins)]
])
for (const plugin of plugins) {
  pages.set(`plugins/${kindFolder(plugin.kind)}/${plugin.name}.md`, pluginPage(plugin))
}
const leftOver = globSync('plugins/**/*.md', { cwd: DOCS }).filter(path => !pages.has(path))
const stale = [...pages].filter(([path, text]) => current(path) !== text).map(([path]) => path)

if (process.argv.includes('--check')) {
  for (const path of [...stale, ...leftOver]) console.error(`docs/${path} is out of date`)
  if (stale.length + leftOver.length > 0) {
    console.error(
      'Cannot accept the generated pages: run "npm run generate" and commit what changes'
    )
    process.exitCode = 1
  }
} else {
  for (const path of leftOver) rmSync(join(DOCS, path))
  for (const path of stale) {
    mkdirSync(dirname(join(DOCS, path)), { recursive: true })
    writeFileSync(join(DOCS, path), pages.get(path) ?? '')
  }
}

function current(path: string): string | undefined {
  const file = join(DOCS, path)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}
