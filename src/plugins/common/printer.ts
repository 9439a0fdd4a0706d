/**
 * Printing to standard output, whose reader may be gone.
 * Differs from Fluent Bit: it takes no notice of text that nobody gets; here the chunk is counted as given up.
 */
import { systemError } from '../../base/system_error.ts'
import type { PluginContext } from '../../plugin/context.ts'
import { type Delivery, drop, OK } from '../../plugin/delivery.ts'

export class Printer {
  readonly #context: PluginContext
  #isReported = false

  constructor(context: PluginContext) {
    this.#context = context
  }

  /** Prints the text of a chunk that is in one piece. */
  print(text: Buffer): Delivery {
    return this.pieces(write => write(text))
  }

  /** Prints the pieces that `action` writes; the first failure ends it and is reported once in a life. */
  pieces(action: (write: (piece: Buffer) => void) => void): Delivery {
    const { stdout, log } = this.#context
    try {
      action(piece => {
        if (piece.length > 0) stdout.write(piece)
      })
      return OK
    } catch (cause) {
      if (!this.#isReported) log.error(`cannot print: ${systemError(cause).text}`)
      this.#isReported = true
      return drop('cannot_print')
    }
  }
}
