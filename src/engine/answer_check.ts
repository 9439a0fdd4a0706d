/** Checks what an output answered: a user's plugin may answer anything. */
import { inspect } from 'node:util'
import type { PartialDelivery } from '../plugin/delivery.ts'

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
      return typeof (answer as Answer).reason === 'string'
        ? waitProblem(answer as Answer)
        : '"retry" has no reason'
    case 'drop':
      return reasonProblem(answer as Answer)
    case 'partial':
      return partialProblem(answer as PartialDelivery, events) ?? waitProblem(answer as Answer)
    default:
      return `kind ${String(kind)} is none of ok, retry, drop, partial`
  }
}

interface Answer {
  readonly kind: string
  readonly reason?: unknown
  readonly waitMs?: unknown
}

function reasonProblem({ kind, reason }: Answer): string | undefined {
  return typeof reason === 'string' && reason !== '' ? undefined : `"${kind}" has no reason`
}

function waitProblem({ waitMs }: Answer): string | undefined {
  if (waitMs === undefined || (Number.isFinite(waitMs) && Number(waitMs) >= 0)) return undefined
  return `waitMs ${inspect(waitMs)} is no time`
}

function partialProblem({ retry, drop }: PartialDelivery, events: number): string | undefined {
  if (!Array.isArray(retry) || !Array.isArray(drop)) return '"partial" needs lists of events'
  for (const { reason } of drop) {
    const problem = reasonProblem({ kind: 'drop', reason })
    if (problem !== undefined) return problem
  }
  if (drop.some(group => !Array.isArray(group.events))) return '"drop" needs lists of events'
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
