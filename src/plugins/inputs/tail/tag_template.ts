/**
 * The tag of a file: the configured text, with `*` standing for the path, or `<name>` for a group of `tag_regex`.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_file.c tag_compose().
 */
import type { Matcher } from '../../../parser/onigmo.ts'

/** The tag for a path, or why there is none. */
export type ComposedTag = { readonly tag: string } | { readonly problem: string }

/** @param regex `tag_regex`; undefined leaves `*`. */
export function composeTag(template: string, path: string, regex: Matcher | undefined): ComposedTag {
  if (regex !== undefined) return fillGroups(template, path, regex)
  const star = template.indexOf('*')
  if (star < 0) return { tag: template }
  return { tag: sanitise(template.slice(0, star) + path + template.slice(star + 1)) }
}

/** Separators become dots, the first is dropped; dots do not repeat or end the tag; stars go. */
function sanitise(text: string): string {
  return text
    .replace(/^[/\\:]+/, '')
    .replaceAll(/[/\\:]/g, '.')
    .replaceAll('*', '')
    .replaceAll(/\.{2,}/g, '.')
    .replace(/\.$/, '')
}

function fillGroups(template: string, path: string, regex: Matcher): ComposedTag {
  const found = regex.exec(path)
  if (found === undefined || found === null) {
    return { problem: `invalid tag_regex pattern for file ${path}` }
  }
  const groups = new Map<string, string>()
  regex.groupNames.forEach((name, index) => {
    const text = found[regex.groupNumbers[index]]
    if (text !== undefined && text !== '') groups.set(name, text)
  })
  let tag = ''
  let at = 0
  for (let open = template.indexOf('<'); open >= 0; open = template.indexOf('<', at)) {
    const close = template.indexOf('>', open)
    const nested = template.indexOf('<', open + 1)
    if (close < 0 || (nested >= 0 && nested < close)) {
      return {
        problem: `missing closing angle bracket in tag ${template} at position ${open + 1}`
      }
    }
    tag += template.slice(at, open) + (groups.get(template.slice(open + 1, close)) ?? '_')
    at = close + 1
  }
  return { tag: tag + template.slice(at) }
}
