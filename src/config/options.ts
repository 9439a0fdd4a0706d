/**
 * Option tables: what a plugin can be told. From one table come parsing, defaults, errors, `--help`, the JSON schema,
 * the reference page and the TypeScript type of the values that `create` receives.
 * The kinds are those of Fluent Bit's config map (src/flb_config_map.c).
 */
import {
  parseBoolean,
  parseDouble,
  parseInteger,
  parseSize,
  parseTimeSeconds,
  splitCommaList,
  splitSpaceList
} from './units.ts'

/** What reading one value gave. */
export type ParseResult<T> =
  | { readonly ok: true; readonly value: T; readonly ignored?: string }
  | { readonly ok: false; readonly expected: string }

export interface Option<T> {
  /** The type as Fluent Bit's help prints it. */
  readonly type: string
  readonly doc: string
  /** In the form a user would write; shown by help and parsed like a written value. */
  readonly default: string | undefined
  /** A key may repeat; the value is the list of all. */
  readonly repeats: boolean
  /** The key is a prefix: `rdkafka.` takes `rdkafka.x`; the value maps the rest of each key to its text. */
  readonly prefix: boolean
  /** Passwords and tokens: never echoed. */
  readonly secret: boolean
  /** `${NAME}` is kept and expanded each time the plugin asks. */
  readonly dynamicEnv: boolean
  /** Set where the key has no meaning on this platform; says why. */
  readonly refused: string | undefined
  /** Gives plain data: values go to threads. */
  readonly parse: (text: string) => ParseResult<T>
  /** Carries the type of the value; never set. */
  readonly value?: T
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>

/** The values that an option table gives: key by key, as `create` receives them. */
export type Values<Table extends OptionTable> = {
  readonly [Key in keyof Table]: Table[Key] extends Option<infer Value> ? Value : never
}

interface Doc {
  readonly doc: string
}

interface WithDefault extends Doc {
  readonly default: string
}

function option<T>(
  type: string,
  spec: Doc & { readonly default?: string },
  parse: (text: string) => ParseResult<T>
): Option<T> {
  return {
    type,
    doc: spec.doc,
    default: spec.default,
    repeats: false,
    prefix: false,
    secret: false,
    dynamicEnv: false,
    refused: undefined,
    parse
  }
}

/** Any text. */
export function text(spec: WithDefault): Option<string>
export function text(spec: Doc): Option<string | undefined>
export function text(spec: Doc & { readonly default?: string }): Option<string | undefined> {
  return option('string', spec, value => ({ ok: true, value }))
}

/** One of a few words, without regard to case; the value is the word as listed. */
export function choice<const Words extends readonly string[]>(
  words: Words,
  spec: WithDefault
): Option<Words[number]>
export function choice<const Words extends readonly string[]>(
  words: Words,
  spec: Doc
): Option<Words[number] | undefined>
export function choice(
  words: readonly string[],
  spec: Doc & { readonly default?: string }
): Option<string | undefined> {
  return option('string', spec, value => {
    const found = words.find(word => word.toLowerCase() === value.toLowerCase())
    return found === undefined
      ? { ok: false, expected: `one of ${words.join(', ')}` }
      : { ok: true, value: found }
  })
}

/** true, on, yes or false, off, no. */
export function flag(spec: WithDefault): Option<boolean>
export function flag(spec: Doc): Option<boolean | undefined>
export function flag(spec: Doc & { readonly default?: string }): Option<boolean | undefined> {
  return option('boolean', spec, value => {
    const parsed = parseBoolean(value)
    return parsed === undefined
      ? { ok: false, expected: 'a boolean (true, on, yes, false, off, no)' }
      : { ok: true, value: parsed }
  })
}

/** A whole number, read as C's `atoi` does. */
export function int(spec: WithDefault): Option<number>
export function int(spec: Doc): Option<number | undefined>
export function int(spec: Doc & { readonly default?: string }): Option<number | undefined> {
  return option('integer', spec, value => lenient(parseInteger(value)))
}

/** A number with a fraction, read as C's `atof` does. */
export function double(spec: WithDefault): Option<number>
export function double(spec: Doc): Option<number | undefined>
export function double(spec: Doc & { readonly default?: string }): Option<number | undefined> {
  return option('double', spec, value => lenient(parseDouble(value)))
}

/** Bytes: a number with K, M or G, in steps of 1000. */
export function size(spec: WithDefault): Option<number>
export function size(spec: Doc): Option<number | undefined>
export function size(spec: Doc & { readonly default?: string }): Option<number | undefined> {
  return option('size', spec, value => {
    const parsed = parseSize(value)
    return parsed === undefined
      ? { ok: false, expected: 'a size such as 512, 32K, 5M or 1G' }
      : { ok: true, value: parsed }
  })
}

/** Seconds: a whole number with s, m, h or d. */
export function seconds(spec: WithDefault): Option<number>
export function seconds(spec: Doc): Option<number | undefined>
export function seconds(spec: Doc & { readonly default?: string }): Option<number | undefined> {
  return option('time', spec, value => lenient(parseTimeSeconds(value)))
}

/**
 * Words separated by spaces, quotes allowed; at least `minimum`, the last of which takes the rest of the text.
 */
export function words(minimum: number, spec: Doc): Option<readonly string[] | undefined> {
  const type =
    minimum > 0
      ? `space delimited strings (minimum ${minimum})`
      : 'multiple space delimited strings'
  return option<readonly string[] | undefined>(type, spec, value => {
    const found = splitSpaceList(value, minimum > 0 ? minimum : undefined)
    return found.length < minimum
      ? { ok: false, expected: `${minimum} words, of which ${found.length} were found` }
      : { ok: true, value: found }
  })
}

/** Words separated by commas. */
export function csv(spec: WithDefault): Option<readonly string[]>
export function csv(spec: Doc): Option<readonly string[] | undefined>
export function csv(
  spec: Doc & { readonly default?: string }
): Option<readonly string[] | undefined> {
  return option('multiple comma delimited strings', spec, value => ({
    ok: true,
    value: splitCommaList(value)
  }))
}

/** All keys that start with the option's name. */
export function prefixed(spec: Doc): Option<ReadonlyMap<string, string>> {
  return {
    ...option<ReadonlyMap<string, string>>('prefixed string', spec, () => ({
      ok: true,
      value: new Map()
    })),
    prefix: true
  }
}

/** The key may repeat; the value is the list of all, empty when the key is absent. */
export function many<T>(single: Option<T>): Option<readonly NonNullable<T>[]> {
  return { ...single, repeats: true } as unknown as Option<readonly NonNullable<T>[]>
}

/** The value is never echoed in messages, dumps and pages. */
export function secret<T>(single: Option<T>): Option<T> {
  return { ...single, secret: true }
}

/** `${NAME}` stays in the text; the plugin expands it when it uses the value. */
export function dynamic<T>(single: Option<T>): Option<T> {
  return { ...single, dynamicEnv: true }
}

/** The key is known and refused on this platform. */
export function refused<T>(single: Option<T>, reason: string): Option<T> {
  return { ...single, refused: reason }
}

function lenient(parsed: { value: number; ignored: string }): ParseResult<number> {
  return parsed.ignored === ''
    ? { ok: true, value: parsed.value }
    : { ok: true, value: parsed.value, ignored: parsed.ignored }
}
