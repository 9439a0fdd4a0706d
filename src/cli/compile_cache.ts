/** The cache of compiled code, which the program took out of its own environment. */
import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'

/** Variables with which another process or thread of this program uses the cache too. */
export function compileCache(): Record<string, string> {
  const directory = getCompileCacheDir()
  return directory === undefined ? {} : { NODE_COMPILE_CACHE: dirname(directory) }
}
