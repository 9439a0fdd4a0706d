/** Checks what an output answered: a user's plugin may answer anything. */
import type { Delivery, PartialDelivery } from '../plugin/delivery.ts'

/**
 * What is wrong with an answer; undefined when it is a delivery.
 *
 * @param events How many events the output was given.
 */
export function answerProblem(answer: unknown, events: number): string | undefined {
  if (typeof answer !== 'object' || answer === null) return `${String(answer)} is no delivery`
  const { kind } = answer as { kind?: unknown }
  switch (kind) {
    case 'ok':
      return undefined
    case 'retry':
    case 'drop':
      return typeof (answer as Delivery & { reason: unknown }).reason === 'string'
        ? undefined
        : `"${kind}" has no reason`
    case 'partial':
      return partialProblem(answer as PartialDelivery, events)
    default:
      return `kind ${String(kind)} is none of ok, retry, drop, partial`
  }
}

function partialProblem({ retry, drop }: PartialDelivery, events: number): string | undefined {
  if (!Array.isArray(retry) || !Array.isArray(drop)) return '"partial" needs lists of events'
  const lists = [retry, ...drop.map(group => group.events)]
  const seen = new Set<number>()
  for (const list of lists) {
    let last = -1
    for (const event of list) {
      if (!Number.isInteger(event) || event < 0 || event >= events) {
        return `event ${String(event)} is not in the chunk, which has ${events}`
      }
      if (event <= last || seen.has(event)) return `event ${event} is out of order or twice there`
      last = event
      seen.add(event)
    }
  }
  return undefined
}
