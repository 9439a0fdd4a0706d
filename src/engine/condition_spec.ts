/**
 * Reads `condition:` of processors and routes from the configuration.
 * Source: Fluent Bit 5.1.1 src/flb_processor.c flb_processor_unit_set_condition(), src/flb_router_config.c; reference sections 2.7, 2.8.
 */
import type { Diagnostics } from '../config/diagnostics.ts'
import type { ConfigNode, MapNode, ScalarNode } from '../config/model.ts'
import { type ConditionSpec, ruleContextOf, type RuleSpec } from '../record/condition.ts'

/** Who the condition belongs to: routes read every scalar as text, processors tell numbers from text. */
export type ConditionOwner = 'processor' | 'route'

/** The condition of a node; undefined when it has mistakes, which become diagnostics. */
export function readCondition(
  node: ConfigNode,
  owner: ConditionOwner,
  diagnostics: Diagnostics
): ConditionSpec | undefined {
  const fail = (message: string, at: ConfigNode): undefined => {
    diagnostics.error('CFG_BAD_CONDITION', `Cannot use condition: ${message}`, at.at)
    return undefined
  }
  if (node.kind !== 'map') return fail('it must be a mapping of op and rules', node)
  const op = field(node, 'op')
  const word = op === undefined ? 'and' : op.kind === 'scalar' ? op.text.toLowerCase() : ''
  if (word !== 'and' && word !== 'or') return fail('"op" must be and or or', op ?? node)
  const list = field(node, 'rules')
  if (list?.kind !== 'list') return fail('"rules" must be a list of rules', list ?? node)
  const rules: RuleSpec[] = []
  for (const item of list.items) {
    const rule = readRule(item, owner)
    if (typeof rule === 'string') return fail(rule, item)
    rules.push(rule)
  }
  return { op: word, rules, at: node.at }
}

/** A rule, or what is wrong with it. */
function readRule(node: ConfigNode, owner: ConditionOwner): RuleSpec | string {
  if (node.kind !== 'map') return 'a rule must be a mapping of field, op and value'
  const name = field(node, 'field')
  const op = field(node, 'op')
  const value = field(node, 'value')
  const context = field(node, 'context')
  if (name?.kind !== 'scalar') return 'a rule has no "field"'
  if (op?.kind !== 'scalar') return 'a rule has no "op"'
  if (value === undefined || value.kind === 'map') return 'a rule has no "value"'
  const place = context?.kind === 'scalar' ? ruleContextOf(context.text) : 'body'
  if (place === undefined) return 'a rule has an unknown "context"'
  const read = (scalar: ScalarNode): string | number | boolean =>
    owner === 'route' ? scalar.text : typed(scalar)
  return {
    field: name.text,
    op: op.text,
    value:
      value.kind === 'scalar'
        ? read(value)
        : value.items.filter(item => item.kind === 'scalar').map(read),
    context: place
  }
}

/** A scalar as YAML types it: quoted text stays text. */
function typed(node: ScalarNode): string | number | boolean {
  if (node.quoted) return node.text
  if (/^(?:true|false)$/i.test(node.text)) return node.text.toLowerCase() === 'true'
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(node.text) ? Number(node.text) : node.text
}

function field(node: MapNode, key: string): ConfigNode | undefined {
  return node.entries.find(entry => entry.key.toLowerCase() === key)?.value
}
