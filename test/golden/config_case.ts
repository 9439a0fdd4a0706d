/** The form of the golden configurations in test/golden/config. */

/** Between what is read and what must come of it. */
export const SEPARATOR = '----------\n'

export type Role = 'main' | 'parsers' | 'plugins' | 'streams' | 'upstream'

export interface CaseFile {
  readonly name: string
  /** What the file is read as; undefined for one that another names. */
  readonly role: Role | undefined
  readonly text: string
}

export interface GoldenCase {
  readonly source: string
  readonly expected: string
  readonly files: readonly CaseFile[]
}

/** Takes the text of a case apart. */
export function parseCase(content: string): GoldenCase {
  const [source, expected] = content.split(SEPARATOR)
  const files: CaseFile[] = []
  for (const part of source.split(/^--- /m).slice(1)) {
    const newline = part.indexOf('\n')
    files.push(caseFile(part.slice(0, newline).split(' '), part.slice(newline + 1)))
  }
  return { source, expected, files }
}

function caseFile([word, name]: readonly string[], text: string): CaseFile {
  const decoded = text.replaceAll('→', '\t').replaceAll('␍', '\r').replaceAll('␠', ' ')
  if (word === 'classic') return { name: name ?? 'main.conf', role: 'main', text: decoded }
  if (word === 'yaml') return { name: name ?? 'main.yaml', role: 'main', text: decoded }
  if (word === 'file') return { name, role: undefined, text: decoded }
  return { name, role: word as Role, text: decoded }
}
