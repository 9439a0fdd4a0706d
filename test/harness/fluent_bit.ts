/** The real program, which the variable FLUENT_BIT names; tests with it are skipped where it does not. */
import { spawn } from 'node:child_process'
import type { TestContext } from 'node:test'
import { folder } from './process.ts'

const FLUENT_BIT = process.env['FLUENT_BIT']

/** For the options of a test. */
export const withFluentBit = {
  skip: FLUENT_BIT === undefined && 'FLUENT_BIT does not name a Fluent Bit'
}

/** Runs from its making until the end of the test. */
export class FluentBit {
  stdout = ''

  constructor(t: TestContext, configuration: string) {
    const directory = folder(t, { 'fluent-bit.conf': configuration })
    const child = spawn(FLUENT_BIT ?? '', ['-c', 'fluent-bit.conf'], { cwd: directory })
    const ended = new Promise(resolve => child.on('close', resolve))
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    child.stderr.resume()
    t.after(async () => {
      child.kill('SIGKILL')
      await ended
    })
  }
}
