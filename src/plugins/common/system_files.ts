/** Files of `/proc`, `/sys` and `/dev`, which the kernel makes when they are read. */
import { readdirSync, readFileSync } from 'node:fs'

/** The text of a file; undefined when it cannot be read. */
export function readSystemFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The names in a folder, sorted; undefined when it cannot be read. */
export function readSystemFolder(path: string): readonly string[] | undefined {
  try {
    return readdirSync(path).toSorted()
  } catch {
    return undefined
  }
}
