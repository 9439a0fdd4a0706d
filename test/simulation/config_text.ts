/** Writes the configuration of a plan as a user would. */
import type { FilterPlan, InputPlan, OutputPlan, Plan, ProcessorPlan } from './plan.ts'

/** Where chunks are on the simulated disk. */
export const STORAGE_PATH = '/var/spillway'

type Pair = readonly [key: string, value: string | number | boolean | undefined]

/** @param outputs Aliases of those that are in the configuration now. */
export function configurationText(plan: Plan, outputs: ReadonlySet<string>): string {
  const present = plan.outputs.filter(({ alias }) => outputs.has(alias))
  return plan.isYaml ? yaml(plan, present) : classic(plan, present)
}

/** What the engine calls the outputs of a configuration: their aliases, by these names. */
export function outputLabels(plan: Plan, outputs: ReadonlySet<string>): Map<string, string> {
  const present = plan.outputs.filter(({ alias }) => outputs.has(alias))
  return new Map(
    present.map((output, index) => [
      plan.isNamed ? output.alias : `${pluginOf(output)}.${index}`,
      output.alias
    ])
  )
}

function pluginOf({ isConcurrent }: OutputPlan): string {
  return isConcurrent ? 'sim_outs' : 'sim_out'
}

function classic(plan: Plan, outputs: readonly OutputPlan[]): string {
  const section = (name: string, pairs: readonly Pair[]): string[] => [
    `[${name}]`,
    ...set(pairs).map(([key, value]) => `    ${key} ${value}`)
  ]
  return [
    ...section('SERVICE', servicePairs(plan)),
    ...plan.inputs.flatMap((input, index) => section('INPUT', inputPairs(input, index))),
    ...plan.filters.flatMap(filter => section('FILTER', filterPairs(filter))),
    ...outputs.flatMap(output => section('OUTPUT', outputPairs(plan, output)))
  ].join('\n')
}

function yaml(plan: Plan, outputs: readonly OutputPlan[]): string {
  const item = (pairs: readonly Pair[], more: readonly string[] = []): string[] => [
    ...set(pairs).map(
      ([key, value], index) => `    ${index === 0 ? '- ' : '  '}${key}: ${yamlValue(value)}`
    ),
    ...more
  ]
  const list = (name: string, items: readonly string[]): string[] =>
    items.length === 0 ? [] : [`  ${name}:`, ...items]
  return [
    'service:',
    ...set(servicePairs(plan)).map(([key, value]) => `  ${key}: ${yamlValue(value)}`),
    'pipeline:',
    ...list(
      'inputs',
      plan.inputs.flatMap((input, index) =>
        item(inputPairs(input, index), [...yamlProcessors(input.processors), ...yamlRoutes(input)])
      )
    ),
    ...list(
      'filters',
      plan.filters.flatMap(filter => item(filterPairs(filter)))
    ),
    ...list(
      'outputs',
      outputs.flatMap(output => item(outputPairs(plan, output), yamlProcessors(output.processors)))
    )
  ].join('\n')
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

function servicePairs({ service }: Plan): Pair[] {
  const pairs: Pair[] = [
    ['flush', service.flush],
    ['grace', service.grace],
    ['scheduler.base', service.schedulerBase],
    ['scheduler.cap', service.schedulerCap]
  ]
  if (!service.hasPath) return pairs
  return [
    ...pairs,
    ['storage.path', STORAGE_PATH],
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

function inputPairs(input: InputPlan, index: number): Pair[] {
  const { rateGate } = input
  return [
    ['name', `sim_${input.kind}`],
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

function filterPairs({ match, step }: FilterPlan): Pair[] {
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

function outputPairs(plan: Plan, output: OutputPlan): Pair[] {
  return [
    ['name', pluginOf(output)],
    ['alias', plan.isNamed ? output.alias : undefined],
    ['remote', plan.outputs.indexOf(output)],
    ['match', output.match],
    ['retry_limit', output.retryLimit],
    ['storage.total_limit_size', output.totalLimit]
  ]
}

function set(pairs: readonly Pair[]): (readonly [string, string | number | boolean])[] {
  return pairs.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]))
}
