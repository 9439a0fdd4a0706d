/**
 * The parsers of a configuration: reads `[PARSER]` sections and makes parsers from them.
 * Source: Fluent Bit 5.1.1 src/flb_parser.c flb_parser_load_parser_definitions(),
 * flb_parser_create_with_time_zone(); reference, section 6.1.
 */
import type { Diagnostics, Location } from '../config/diagnostics.ts'
import type { Environment } from '../config/env.ts'
import type { Section } from '../config/model.ts'
import { flag, many, text } from '../config/options.ts'
import type { Values } from '../config/options.ts'
import { resolveEntries } from '../config/resolve.ts'
import type { ErrorCode } from '../config/error_codes.ts'
import { FieldDecoders, readDecoderRule } from './decoders.ts'
import type { DecoderRule } from './decoders.ts'
import type { ParserLog } from './failure_log.ts'
import { JsonParser } from './json.ts'
import { LogfmtParser } from './logfmt.ts'
import { LtsvParser } from './ltsv.ts'
import { compileOnigmo } from './onigmo.ts'
import type { Matcher } from './onigmo.ts'
import type { Parser } from './parser.ts'
import { RegexParser } from './regex.ts'
import { compileTimeFormat } from './time.ts'
import type { TimeReader } from './time.ts'
import { readTimeFormat } from './time_format.ts'
import { parseTimeOffset, ZoneOffsets } from './time_zone.ts'
import { Caster, readCastTypes } from './types.ts'
import type { CastType } from './types.ts'

/** The keys of a `[PARSER]` section. */
const PARSER_OPTIONS = {
  name: text({ doc: 'Unique name of the parser' }),
  format: text({ doc: 'regex, json, ltsv or logfmt' }),
  regex: text({ doc: 'Pattern with named groups, for format regex' }),
  skip_empty_values: flag({ doc: 'Leave out groups of a regex that are empty', default: 'true' }),
  time_key: text({ doc: 'Key of the time; "time" when it is not set' }),
  time_format: text({
    doc: 'Format of the time, as strptime reads it, with %L for fractions of a second'
  }),
  time_keep: flag({ doc: 'Keep the key of the time in the record', default: 'false' }),
  time_strict: flag({ doc: 'A time that does not fit the format is an error', default: 'true' }),
  time_offset: text({ doc: 'Distance from UTC of times that do not say it: +hhmm, -hh:mm or Z' }),
  time_system_timezone: flag({ doc: 'Times are in the zone of the machine', default: 'false' }),
  time_zone: text({ doc: 'IANA zone of times that do not say theirs' }),
  types: text({ doc: 'Casts as "key:type key:type"; integer, float, bool, hex or string' }),
  decode_field: many(text({ doc: 'Decoder and key: decoded keys are added to the record' })),
  decode_field_as: many(text({ doc: 'Decoder and key: the decoded value replaces the text' })),
  logfmt_no_bare_keys: flag({ doc: 'For format logfmt: every key needs a "="', default: 'false' })
} as const

type ParserValues = Values<typeof PARSER_OPTIONS>

const FORMATS = ['regex', 'json', 'ltsv', 'logfmt'] as const
type Format = (typeof FORMATS)[number]

const DECODER_KEYS: readonly string[] = ['decode_field', 'decode_field_as']

export interface ParserContext {
  readonly environment: Environment
  readonly diagnostics: Diagnostics
  readonly log: ParserLog
  /** Milliseconds since the epoch, for time formats without a year. */
  readonly now: () => number
}

/** A parser as configured, checked, from which parsers can be made. */
export interface ParserDefinition {
  readonly name: string
  readonly format: Format
  /** Set for format regex. */
  readonly matcher?: Matcher | undefined
  readonly skipsEmptyValues?: boolean
  readonly timeKey?: string
  /** Undefined: the parser finds no times. */
  readonly timeFormat?: string | undefined
  readonly keepsTime?: boolean
  readonly isTimeStrict?: boolean
  /** Seconds east of UTC. */
  readonly offsetSeconds?: number
  readonly usesSystemTimezone?: boolean
  readonly zone?: ZoneOffsets | undefined
  readonly types?: ReadonlyMap<string, CastType>
  readonly decoderRules?: readonly DecoderRule[]
  readonly refusesBareKeys?: boolean
}

/** The parsers of a configuration by name. */
export class ParserRegistry {
  readonly #definitions = new Map<string, ParserDefinition>()
  readonly #texts = new Map<string, string>()
  readonly #log: ParserLog
  readonly #now: () => number

  constructor(log: ParserLog, now: () => number) {
    this.#log = log
    this.#now = now
  }

