import type { Diagnostics } from '../config/diagnostics.ts'
import type { ConfigNode } from '../config/model.ts'
import type { ConditionSpec } from '../record/condition.ts'
export function readCondition(node: ConfigNode, _diagnostics: Diagnostics): ConditionSpec | undefined {
  return { at: node.at }
}
