/**
 * Families of several contexts as one set, in which each name and each series is there once.
 * Differs: Fluent Bit writes one context after the other, with the same names and series again and again; Prometheus warns of
 * those and takes one of them.
 */
import {
  fullName,
  type MetricFamily,
  type MetricsContext,
  type StaticLabels
} from '../../../metrics/model.ts'

type Sample = MetricFamily['samples'][number]

/** A family while samples are added to it. */
interface Group {
  readonly family: MetricFamily
  /** Names of the labels; samples from before a name came have no value for it. */
  readonly labels: string[]
  /** By the values of their labels. */
  readonly samples: Map<string, Sample>
}

/**
 * Labels of contexts become labels of their samples, before the samples' own; of a series that is there twice the latest
 * sample stays, at the place of the first.
 *
 * @param added Labels for all samples, after those of their context.
 */
export function mergeContexts(
  contexts: Iterable<MetricsContext>,
  added: StaticLabels
): MetricFamily[] {
  const groups = new Map<string, Group>()
  for (const { families, staticLabels } of contexts) {
    const shared = [...staticLabels, ...added]
    for (const family of families) addFamily(groups, family, shared)
  }
  return [...groups.values()].map(toFamily)
}

function addFamily(groups: Map<string, Group>, family: MetricFamily, shared: StaticLabels): void {
  const id = idOf(family)
  let group = groups.get(id)
  if (group === undefined) groups.set(id, (group = { family, labels: [], samples: new Map() }))
  const places = [...shared.map(([name]) => name), ...family.labels].map(name =>
    placeOf(name, group)
  )
  for (const sample of family.samples) {
    const labels: (string | undefined)[] = []
    for (const [index, place] of places.entries()) {
      const own = index - shared.length
      const value = own < 0 ? shared[index]?.[1] : sample.labels[own]
      if (value !== undefined) labels[place] = value
    }
    const key = JSON.stringify(labels)
    const known = group.samples.get(key)
    if (known === undefined || known.time <= sample.time) {
      group.samples.set(key, { ...sample, labels })
    }
  }
}

/** What samples have to share to be in one family. */
function idOf(family: MetricFamily): string {
  const { kind } = family
  const scale = kind === 'histogram' ? family.bounds : kind === 'summary' ? family.quantiles : []
  return [kind, fullName(family), ...scale].join(' ')
}

function placeOf(name: string, { labels }: Group): number {
  const place = labels.indexOf(name)
  return place < 0 ? labels.push(name) - 1 : place
}

function toFamily({ family, labels, samples }: Group): MetricFamily {
  // All samples of a group come from families of its kind.
  return { ...family, labels, samples: [...samples.values()] } as MetricFamily
}
