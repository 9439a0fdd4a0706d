/** A configuration while its files are being read. */
import type { Location } from './diagnostics.ts'
import type {
  ConfigDocument,
  EnvEntry,
  MapEntry,
  PluginFile,
  Section,
  SectionKind
} from './model.ts'

/** A section that still takes entries. */
export interface SectionDraft extends Section {
  readonly entries: MapEntry[]
  readonly groups: SectionDraft[]
}

/** A document that still takes sections. */
export interface DocumentDraft extends ConfigDocument {
  readonly env: EnvEntry[]
  readonly service: MapEntry[]
  readonly customs: SectionDraft[]
  readonly inputs: SectionDraft[]
  readonly filters: SectionDraft[]
  readonly outputs: SectionDraft[]
  readonly parsers: SectionDraft[]
  readonly multilineParsers: SectionDraft[]
  readonly streamTasks: SectionDraft[]
  readonly upstreams: SectionDraft[]
  readonly plugins: PluginFile[]
  readonly others: SectionDraft[]
}

type SectionList = Exclude<keyof DocumentDraft, 'env' | 'service' | 'plugins'>

const LIST_OF: Readonly<Record<Exclude<SectionKind, 'service'>, SectionList>> = {
  input: 'inputs',
  filter: 'filters',
  output: 'outputs',
  custom: 'customs',
  parser: 'parsers',
  multiline_parser: 'multilineParsers',
  stream_task: 'streamTasks',
  upstream: 'upstreams',
  other: 'others'
}

export function emptyDocument(): DocumentDraft {
  return {
    env: [],
    service: [],
    customs: [],
    inputs: [],
    filters: [],
    outputs: [],
    parsers: [],
    multilineParsers: [],
    streamTasks: [],
    upstreams: [],
    plugins: [],
    others: []
  }
}

export function newSection(kind: SectionKind, title: string, at: Location): SectionDraft {
  return { kind, title, at, entries: [], groups: [] }
}

/**
 * Opens a section and puts it where its kind belongs. There is one service: every further one adds
 * to its entries.
 */
export function openSection(
  document: DocumentDraft,
  kind: SectionKind,
  title: string,
  at: Location
): SectionDraft {
  if (kind === 'service') return { kind, title, at, entries: document.service, groups: [] }
  const section = newSection(kind, title, at)
  document[LIST_OF[kind]].push(section)
  return section
}
