/** Writes the configuration of a plan as a user would. */
import {
  BROKEN,
  type FilterPlan,
  type InputPlan,
  type OutputPlan,
  type Plan,
  type ProcessorPlan,
  type ServicePlan
} from './plan.ts'

type Pair = readonly [key: string, value: string | number | boolean | undefined]

/** A section, and what only YAML can say of the instance. */
interface Written {
  readonly pairs: readonly Pair[]
  readonly more: readonly string[]
}

export function configurationText(plan: Plan): string {
  const { service, filters, seats } = plan
  const sections = {
    service: [{ pairs: servicePairs(service), more: [] }],
    inputs: seats.inputs.map(seat => input(plan, seat)),
    filters: filters.map(filter => ({ pairs: filterPairs(plan, filter), more: [] })),
    outputs: seats.outputs.map(seat => output(plan, seat))
  }
  return plan.isYaml ? yaml(sections) : classic(sections)
}

/** What the engine calls the outputs of a configuration: their aliases, by these names. */
export function outputLabels({ seats, outputs, isNamed }: Plan): [label: string, alias: string][] {
  return seats.outputs.flatMap((seat, index) => {
    if (seat === BROKEN) return []
    const output = outputs[seat]
    return [[isNamed ? output.alias : `${pluginOf(output)}.${index}`, output.alias]]
  })
}

function pluginOf({ isConcurrent }: OutputPlan): string {
  return isConcurrent ? 'sim_outs' : 'sim_out'
}

type Sections = Readonly<Record<'service' | 'inputs' | 'filters' | 'outputs', readonly Written[]>>

function classic({ service, inputs, filters, outputs }: Sections): string {
  const section = (name: string, written: readonly Written[]): string[] =>
    written.flatMap(({ pairs }) => [
      `[${name}]`,
      ...set(pairs).map(([key, value]) => `    ${key} ${value}`)
    ])
  return [
    ...section('SERVICE', service),
    ...section('INPUT', inputs),
    ...section('FILTER', filters),
    ...section('OUTPUT', outputs)
  ].join('\n')
}

function yaml({ service, inputs, filters, outputs }: Sections): string {
  const list = (name: string, written: readonly Written[]): string[] =>
    written.length === 0 ? [] : [`  ${name}:`, ...written.flatMap(item)]
  return [
    'service:',
    ...set(service[0].pairs).map(([key, value]) => `  ${key}: ${yamlValue(value)}`),
    'pipeline:',
    ...list('inputs', inputs),
    ...list('filters', filters),
    ...list('outputs', outputs)
  ].join('\n')
}

function item({ pairs, more }: Written): string[] {
  const lines = set(pairs).map(
    ([key, value], index) => `    ${index === 0 ? '- ' : '  '}${key}: ${yamlValue(value)}`
  )
  return [...lines, ...more]
}

function yamlValue(value: string | number | boolean): string {
  return typeof value === 'string' && !/^[\w./]+$/.test(value)
    ? JSON.stringify(value)
    : String(value)
}

function yamlProcessors(processors: readonly ProcessorPlan[]): string[] {
  if (processors.length === 0) return []
  const lines = ['      processors:', '        logs:']
  for (const { step, condition } of processors) {
    if (step.kind === 'grep')
      lines.push('          - name: grep', `            exclude: level ^${step.level}$`)
    else lines.push('          - name: modify', `            add: ${step.key} yes`)
    if (condition === undefined) continue
    lines.push('            condition:', '              rules:')
    lines.push(`                - { field: $level, op: eq, value: ${condition} }`)
  }
  return lines
}

function yamlRoutes({ routes, extra }: InputPlan): string[] {
  if (routes.length === 0 && extra.length === 0) return []
  const lines = ['      routes:', '        logs:']
  for (const { name, level, outputs } of routes) {
    lines.push(`          - name: ${name}`, '            condition:')
    if (level === undefined) lines.push('              default: true')
    else {
      lines.push('              rules:')
      lines.push(`                - { field: $level, op: eq, value: ${level} }`)
    }
    lines.push(`            to: { outputs: [ ${outputs.join(', ')} ] }`)
  }
  if (extra.length > 0) {
    lines.push('          - name: extra', `            to: { outputs: [ ${extra.join(', ')} ] }`)
  }
  return lines
}

