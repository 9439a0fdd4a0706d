/**
 * Finds the files that the patterns of `tail` match.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_scan_glob.c.
 */
import { accessSync, constants } from 'node:fs'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { matchFiles } from '../../../config/file_glob.ts'

/** Paths that match a pattern, in the pattern's form, sorted; a leading `~` is the home folder. */
export function findFiles(pattern: string, workingDirectory: string): string[] {
  return matchFiles(withHome(pattern), workingDirectory)
}

/** False when the folder that the first wildcard of a pattern stands for a name in cannot be read. */
export function canSearch(pattern: string, workingDirectory: string): boolean {
  const parts = withHome(pattern).split('/')
  const first = parts.findIndex(part => /[*?[]/.test(part))
  if (first < 0) return true
  const directory = parts.slice(0, first).join('/')
  try {
    const path = first === 1 && directory === '' ? '/' : directory
    accessSync(resolve(workingDirectory, path), constants.R_OK)
    return true
  } catch {
    return false
  }
}

function withHome(pattern: string): string {
  return /^~(?=\/|$)/.test(pattern) ? homedir() + pattern.slice(1) : pattern
}

/** True when a whole path matches one of the patterns. */
export function matchesAny(path: string, patterns: readonly RegExp[]): boolean {
  return patterns.some(pattern => pattern.test(path))
}

/**
 * Compiles a pattern that `findFiles` takes, for paths of files that are gone. `*` stands for slashes too, so that it
 * matches all that the pattern would find, and more.
 */
export function compilePattern(pattern: string): RegExp {
  return compileExclude(withHome(pattern).replaceAll(/\/{2,}/g, '/'))
}

/** Compiles a pattern of `exclude_path`; `*` stands for slashes too, as in fnmatch(3). */
export function compileExclude(pattern: string): RegExp {
  let source = ''
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern[index]
    const close = character === '[' ? pattern.indexOf(']', index + 2) : -1
    if (character === '*') source += '.*'
    else if (character === '?') source += '.'
    else if (close > 0) {
      const set = pattern.slice(index + 1, close)
      const negated = set.startsWith('!') || set.startsWith('^')
      source += `[${negated ? '^' : ''}${RegExp.escape(negated ? set.slice(1) : set).replaceAll('\\x2d', '-')}]`
      index = close
    } else if (character === '\\' && index + 1 < pattern.length) {
      source += RegExp.escape(pattern[++index])
    } else source += RegExp.escape(character)
  }
  return new RegExp(`^${source}$`, 's')
}
