/**
 * File name patterns as glob(3) reads them: `*`, `?`, `[a-z]`, `[!a]`, `\x` in every part of a path.
 * Fluent Bit takes the files in the order of the directory; here they are sorted.
 */
import { readdirSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

/**
 * The paths that exist and match, sorted, in the form of the pattern: relative for a relative one.
 * A leading dot of a name must be written. What cannot be read matches nothing.
 */
export function matchFiles(pattern: string, workingDirectory: string): string[] {
  const absolute = pattern.startsWith('/')
  const parts = pattern.split('/').filter(part => part !== '')
  let found = [absolute ? '/' : '']
  for (const part of parts) {
    found = found.flatMap(directory => matchPart(directory, part, workingDirectory))
  }
  return found.filter(path => path !== '').sort()
}

function matchPart(directory: string, part: string, workingDirectory: string): string[] {
  if (!/[*?[\\]/.test(part)) {
    const path = joined(directory, part)
    return isThere(resolve(workingDirectory, path)) ? [path] : []
  }
  const expression = partExpression(part)
  if (expression === undefined) return []
  return names(resolve(workingDirectory, directory))
    .filter(name => expression.test(name) && (!name.startsWith('.') || part.startsWith('.')))
    .map(name => joined(directory, name))
}

/** What lies in a directory that may not be searched is not there. */
function isThere(path: string): boolean {
  try {
    statSync(path)
    return true
  } catch {
    return false
  }
}

function joined(directory: string, name: string): string {
  return directory === '' || directory === '/' ? `${directory}${name}` : `${directory}/${name}`
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    // As glob(3) without GLOB_ERR: a directory that cannot be read holds no matches.
    return []
  }
}

/** Undefined for a set that no character can be in, such as `[z-a]`. */
function partExpression(part: string): RegExp | undefined {
  let source = ''
  for (let index = 0; index < part.length; index++) {
    const character = part[index]
    if (character === '*') source += '.*'
    else if (character === '?') source += '.'
    else if (character === '[' && part.includes(']', index + 2)) {
      const end = part.indexOf(']', index + 2)
      source += setSource(part.slice(index + 1, end))
      index = end
    } else if (character === '\\' && index + 1 < part.length) source += literal(part[++index])
    else source += literal(character)
  }
  try {
    return new RegExp(`^${source}$`, 's')
  } catch {
    return undefined
  }
}

function setSource(set: string): string {
  const negated = set.startsWith('!') || set.startsWith('^')
  const members = (negated ? set.slice(1) : set).replace(/[\\\][^]/g, '\\$&')
  return `[${negated ? '^' : ''}${members}]`
}

function literal(character: string): string {
  return /[.*+?^${}()|[\]\\/]/.test(character) ? `\\${character}` : character
}