function servicePairs(service: ServicePlan): Pair[] {
  const pairs: Pair[] = [
    ['flush', service.flush],
    ['grace', service.grace],
    ['scheduler.base', service.schedulerBase],
    ['scheduler.cap', service.schedulerCap]
  ]
  if (service.path === undefined) return pairs
  return [
    ...pairs,
    ['storage.path', service.path],
    ['storage.sync', service.sync],
    ['storage.checksum', service.checksum],
    ['storage.max_chunks_up', service.maxChunksUp],
    ['storage.backlog.mem_limit', service.backlogLimit],
    ['storage.backlog.flush_on_shutdown', service.flushesBacklog],
    ['storage.delete_irrecoverable_chunks', service.deletesBad],
    ['storage.keep.rejected', service.keepsRejected],
    ['storage.rejected.limit', service.keepsRejected ? service.rejectedLimit : undefined]
  ]
}

function input(plan: Plan, seat: number): Written {
  if (seat === BROKEN) {
    const pairs: Pair[] = [
      ['name', 'sim_noise'],
      ['tag', 'none'],
      ['broken', true]
    ]
    return { pairs, more: [] }
  }
  const input = plan.inputs[seat]
  return {
    pairs: inputPairs(plan, input, seat),
    more: [...yamlProcessors(input.processors), ...yamlRoutes(input)]
  }
}

function output(plan: Plan, seat: number): Written {
  if (seat === BROKEN) {
    const pairs: Pair[] = [
      ['name', 'sim_out'],
      ['match', 'none'],
      ['broken', true]
    ]
    return { pairs, more: [] }
  }
  const output = plan.outputs[seat]
  return { pairs: outputPairs(plan, output, seat), more: yamlProcessors(output.processors) }
}

function inputPairs({ isNamed }: Plan, input: InputPlan, index: number): Pair[] {
  const { rateGate } = input
  return [
    ['name', `sim_${input.kind}`],
    ['alias', isNamed ? `source${index}` : undefined],
    ['variant', input.variant || undefined],
    ['source', index],
    ['tag', input.tags[0]],
    ['storage.type', input.storage],
    ['mem_buf_limit', input.memBufLimit],
    ['storage.pause_on_chunks_overlimit', input.pausesOnChunks || undefined],
    ['acknowledge', input.acknowledge === 'delivered' ? 'delivered' : undefined],
    ['rate_gate', rateGate === undefined ? undefined : true],
    ['rate_gate.max_records', rateGate]
  ]
}

function filterPairs({ isNamed }: Plan, filter: FilterPlan): Pair[] {
  const [name, ...pairs] = stepPairs(filter)
  return [name, ['alias', isNamed ? filter.alias : undefined], ...pairs]
}

function stepPairs({ match, step }: FilterPlan): Pair[] {
  switch (step.kind) {
    case 'grep':
      return [
        ['name', 'grep'],
        ['match', match],
        ['exclude', `level ^${step.level}$`]
      ]
    case 'modify':
      return [
        ['name', 'modify'],
        ['match', match],
        ['add', `${step.key} yes`]
      ]
    case 'rewrite':
      return [
        ['name', 'rewrite_tag'],
        ['match', match],
        ['rule', `$level ^${step.level}$ ${step.prefix}.$TAG ${step.keeps}`],
        ['emitter_storage.type', step.storage],
        ['emitter_mem_buf_limit', step.limit]
      ]
  }
}

function outputPairs({ isNamed }: Plan, output: OutputPlan, index: number): Pair[] {
  return [
    ['name', pluginOf(output)],
    ['alias', isNamed ? output.alias : undefined],
    ['variant', output.variant || undefined],
    ['remote', index],
    ['match', output.match],
    ['retry_limit', output.retryLimit],
    ['storage.total_limit_size', output.totalLimit]
  ]
}

function set(pairs: readonly Pair[]): (readonly [string, string | number | boolean])[] {
  return pairs.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]))
}