  /** In the order of the configuration. */
  get names(): readonly string[] {
    return [...this.#definitions.keys()]
  }

  has(name: string): boolean {
    return this.#definitions.has(name)
  }

  /**
   * Names are unique: a second parser of a name is not taken.
   *
   * @param text What the configuration says of it.
   */
  add(definition: ParserDefinition, text = ''): boolean {
    if (this.#definitions.has(definition.name)) return false
    this.#definitions.set(definition.name, definition)
    this.#texts.set(definition.name, text)
    return true
  }

  /** What the configuration says of a parser; equal texts make equal parsers. */
  definition(name: string): string | undefined {
    return this.#texts.get(name)
  }

  /** A new parser, as parsers carry their last result; undefined when no parser has this name. */
  create(name: string): Parser | undefined {
    const definition = this.#definitions.get(name)
    return definition === undefined ? undefined : createParser(definition, this.#log, this.#now)
  }
}

/** Reads all parser sections; those with mistakes become diagnostics and are left out. */
export function readParsers(sections: readonly Section[], context: ParserContext): ParserRegistry {
  const registry = new ParserRegistry(context.log, context.now)
  for (const section of sections) {
    const definition = new DefinitionReader(section, context).read()
    const text = textOf(section, context.environment)
    if (definition === undefined || registry.add(definition, text)) continue
    const message = `Cannot add parser "${definition.name}": another parser has this name already`
    context.diagnostics.error('CFG_BAD_VALUE', message, section.at)
  }
  return registry
}

function textOf({ entries }: Section, environment: Environment): string {
  const texts = entries.map(({ key, value }) => {
    const nodes = value.kind === 'list' ? value.items : [value]
    return [key, ...nodes.flatMap(node => (node.kind === 'scalar' ? [node.text] : []))]
  })
  return environment.expand(JSON.stringify(texts)).text
}

/** Makes a parser from its definition. */
export function createParser(
  definition: ParserDefinition,
  log: ParserLog,
  now: () => number
): Parser {
  const { decoderRules = [], timeFormat } = definition
  const options = {
    name: definition.name,
    timeKey: definition.timeKey ?? 'time',
    time: timeFormat === undefined ? undefined : createTimeReader(timeFormat, definition, now),
    keepsTime: definition.keepsTime ?? false,
    types: definition.types ?? new Map<string, CastType>(),
    caster: new Caster(log),
    decoders: decoderRules.length === 0 ? undefined : new FieldDecoders(decoderRules, log),
    log
  }
  switch (definition.format) {
    case 'json':
      return new JsonParser(options)
    case 'ltsv':
      return new LtsvParser(options)
    case 'logfmt':
      return new LogfmtParser({ ...options, refusesBareKeys: definition.refusesBareKeys ?? false })
    default:
      return new RegexParser({
        ...options,
        matcher: definition.matcher ?? compileOnigmo(''),
        skipsEmptyValues: definition.skipsEmptyValues ?? true
      })
  }
}

function createTimeReader(
  format: string,
  definition: ParserDefinition,
  now: () => number
): TimeReader {
  return compileTimeFormat(format, {
    offsetSeconds: definition.offsetSeconds ?? 0,
    usesSystemTimezone: definition.usesSystemTimezone ?? false,
    ...(definition.zone === undefined ? {} : { zone: definition.zone }),
    isStrict: definition.isTimeStrict ?? true,
    now
  })
}

class DefinitionReader {
  readonly #section: Section
  readonly #context: ParserContext
  #isValid = true
  #owner = 'parser'

  constructor(section: Section, context: ParserContext) {
    this.#section = section
    this.#context = context
  }

  /** Undefined when the section has mistakes. */
  read(): ParserDefinition | undefined {
    const values = this.#values()
    const { name } = values
    if (name === undefined || name === '') {
      this.#fail('CFG_MISSING_NAME', 'Cannot add a parser: "name" must be set')
      return undefined
    }
    this.#owner = `parser "${name}"`
    const format = this.#format(values.format)
    const definition: ParserDefinition = {
      name,
      format: format ?? 'json',
      matcher: format === 'regex' ? this.#matcher(values.regex) : undefined,
      skipsEmptyValues: values.skip_empty_values,
      timeKey: values.time_key ?? 'time',
      timeFormat: this.#timeFormat(values.time_format),
      keepsTime: values.time_keep,
      isTimeStrict: values.time_strict,
      usesSystemTimezone: values.time_system_timezone,
      types: readCastTypes(values.types ?? ''),
      decoderRules: this.#decoderRules(),
      refusesBareKeys: values.logfmt_no_bare_keys,
      ...this.#zone(values)
    }
    return this.#isValid ? definition : undefined
  }

  /** Where a key repeats, the first one counts, other than in all other sections. */
  #values(): ParserValues {
    const { environment, diagnostics } = this.#context
    const seen = new Set<string>()
    const entries = this.#section.entries.filter(entry => {
      if (DECODER_KEYS.includes(entry.key) || !seen.has(entry.key)) {
        seen.add(entry.key)
        return true
      }
      const message = `Key "${entry.writtenKey}" has no effect: the first "${entry.writtenKey}" of the parser counts`
      diagnostics.warning('CFG_REPEATED_KEY', message, entry.at)
      return false
    })
    const rules = {
      owner: 'parser',
      own: PARSER_OPTIONS,
      generic: {},
      structural: new Set<string>(),
      unknown: 'warning',
      environment,
      diagnostics
    } as const
    return resolveEntries(entries, rules).values as unknown as ParserValues
  }

