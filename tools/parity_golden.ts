/** Whether Spillway and Fluent Bit accept the same configurations of test/golden/config, by their `--dry-run`. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type CaseFile, parseCase } from '../test/golden/config_case.ts'
import { VERDICTS } from '../test/parity/differences.ts'

const CONFIGURATIONS = join(import.meta.dirname, '../test/golden/config')
const DRY_RUN_MAX_MS = 10_000

/** Prints each configuration that only one program accepts, unless that is meant; gives their number. */
export function compareVerdicts(
  spillway: string,
  fluentBit: string,
  words: readonly string[]
): number {
  let compared = 0
  let differences = 0
  const names = readdirSync(CONFIGURATIONS).filter(
    name =>
      name.endsWith('.case') && (words.length === 0 || words.some(word => name.includes(word)))
  )
  for (const name of names) {
    const { files } = parseCase(readFileSync(join(CONFIGURATIONS, name), 'utf8'))
    for (const { name: file } of files.filter(({ role }) => role === 'main')) {
      compared++
      const theirs = verdict(fluentBit, file, files)
      const ours = verdict(spillway, file, files)
      if (theirs === ours || VERDICTS.some(({ cases }) => cases.test(`${name} ${file}`))) continue
      differences++
      console.log(`${name} ${file}: Fluent Bit ${theirs} it, Spillway ${ours} it`)
    }
  }
  console.log(`${compared} golden configurations, ${differences} with another verdict`)
  return differences
}

function verdict(program: string, file: string, files: readonly CaseFile[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'parity-golden-'))
  try {
    for (const { name, text } of files) {
      mkdirSync(dirname(join(directory, name)), { recursive: true })
      writeFileSync(join(directory, name), text)
    }
    const { status, signal } = spawnSync(program, ['--dry-run', '-c', file], {
      cwd: directory,
      timeout: DRY_RUN_MAX_MS
    })
    if (status === 0) return 'accepts'
    return signal === null ? 'refuses' : `crashes (${signal}) on`
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
