/** A folder that stands for `/`: files of `/proc`, `/sys` and `/dev` as a test wants them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** What this needs of a test's context. */
interface Cleanup {
  after(remove: () => void): void
}

export class SystemRoot {
  /** For the option `root` of a pipeline. */
  readonly path: string

  /** Makes the files, by path without the first slash; the test removes them when it ends. */
  constructor(test: Cleanup, files: Readonly<Record<string, string | Uint8Array>>) {
    this.path = mkdtempSync(join(tmpdir(), 'spillway-root-'))
    test.after(() => rmSync(this.path, { recursive: true, force: true }))
    for (const [path, content] of Object.entries(files)) this.write(path, content)
  }

  /** Makes a file, or gives it new content. */
  write(path: string, content: string | Uint8Array): void {
    const target = join(this.path, path)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, content)
  }

  remove(path: string): void {
    rmSync(join(this.path, path), { recursive: true })
  }
}