  #format(word: string | undefined): Format | undefined {
    const known = FORMATS.join(', ')
    if (word === undefined || word === '') {
      this.#fail(
        'CFG_MISSING_KEY',
        `Cannot add ${this.#owner}: "format" must be set to one of ${known}`
      )
      return undefined
    }
    const format = FORMATS.find(candidate => candidate === word.toLowerCase())
    if (format === undefined) {
      this.#fail(
        'CFG_BAD_VALUE',
        `Cannot add ${this.#owner}: format is "${word}", it must be one of ${known}`,
        'format'
      )
    }
    return format
  }

  #matcher(pattern: string | undefined): Matcher | undefined {
    if (pattern === undefined || pattern === '') {
      this.#fail(
        'CFG_MISSING_KEY',
        `Cannot add ${this.#owner}: "regex" must be set for format regex`
      )
      return undefined
    }
    try {
      const matcher = compileOnigmo(pattern, this.#placeOf('regex'))
      if (matcher.groupNames.length === 0) {
        const message = `Parser of regular expression "${pattern}" never succeeds: it has no group with a name, as in (?<name>...)`
        this.#context.diagnostics.warning('CFG_BAD_REGEX', message, this.#placeOf('regex'))
      }
      return matcher
    } catch (error) {
      this.#context.diagnostics.capture(error)
      this.#isValid = false
      return undefined
    }
  }

  #timeFormat(format: string | undefined): string | undefined {
    if (format === undefined || format === '') return undefined
    const { unsupported } = readTimeFormat(format)
    if (unsupported.length > 0) {
      const message = `Time format "${format}" of ${this.#owner} fits no time: ${unsupported.join(' and ')} cannot be read`
      this.#context.diagnostics.warning('CFG_BAD_VALUE', message, this.#placeOf('time_format'))
    }
    return format
  }

  #zone(values: ParserValues): Partial<ParserDefinition> {
    const { time_zone: zone, time_offset: offset, time_format: format } = values
    if (zone !== undefined && zone !== '') return this.#namedZone(zone, values)
    if (!format || !offset || values.time_system_timezone) return {}
    const offsetSeconds = parseTimeOffset(offset)
    if (offsetSeconds === undefined) {
      this.#fail(
        'CFG_BAD_VALUE',
        `Cannot add ${this.#owner}: time_offset is "${offset}", it must be +hhmm, -hhmm, +hh:mm, -hh:mm or Z`,
        'time_offset'
      )
    }
    return { offsetSeconds: offsetSeconds ?? 0 }
  }

  #namedZone(zone: string, values: ParserValues): Partial<ParserDefinition> {
    const other = values.time_system_timezone
      ? 'time_system_timezone'
      : values.time_offset
        ? 'time_offset'
        : undefined
    const offsets = ZoneOffsets.of(zone)
    if (!values.time_format) {
      this.#fail(
        'CFG_MISSING_KEY',
        `Cannot add ${this.#owner}: time_zone needs time_format`,
        'time_zone'
      )
    } else if (other !== undefined) {
      this.#fail(
        'CFG_BAD_VALUE',
        `Cannot add ${this.#owner}: time_zone and ${other} are both set, only one of them may be`,
        other
      )
    } else if (offsets === undefined) {
      this.#fail(
        'CFG_BAD_VALUE',
        `Cannot add ${this.#owner}: time_zone is "${zone}", it must be an IANA name such as Europe/Oslo`,
        'time_zone'
      )
    }
    return { zone: offsets }
  }

  /**
   * As in Fluent Bit, one decoder that cannot be read puts all decoders of the parser out of
   * action.
   */
  #decoderRules(): readonly DecoderRule[] {
    const entries = this.#section.entries.filter(({ key }) => DECODER_KEYS.includes(key))
    const rules: DecoderRule[] = []
    for (const { key, value } of entries) {
      if (value.kind !== 'scalar') continue
      const rule = readDecoderRule(value.text, key === 'decode_field_as')
      if (typeof rule === 'string') {
        const message = `Parser ${this.#owner.slice(7)} decodes no fields: ${key} is "${value.text}", ${rule}`
        this.#context.diagnostics.warning('CFG_BAD_VALUE', message, value.at)
        return []
      }
      rules.push(rule)
    }
    return rules
  }

  #placeOf(key: string): Location {
    const entry = this.#section.entries.find(candidate => candidate.key === key)
    return entry?.value.at ?? this.#section.at
  }

  #fail(code: ErrorCode, message: string, key?: string): void {
    this.#isValid = false
    const at = key === undefined ? this.#section.at : this.#placeOf(key)
    this.#context.diagnostics.error(code, message, at)
  }
}
