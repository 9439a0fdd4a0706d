/**
 * Keeps the shape of the source tree: which layer may import which, no cycles, no barrels, one
 * exit. The table here is the one in force; ARCHITECTURE.md shows the same.
 */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

const BELOW_PLUGIN = ['base', 'codec', 'record', 'metrics', 'config', 'net', 'parser']
const BELOW_ENGINE = [...BELOW_PLUGIN, 'storage', 'plugin']

/**
 * Each layer and those that it may import. A layer is a folder of src; beside them are main.ts,
 * which may import all, and api.ts, the package's entry for users' plugins, which stands with the
 * layer `plugin`.
 */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  codec: ['base'],
  record: ['base', 'codec'],
  metrics: ['base', 'codec'],
  config: ['base', 'record'],
  net: ['base', 'codec', 'metrics'],
  parser: ['base', 'codec', 'record', 'config'],
  storage: ['base', 'codec', 'metrics'],
  plugin: BELOW_PLUGIN,
  plugins: [...BELOW_PLUGIN, 'plugin'],
  engine: BELOW_ENGINE,
  http: [...BELOW_ENGINE, 'engine'],
  cli: [...BELOW_ENGINE, 'engine']
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
  const statements = text.matchAll(/^(?:import|export)\b[^'"`;]*?\bfrom\s+'([^']+)'/gm)
  const effects = text.matchAll(/^import\s+'([^']+)'/gm)
  const calls = text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)
  return [...statements, ...effects, ...calls].map(match => match[1])
}

function layerOf(path: string): string {
  return path === 'api.ts' ? 'plugin' : path.split('/')[0]
}

/** `inputs/tail` for the files of one plugin; undefined for what plugins share. */
function pluginOf(path: string): string | undefined {
  const [folder, kind, name] = path.split('/')
  if (folder !== 'plugins' || kind === 'common' || name === undefined) return undefined
  return `${kind}/${name.replace(/\.ts$/, '')}`
}

test('every source file belongs to a layer of the table', () => {
  const strangers = files.filter(
    file => file.path !== 'main.ts' && !Object.hasOwn(LAYERS, layerOf(file.path))
  )
  assert.deepEqual(
    strangers.map(file => file.path),
    []
  )
})

test('a layer imports only itself and the layers that the table gives it', () => {
  const wrong: string[] = []
  for (const file of files) {
    if (file.path === 'main.ts') continue
    const layer = layerOf(file.path)
    for (const target of file.imports) {
      const allowed = layerOf(target) === layer || LAYERS[layer].includes(layerOf(target))
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

const architecture = join(ROOT, 'ARCHITECTURE.md')

test(
  'ARCHITECTURE.md shows the layer table in force',
  {
    skip: existsSync(architecture) ? false : 'ARCHITECTURE.md is not written yet'
  },
  () => {
    const shown: Record<string, readonly string[]> = {}
    // Rows begin with the layer in back quotes; their last cell lists what it may import.
    for (const [, layer, cells] of readFileSync(architecture, 'utf8').matchAll(
      /^\| *`(\w+)` *\|(.*)\| *$/gm
    )) {
      const last = cells.split('|').at(-1) ?? ''
      shown[layer] = last.match(/\w+/g) ?? []
    }
    const sorted = (table: Readonly<Record<string, readonly string[]>>): string[] =>
      Object.entries(table)
        .map(([layer, imports]) => `${layer}: ${imports.toSorted().join(', ')}`)
        .toSorted()
    assert.deepEqual(sorted(shown), sorted(LAYERS))
  }
)

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
    .replaceAll(/^(?:import|export)\b[^'"`;]*?\bfrom\s+'[^']+'/gm, '')
  return rest.trim() === ''
}
