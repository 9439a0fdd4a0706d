/**
 * Events with what syslog and GELF look at: levels by number and name, maps for structured data, texts that need escapes
 * or are too long. Their keys are those that the tests of these outputs name in their configurations.
 */
import { type Body, Encoded, encodeEvent, ODD_EVENTS } from './odd_events.ts'

const BODIES: readonly Body[] = [
  {
    message: 'all of it',
    host: 'edge-7',
    app: 'api',
    pid: 42,
    id: 'ID47',
    severity: 3,
    facility: 4
  },
  { message: 'by name', severity: 'EMERG', facility: 'local7' },
  { message: 'by digits', severity: '4', facility: '23' },
  { message: 'past the last', severity: 8, facility: 24 },
  { message: 'no name', severity: 'fatal', facility: 'mine' },
  { message: 'level', level: 'Warning', short_message: 'level', full_message: 'long\nlong' },
  { message: 'level', level: '3', short_message: 'level' },
  { message: 'level', level: 9, short_message: 'level' },
  { message: 'level', level: -1, short_message: 'a negative level' },
  { message: 'level', level: null, short_message: 'null is no level' },
  { message: '<13>a message of its own', host: 'edge-7' },
  { message: '', host: '', app: '', pid: '', id: '' },
  { message: 'numbers', host: -1.5, app: true, pid: 2n ** 64n - 1n, id: new Encoded('ca3fc00000') },
  { host: 'no message' },
  {
    message: 'data',
    sd: { name: 'a "quoted" \\ ] text', 'n=1 ]"ё': 5, yes: true, half: 0.5, none: null, list: [1] },
    'other sd]="': {},
    not_sd: { a: 1 },
    short_message: 'maps',
    timestamp: '12.5'
  },
  {
    message: 'long names',
    'sd-with-a-name-that-has-more-than-32-bytes': { 'and-a-key-with-more-than-32-bytes-too': 1 }
  },
  { message: 'é'.repeat(600), host: 'h'.repeat(300), app: 'a'.repeat(60), id: 'i'.repeat(40) },
  [
    ['message', 'first'],
    ['message', 'second'],
    ['short_message', 'first'],
    ['short_message', 'second'],
    ['host', { name: 'a map' }],
    ['host', 'text']
  ],
  [
    [new Encoded('c4076d657373616765'), new Encoded('c40568fffe6c6f')],
    [new Encoded('c40d73686f72745f6d657373616765'), new Encoded('c40568fffe6c6f')]
  ],
  {
    short_message: {
      deep: { er: { 'k e y': 1 }, list: [{ a: 1, b: { c: 'd "q"' } }, [2, null], true] }
    },
    id: 'left out',
    _id: 'kept',
    ext: new Encoded('c703050180ff'),
    none: null,
    list: [],
    text: 'quotes " \\ and ё \u{1f600}',
    float32: new Encoded('ca3fc00000'),
    nested: { none: null, big: 1e300, bool: false }
  }
]

/** Some from a day of one digit, all with the time of the record in other digits. */
export const MESSAGE_EVENTS: readonly Buffer[] = [
  ...BODIES.map((body, index) =>
    encodeEvent([1_696_200_000 + index * 400_000, index * 1_234_567], body)
  ),
  ...ODD_EVENTS
]
