/**
 * Header lines that plugins are told to send: in requests of outputs, in answers of inputs.
 * Source: Fluent Bit 5.1.1 src/flb_http_client.c flb_http_add_header().
 */
import type { PluginContext } from '../../plugin/context.ts'

export type Header = readonly [name: string, value: string]

const NAME = /^[!#$%&'*+.^_`|~\w-]+$/
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/g

/** Headers that say where a message ends, which only its sender knows. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'trailer'])

/** Node writes each character of a head as one byte: these are the bytes of the text. */
export function headerBytes(text: string): string {
  return Buffer.from(text).latin1Slice()
}

/** A value from data, of which no control character may end the line. */
export function safeHeaderValue(text: string): string {
  return headerBytes(text.replace(CONTROL, ' '))
}

export function isHeaderName(name: string): boolean {
  return NAME.test(name)
}

/** True for those that the sender of a message sets, and nobody else may. */
export function isFraming(name: string): boolean {
  return FRAMING.has(name.toLowerCase())
}

/** The headers that a repeated key such as `header NAME VALUE` names; a name alone is its own value, as in Fluent Bit. */
export function configuredHeaders(
  key: string,
  entries: readonly (readonly string[])[],
  context: PluginContext
): Header[] {
  return entries.map(([name = '', value = name], index) => {
    checkHeaderName(key, name, context, index)
    if (value.search(CONTROL) >= 0) {
      throw context.invalid(key, 'value must not have control characters', index)
    }
    return [name, headerBytes(value)]
  })
}

/** @throws {ConfigError} When a property names a header that cannot be sent. */
export function checkHeaderName(
  key: string,
  name: string,
  context: PluginContext,
  index = 0
): void {
  if (!isHeaderName(name)) {
    // Not shown: it may be a whole header in quotes, with a secret.
    const allowed = "letters, digits and !#$%&'*+.^_`|~-"
    throw context.invalid(key, `the name of a header may have ${allowed} only`, index)
  }
  if (isFraming(name)) {
    throw context.invalid(key, `the header ${name} is for the plugin to set`, index)
  }
}

/** The headers of one request, in the order in which they were added. */
export class HeaderList {
  readonly #mayRepeat: boolean
  readonly #list: Header[] = []

  /** @param mayRepeat False lets a header replace an earlier one of its name. */
  constructor(mayRepeat = true) {
    this.#mayRepeat = mayRepeat
  }

  /** Adds a header; one without a value is left out. */
  add(name: string, value: string): void {
    if (value === '') return
    if (!this.#mayRepeat) this.#removeFirst(name)
    this.#list.push([name, value])
  }

  addAll(headers: readonly Header[]): void {
    for (const [name, value] of headers) this.add(name, value)
  }

  /** Adds a header that there must be one of. */
  set(name: string, value: string): void {
    while (this.#removeFirst(name));
    this.#list.push([name, value])
  }

  /** Names and values in turn. */
  flat(): string[] {
    return this.#list.flat()
  }

  #removeFirst(name: string): boolean {
    const key = name.toLowerCase()
    const index = this.#list.findIndex(([other]) => other.toLowerCase() === key)
    if (index >= 0) this.#list.splice(index, 1)
    return index >= 0
  }
}
