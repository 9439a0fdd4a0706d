/**
 * The file name that a tag gives.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file.c sanitize_tag_name().
 */

/**
 * Turns a tag into a relative path: folders at `/` and `\`, `_` for each byte outside `A-Za-z0-9._-` and for the
 * names `.` and `..`. It never leaves the folder that it is put into, and is never empty.
 *
 * @example
 * tagFileName('a/b:c\\..') // 'a/b_c/_'
 */
export function tagFileName(tag: string): string {
  const parts = Buffer.from(tag)
    .latin1Slice()
    .split(/[/\\]+/)
    .filter(part => part !== '')
    .map(part => (part === '.' || part === '..' ? '_' : part.replaceAll(/[^A-Za-z0-9._-]/g, '_')))
  return parts.length === 0 ? '_' : parts.join('/')
}
