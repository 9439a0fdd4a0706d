/**
 * random: a random 64-bit number at an interval.
 * Source: Fluent Bit 5.1.1 plugins/in_random/random.c.
 * Differs: nothing known.
 */
import { int } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { sendEvent } from '../common/send_event.ts'

export const random = defineInput({
  name: 'random',
  summary: 'Random numbers',
  upstream: 'plugins/in_random/random.c',
  options: {
    samples: int({ default: '-1', doc: 'Records to make; -1 makes them without end' }),
    ...INTERVAL_OPTIONS
  },
  create(values, context) {
    let left = values.samples < 0 ? Infinity : values.samples
    return intervalInput(context, readInterval(values), () => {
      if (left === 0) return
      left--
      sendEvent(context, { rand_value: randomUint64(context) })
    })
  }
})

function randomUint64({ random }: InputContext): bigint {
  return (randomUint32(random) << 32n) | randomUint32(random)
}

function randomUint32(uniform: () => number): bigint {
  return BigInt(Math.floor(uniform() * 2 ** 32))
}
