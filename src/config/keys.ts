/**
 * Names of keys and sections as Fluent Bit compares them.
 * Source: Fluent Bit 5.1.1 src/config_format/flb_config_format.c (flb_cf_key_translate,
 * get_section_type); reference, sections 2.2 and 2.4.
 */
import type { SectionKind } from './model.ts'

/** What a heading opens; `plugins` is no section of the model but a list of files. */
export type HeadingKind = SectionKind | 'plugins'

/** Tried in this order, because a heading may be any beginning of these words. */
const HEADINGS: readonly (readonly [word: string, kind: HeadingKind])[] = [
  ['service', 'service'],
  ['parser', 'parser'],
  ['multiline_parser', 'multiline_parser'],
  ['stream_processor', 'stream_task'],
  ['plugins', 'plugins'],
  ['upstream_servers', 'upstream'],
  ['custom', 'custom'],
  ['customs', 'custom'],
  ['input', 'input'],
  ['inputs', 'input'],
  ['filter', 'filter'],
  ['filters', 'filter'],
  ['output', 'output'],
  ['outputs', 'output']
]

const FULL_HEADINGS = new Set([...HEADINGS.map(([word]) => word), 'upstream'])

/** The key of a classic file: trimmed and lower-cased. */
export function normaliseClassicKey(written: string): string {
  return lowerAscii(trimBlank(written))
}

/**
 * The key of a YAML file: camelCase becomes snake_case when it starts with a small letter and has
 * no underscore. Fluent Bit keeps the case of all other keys and compares without case; here they
 * are lower-cased, so that a key has one form.
 */
export function normaliseYamlKey(written: string): string {
  const camelCase = /^[a-z]/.test(written) && !written.includes('_')
  const translated = camelCase ? written.replace(/(?!^)[A-Z]/g, letter => `_${letter}`) : written
  return lowerAscii(trimBlank(translated))
}

/**
 * The kind of section that a heading opens. Any beginning of a known word counts, so that `[IN]` is
 * an input: an accident of Fluent Bit that configurations may rely on.
 */
export function headingKind(heading: string): HeadingKind {
  const name = lowerAscii(heading)
  if (name === '') return 'other'
  return HEADINGS.find(([word]) => word.startsWith(name))?.[1] ?? 'other'
}

/** True for a known heading that is written out. */
export function isFullHeading(heading: string): boolean {
  return FULL_HEADINGS.has(lowerAscii(heading))
}

/** Without the white space at both ends that C's `isspace` knows. */
export function trimBlank(text: string): string {
  return text.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '')
}

/** C's `tolower`: letters beyond ASCII stay as they are. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, letters => letters.toLowerCase())
}
