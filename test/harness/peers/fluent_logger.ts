/** fluent-logger of Python, which sends by the forward protocol. */
import type { TestContext } from 'node:test'
import { runPeer } from '../peers.ts'

export interface FluentLoggerEvent {
  /** Seconds since 1970, or seconds and nanoseconds: an event time. */
  readonly time: number | readonly [seconds: number, nanoseconds: number]
  readonly record: object
}

const SCRIPT = `
import json, sys
from fluent.sender import EventTime, FluentSender
port, tag, events = json.load(sys.stdin)
sender = FluentSender(tag, host='127.0.0.1', port=port)
for event in events:
    time = EventTime(*event['time']) if isinstance(event['time'], list) else event['time']
    if not sender.emit_with_time(None, time, event['record']):
        sys.exit(str(sender.last_error))
sender.close()
`

/** Sends events, each in a message of its own, to a port of 127.0.0.1. */
export async function sendByFluentLogger(
  t: TestContext,
  port: number,
  tag: string,
  events: readonly FluentLoggerEvent[]
): Promise<void> {
  await runPeer(t, {
    program: 'fluent-logger-python',
    args: ['-c', SCRIPT],
    input: JSON.stringify([port, tag, events])
  })
}
