/**
 * Keeps the shape of the source tree: which layer may import which, no cycles, no barrels, one
 * exit. The table here is the one in force; ARCHITECTURE.md shows the same.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

/**
 * The first and last columns of the layer table, from bottom to top. "X and below" are the rows up to
 * that of X; what follows "never" is taken out again.
 */
const TABLE: readonly (readonly [layers: string, mayImport: string])[] = [
  ['`base`', '–'],
  ['`codec`', 'base'],
  ['`record`', 'base, codec'],
  ['`metrics`', 'base, codec'],
  ['`config`', 'base, record'],
  ['`net`', 'base, codec, metrics'],
  ['`parser`', 'base, record, codec, config'],
  ['`storage`', 'base, codec, metrics'],
  ['`plugin`', 'base, codec, record, config, metrics, parser, net'],
  [
    '`plugins/{inputs,filters,processors,outputs}`',
    'plugin and below; never engine, storage, or another plugin'
  ],
  ['`engine`', 'plugin and below; never `plugins/*`'],
  ['`http`', "plugin and below, storage, engine's interfaces; never `plugins/*`"],
  ['`cli`', 'http and below; never `plugins/*`'],
  ['`main.ts`, `thread.ts`', 'all']
]

/** Each layer, which is a folder of src, and the layers that it may import. */
const LAYERS = readTable()

function readTable(): Map<string, ReadonlySet<string>> {
  const layers = new Map<string, ReadonlySet<string>>()
  for (const [names, mayImport] of TABLE) {
    const [allowed, never = ''] = mayImport.split('; never ')
    const words = wordsOf(allowed)
    if (words.includes('below')) words.push(...layers.keys())
    // "another plugin" is no layer: a test of its own looks after that.
    const forbidden = wordsOf(never.replace('another plugin', ''))
    const imports = new Set(words).difference(new Set(forbidden))
    for (const [, name] of names.matchAll(/`(\w+)/g)) layers.set(name, imports)
  }
  return layers
}

function wordsOf(text: string): string[] {
  return text.match(/\w+/g) ?? []
}

const ROOT = join(import.meta.dirname, '..')

interface SourceFile {
  /** Relative to src, such as `engine/router.ts`. */
  readonly path: string
  readonly text: string
  /** Paths of the imported files of src. */
  readonly imports: readonly string[]
}

const files = globSync('**/*.ts', { cwd: join(ROOT, 'src') })
  .filter(path => !path.endsWith('.test.ts') && !path.endsWith('.d.ts'))
  .toSorted()
  .map(readSource)

function readSource(path: string): SourceFile {
  const text = readFileSync(join(ROOT, 'src', path), 'utf8')
  const imports = importedNames(text)
    .filter(name => name.startsWith('.'))
    .map(name => join(dirname(path), name))
  return { path, text, imports }
}

/** The names after `from`, in `import '…'` and in `import('…')`. */
function importedNames(text: string): string[] {
  const statements = text.matchAll(/^(?:import|export)\b[\w\s{},*$]*?\bfrom\s+'([^']+)'/gm)
  const effects = text.matchAll(/^import\s+'([^']+)'/gm)
  const calls = text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)
  return [...statements, ...effects, ...calls].map(match => match[1])
}

/** api.ts, the package's entry for users' plugins, stands with the layer `plugin`. */
function layerOf(path: string): string {
  return path === 'api.ts' ? 'plugin' : path.split('/')[0].replace(/\.ts$/, '')
}

/** `inputs/tail` for the files of one plugin; undefined for what plugins share. */
function pluginOf(path: string): string | undefined {
  const [folder, kind, name] = path.split('/')
  if (folder !== 'plugins' || kind === 'common' || name === undefined) return undefined
  return `${kind}/${name.replace(/\.ts$/, '')}`
}

test('every source file belongs to a layer of the table', () => {
  const strangers = files.filter(file => !LAYERS.has(layerOf(file.path)))
  assert.deepEqual(
    strangers.map(file => file.path),
    []
  )
})

test('a layer imports only itself and the layers that the table gives it', () => {
  const wrong: string[] = []
  for (const file of files) {
    const layer = layerOf(file.path)
    if (layer === 'main' || layer === 'thread') continue
    for (const target of file.imports) {
      const allowed = layerOf(target) === layer || LAYERS.get(layer)?.has(layerOf(target)) === true
      if (!allowed) wrong.push(`${file.path} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('no plugin imports another plugin', () => {
  const wrong: string[] = []
  for (const file of files) {
    const plugin = pluginOf(file.path)
    if (file.path === 'plugins/all.ts') continue
    for (const target of file.imports) {
      const other = pluginOf(target)
      if (other !== undefined && other !== plugin) wrong.push(`${file.path} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('no file imports itself by way of others', () => {
  assert.deepEqual(findCycles(), [])
})

test('no file but the package entry only passes on what others export', () => {
  assert.deepEqual(
    files.filter(file => isBarrel(file.text)).map(file => file.path),
    ['api.ts']
  )
})

test('only main.ts ends the process', () => {
  const wrong = files.filter(
    file => file.path !== 'main.ts' && /\bprocess\.(?:exit|reallyExit|abort)\(/.test(file.text)
  )
  assert.deepEqual(
    wrong.map(file => file.path),
    []
  )
})

test('the source imports nothing outside src but packages and node: modules', () => {
  const wrong = files.flatMap(file =>
    file.imports.filter(target => target.startsWith('..')).map(target => `${file.path}: ${target}`)
  )
  assert.deepEqual(wrong, [])
})

test('ARCHITECTURE.md shows the layer table in force', () => {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')
  const [table] = /^\| *layer *\|.*(?:\n\|.*)*/m.exec(text) ?? ['']
  const rows = [...table.matchAll(/^\|([^|]*)\|.*\|([^|]*)\|$/gm)]
  assert.deepEqual(
    rows.slice(2).map(([, first, last]) => [first.trim(), last.trim()]),
    TABLE
  )
})

/** Each cycle once, as the files along it. */
function findCycles(): string[] {
  const imports = new Map(files.map(file => [file.path, file.imports]))
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(path)
    if (seenAt >= 0) {
      cycles.push([...trail.slice(seenAt), path].join(' -> '))
      return
    }
    if (done.has(path)) return
    for (const target of imports.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const file of files) visit(file.path, [])
  return cycles
}

/** True when nothing is left of a file without its comments, imports and re-exports. */
function isBarrel(text: string): boolean {
  const rest = text
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/^(?:import|export)\b[\w\s{},*$]*?\bfrom\s+'[^']+'/gm, '')
  return rest.trim() === ''
}
