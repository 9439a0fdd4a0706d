/**
 * The tag of a file: the configured text, with `*` standing for the path, or `<name>` for a group of `tag_regex`.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_file.c tag_compose().
 */
import type { Matcher } from '../../../parser/onigmo.ts'
import { expandGroupTag, expandPathTag } from '../../../record/tag.ts'

/** The tag for a path, or why there is none. */
export type ComposedTag = { readonly tag: string } | { readonly problem: string }

/** @param regex `tag_regex`; undefined leaves `*`. */
export function composeTag(
  template: string,
  path: string,
  regex: Matcher | undefined
): ComposedTag {
  if (regex === undefined) return { tag: expandPathTag(template, path) }
  const found = regex.exec(path)
  if (found === null) return { problem: `invalid tag_regex pattern for file ${path}` }
  const groups = Object.fromEntries(
    regex.groupNames.map((name, index) => [name, found[regex.groupNumbers[index]]])
  )
  const tag = expandGroupTag(template, groups)
  return tag === undefined
    ? { problem: `missing closing angle bracket in tag ${template}` }
    : { tag }
}
