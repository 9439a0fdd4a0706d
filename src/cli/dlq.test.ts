/** What `spillway dlq` prints, and what a replay does, in the test's process; test/cli/dlq.test.ts runs the program. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { SmallDisk, systemFailure } from '../../test/harness/faulty_disk.ts'
import { bodiesOf, lettersOf, readLetters, replayOn } from '../../test/harness/letters.ts'
import { Machine } from '../../test/harness/machine.ts'
import { encodeEvent, ODD_EVENTS } from '../../test/harness/odd_events.ts'
import { startPipeline } from '../../test/harness/pipeline.ts'
import { GROUP_END_SECONDS, GROUP_START_SECONDS } from '../record/event.ts'
import { defineOutput, type Plugin } from '../plugin/define.ts'
import { drop, OK, partial, retry } from '../plugin/delivery.ts'
import { type DeadLetter, DeadLetters, type LetterNote } from '../storage/dead_letters.ts'
import { systemDisk } from '../storage/disk.ts'
import { survey } from './dlq_survey.ts'
import { listJson, listText, showLetter } from './dlq_text.ts'

const RECORDED = join(import.meta.dirname, '../../test/data/fluent_bit_chunks/rejected.flb')

const NOTE: LetterNote = {
  tag: 'app.log',
  input: 'tail.0',
  output: 'http.0',
  reason: 'http_400',
  time: '2023-11-14T22:13:20.000Z',
  attempts: 1,
  events: 1
}

const EVENT = encodeEvent([1_700_000_000, 0], { message: 'hi' })

const ALL = { names: [], output: undefined }

/** A folder of letters, in it those that are given. */
function lettersFolder(
  t: TestContext,
  notes: readonly Partial<LetterNote>[],
  limit?: number
): DeadLetters {
  const root = mkdtempSync(join(tmpdir(), 'spillway-dlq-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const letters = new DeadLetters({ disk: systemDisk, folder: join(root, 'rejected'), limit })
  for (const note of notes) {
    const content = Buffer.concat(Array.from({ length: note.events ?? 1 }, () => EVENT))
    letters.keep({ ...NOTE, ...note }, content)
  }
  return letters
}

// --- list

test('list shows the oldest first, in columns, with what is not known as a dash, and a total', t => {
  const letters = lettersFolder(t, [
    { time: '2023-11-14T22:13:22.000Z', reason: 'no_retries: connection_refused', attempts: 12 },
    { time: '2023-11-14T22:13:21.000Z', output: 'backup', input: 'mine', events: 120 }
  ])
  copyFileSync(RECORDED, join(letters.folder, 'app.x_0_http.1_0x7f6724058900.flb'))
  writeFileSync(join(letters.folder, 'not.a.letter'), 'x')
  const { rows, missing } = survey(letters, ALL)
  assert.deepEqual(missing, [])
  assert.equal(
    listText(rows, letters),
    `\
NAME                                  TIME                      OUTPUT  REASON                          ATTEMPTS  RECORDS  BYTES  TAG      INPUT
app.x_0_http.1_0x7f6724058900.flb     -                         http.1  -                                      -        3    144  app.x    -
app.log_0_backup_0x60a24183cc482.flb  2023-11-14T22:13:21.000Z  backup  http_400                               1      120   3000  app.log  mine
app.log_0_http.0_0x60a24183cc481.flb  2023-11-14T22:13:22.000Z  http.0  no_retries: connection_refused        12        1     25  app.log  tail.0
3 letters, 124 records, 3169 bytes
`
  )
})

test('list without a letter is its total, and says how full a limit is', t => {
  const letters = lettersFolder(t, [], 1000)
  assert.equal(
    listText(survey(letters, ALL).rows, letters),
    '0 letters, 0 records, 0 bytes; the files take 0 of 1000 bytes\n'
  )
  letters.keep(NOTE, EVENT)
  const [name] = letters.names()
  const { length } = readFileSync(join(letters.folder, name))
  assert.equal(
    listText(survey(letters, ALL).rows, letters).split('\n').at(-2),
    `1 letter, 1 record, 25 bytes; the files take ${length} of 1000 bytes`
  )
})

test('a file that cannot be read is listed with its problem', t => {
  const letters = lettersFolder(t, [NOTE])
  writeFileSync(join(letters.folder, 'app_0_http.1_0x1.flb'), 'rubbish')
  const { rows } = survey(letters, ALL)
  const [, bad, , total] = listText(rows, letters).split('\n')
  assert.equal(
    bad,
    'app_0_http.1_0x1.flb                  -                         http.1  bad file: it is no chunk file         -        0      0  app      -'
  )
  assert.equal(total, '2 letters, 1 record, 25 bytes, 1 bad file')
  assert.deepEqual(JSON.parse(listJson(rows).split('\n')[0]), {
    name: 'app_0_http.1_0x1.flb',
    time: null,
    output: 'http.1',
    reason: null,
    attempts: null,
    records: 0,
    bytes: 0,
    tag: 'app',
    input: null,
    problem: 'it is no chunk file'
  })
})

test('what a terminal would obey is shown escaped', t => {
  const letters = lettersFolder(t, [{ reason: '\u001b[2Jgone\nand\u009b1A' }])
  const [, line, total] = listText(survey(letters, ALL).rows, letters).split('\n')
  assert.match(line, / {2}\\u001b\[2Jgone\\u000aand\\u009b1A {2}/)
  assert.equal(total, '1 letter, 1 record, 25 bytes')
})

test('list as JSON is one object a line', t => {
  const letters = lettersFolder(t, [{}, { output: 'b' }])
  const lines = listJson(survey(letters, ALL).rows).trimEnd().split('\n')
  assert.deepEqual(
    lines.map(line => JSON.parse(line) as unknown),
    letters.names().map((name, index) => ({
      name,
      time: NOTE.time,
      output: ['b', 'http.0'][index],
      reason: 'http_400',
      attempts: 1,
      records: 1,
      bytes: 25,
      tag: 'app.log',
      input: 'tail.0'
    }))
  )
})

test('names and output choose among the letters, with and without the folder before a name', t => {
  const letters = lettersFolder(t, [{}, { output: 'b' }, { output: 'b' }])
  const [first, second, third] = letters.names()
  const chosen = (names: readonly string[], output?: string): readonly string[] =>
    survey(letters, { names, output }).rows.map(({ name }) => name)
  assert.deepEqual(chosen([], 'b'), [first, second])
  assert.deepEqual(chosen([third, first]), [first, third])
  assert.deepEqual(chosen([third, first], 'b'), [first])
  assert.deepEqual(chosen([], 'nobody'), [])
  assert.deepEqual(chosen([join(letters.folder, second), second]), [second])
})

test('a name that leads elsewhere is the name of no letter', t => {
  const letters = lettersFolder(t, [NOTE])
  const [name] = letters.names()
  const elsewhere = join(letters.folder, '..', name)
  copyFileSync(join(letters.folder, name), elsewhere)
  const names = [elsewhere, `../${name}`, 'nope.flb', '', '.', '..']
  assert.deepEqual(survey(letters, { names, output: undefined }), { rows: [], missing: names })
})

test("a letter of Fluent Bit's belongs to an output whose name cannot be in the name of a file", t => {
  const letters = lettersFolder(t, [{ output: 'my_out' }])
  copyFileSync(RECORDED, join(letters.folder, 'app_0_my_out_0x7f6724058900.flb'))
  const { rows } = survey(letters, { names: [], output: 'my/out' })
  assert.deepEqual(
    rows.map(({ name }) => name),
    ['app_0_my_out_0x7f6724058900.flb']
  )
})

// --- show

/** Text of a letter and the sizes of the pieces that it came in. */
function shown(letter: DeadLetter, options = {}): { text: string; pieces: number[] } {
  const pieces: Buffer[] = []
  showLetter(letter, options, piece => pieces.push(Buffer.from(piece)))
  return { text: Buffer.concat(pieces).toString('latin1'), pieces: pieces.map(p => p.length) }
}

function letterWith(events: readonly Buffer[], note: Partial<LetterNote> = {}): DeadLetter {
  return {
    name: 'x.flb',
    note: { ...NOTE, events: events.length, ...note },
    content: Buffer.concat(events),
    problem: undefined
  }
}

test('show prints the note, then the events', () => {
  const { text } = shown(letterWith([EVENT, EVENT], { tag: 'a"b' }))
  assert.equal(
    text,
    `\
{"letter":{"name":"x.flb","time":"2023-11-14T22:13:20.000Z","output":"http.0","reason":"http_400","attempts":1,"records":2,"bytes":50,"tag":"a\\"b","input":"tail.0"}}
{"tag":"a\\"b","date":1700000000.0,"message":"hi"}
{"tag":"a\\"b","date":1700000000.0,"message":"hi"}
`
  )
})

for (const escape of ['on', 'off']) {
  test(`events are shown as the output stdout prints them, with json.escape_unicode ${escape}`, async t => {
    const machine = new Machine(t)
    const content = Buffer.concat([
      ...ODD_EVENTS,
      encodeEvent([GROUP_START_SECONDS, 0], { group: 1 }, { resource: 'r' }),
      EVENT,
      encodeEvent([GROUP_END_SECONDS, 0], {}),
      EVENT
    ])
    lettersOf(machine).keep({ ...NOTE, output: 'stdout.0' }, content)
    const run = await startPipeline(
      `[SERVICE]\n    json.escape_unicode  ${escape}\n[INPUT]\n    name  lib\n[OUTPUT]\n    name  stdout\n    match  *\n    format  json_lines\n`
    )
    const [letter] = readLetters(machine)
    const { allDelivered } = await replayOn(machine, run)
    assert.equal(allDelivered, true)
    const { text } = shown(letter, { escapeUnicode: escape === 'on' })
    const events = text.slice(text.indexOf('\n') + 1)
    assert.equal(
      events.replaceAll('{"tag":"app.log",', '{'),
      Buffer.from(run.stdout).toString('latin1')
    )
    assert.equal(events.match(/^\{"tag":"app\.log",/gm)?.length, ODD_EVENTS.length + 2)
    await run.stop()
  })
}

test('a large letter is shown in pieces', () => {
  const event = encodeEvent([1_700_000_000, 0], { text: 'x'.repeat(1000) })
  const { text, pieces } = shown(letterWith(Array.from({ length: 3000 }, () => event)))
  assert.equal(text.split('\n').length, 3002)
  assert.ok(pieces.length > 40 && Math.max(...pieces) < 70_000, String(pieces))
})

test('a letter without a readable event is shown as its note', () => {
  const { text } = shown({ ...letterWith([]), problem: 'its end is missing' })
  assert.deepEqual(JSON.parse(text), {
    letter: {
      name: 'x.flb',
      time: NOTE.time,
      output: 'http.0',
      reason: 'http_400',
      attempts: 1,
      records: 0,
      bytes: 0,
      tag: 'app.log',
      input: 'tail.0',
      problem: 'its end is missing'
    }
  })
})

// --- replay

const OUTPUT = `
[OUTPUT]
    name         target
    match        *
    alias        main
    retry_limit  2
`

const KEEPING = `
[SERVICE]
    storage.path           STORE
    storage.keep.rejected  on
[INPUT]
    name  source
    tag   app.log
${OUTPUT}`

const SECOND = OUTPUT.replace('main', 'second')

const range = (from: number, to: number): { n: number }[] =>
  Array.from({ length: to - from }, (_, index) => ({ n: from + index }))

/** Puts a letter with these events into the store of a machine; gives its name. */
function put(
  machine: Machine,
  bodies: readonly { n: number }[],
  note: Partial<LetterNote> = {}
): string {
  const letters = lettersOf(machine)
  const before = new Set(letters.names())
  const events = bodies.map(body => encodeEvent([1_700_000_000, 0], body))
  letters.keep({ ...NOTE, output: 'main', ...note, events: events.length }, Buffer.concat(events))
  return letters.names().find(name => !before.has(name)) ?? ''
}

test('a letter goes to the output that gave it up, by alias or by name', async t => {
  const machine = new Machine(t)
  const byAlias = put(machine, range(0, 2), { output: 'second' })
  const byName = put(machine, range(2, 3), { output: 'target.0' })
  const run = await machine.start(KEEPING + SECOND)
  const { lines, allDelivered } = await replayOn(machine, run)
  assert.deepEqual(lines.toSorted(), [
    '2 letters: 2 delivered',
    `${byAlias}: 2 records delivered to second`,
    `${byName}: 1 record delivered to main`
  ])
  assert.equal(allDelivered, true)
  assert.deepEqual(machine.taken('second'), range(0, 2))
  assert.deepEqual(machine.taken('main'), range(2, 3))
  assert.deepEqual(machine.files('.flb'), [])
  await run.stop()
})

test('tag, events and the name of the letter are what the output sees', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 1), { tag: 'other' })
  const run = await machine.start(KEEPING)
  await replayOn(machine, run)
  assert.deepEqual(machine.arrivals, [
    { output: 'main', id: name, tag: 'other', bodies: range(0, 1), attempt: 1 }
  ])
  await run.stop()
})

test('--to sends all letters to another output, --output and names choose', async t => {
  const machine = new Machine(t)
  const [first, second, third] = [
    put(machine, range(0, 1), { output: 'gone' }),
    put(machine, range(1, 2)),
    put(machine, range(2, 3))
  ]
  const run = await machine.start(KEEPING + SECOND)
  assert.deepEqual(await replayOn(machine, run, { output: 'gone', to: 'second' }), {
    lines: [`${first}: 1 record delivered to second`, '1 letter: 1 delivered'],
    allDelivered: true
  })
  assert.deepEqual(await replayOn(machine, run, { names: [third], to: 'target.1' }), {
    lines: [`${third}: 1 record delivered to second`, '1 letter: 1 delivered'],
    allDelivered: true
  })
  assert.deepEqual(lettersOf(machine).names(), [second])
  assert.deepEqual(machine.taken('second'), [{ n: 0 }, { n: 2 }])
  await run.stop()
})

test('letters without an output that is there, or with a problem, are not sent', async t => {
  const machine = new Machine(t)
  const gone = put(machine, range(0, 1), { output: 'gone' })
  const good = put(machine, range(1, 2))
  machine.write('rejected/bad_0_main_0x1.flb', 'rubbish')
  machine.write('rejected/unknown.flb', readFileSync(RECORDED))
  const run = await machine.start(KEEPING)
  const { lines, allDelivered } = await replayOn(machine, run)
  assert.deepEqual(lines, [
    'bad_0_main_0x1.flb: not sent: it is no chunk file',
    'unknown.flb: not sent: it does not say which output gave it up; --to names one',
    `${gone}: not sent: the configuration has no output "gone"; --to names another`,
    `${good}: 1 record delivered to main`,
    '4 letters: 1 delivered, 3 not'
  ])
  assert.equal(allDelivered, false)
  assert.deepEqual(machine.taken('main'), [{ n: 1 }])
  await run.stop()
})

test("a letter of Fluent Bit's is sent to the output in its name, with the tag in its name", async t => {
  const machine = new Machine(t)
  machine.write('rejected/app.rejected_0_my_out_0x7f6724058900.flb', readFileSync(RECORDED))
  const run = await machine.start(KEEPING.replace('main', 'my/out'))
  const { allDelivered } = await replayOn(machine, run)
  assert.equal(allDelivered, true)
  assert.deepEqual(
    machine.arrivals.map(({ tag, bodies }) => [tag, bodies]),
    [['app.rejected', Array.from({ length: 3 }, () => ({ message: 'nobody takes it' }))]]
  )
  await run.stop()
})

test('processors of the output, which have had the events, do not run again', async t => {
  const machine = new Machine(t)
  machine.answer = () => drop('bad')
  const run = await machine.start(
    `
service: { storage.path: STORE, storage.keep.rejected: on }
pipeline:
  inputs:
    - { name: source, tag: app }
  outputs:
    - name: target
      match: '*'
      processors: { logs: [ { name: modify, rename: 'n m', add: 'times 1' } ] }
`,
    { yaml: true }
  )
  machine.push('app', { n: 1 })
  run.flush()
  machine.answer = () => OK
  await replayOn(machine, run)
  assert.deepEqual(machine.taken(), [{ m: 1, times: '1' }])
  await run.stop()
})

test('what is refused again stays as it is, and makes no other letter', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 3))
  const before = machine.read(`rejected/${name}`)
  machine.answer = () => drop('still bad')
  const run = await machine.start(KEEPING)
  const { lines } = await replayOn(machine, run)
  assert.deepEqual(lines, [
    `${name}: not delivered to main: still bad`,
    '1 letter: 0 delivered, 1 not'
  ])
  assert.deepEqual(lettersOf(machine).names(), [name])
  assert.deepEqual(machine.read(`rejected/${name}`), before)
  await run.stop()
})

test('an output that fails gets its retries', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 1))
  machine.answer = ({ attempt }) => (attempt === 3 ? OK : retry('busy'))
  const run = await machine.start(KEEPING)
  const { lines } = await replayOn(machine, run)
  assert.deepEqual(lines, [`${name}: 1 record delivered to main`, '1 letter: 1 delivered'])
  assert.deepEqual(
    run.log.filter(line => line.includes(name)),
    [
      `[ warn] [engine] failed to flush chunk '${name}', retry in 9 seconds: task_id=0, input=tail.0 > output=main (out_id=0)`,
      `[ warn] [engine] failed to flush chunk '${name}', retry in 14 seconds: task_id=0, input=tail.0 > output=main (out_id=0)`,
      `[ info] [engine] flush chunk '${name}' succeeded at retry 2: task_id=0, input=tail.0 > output=main (out_id=0)`
    ]
  )
  await run.stop()
})

test('retries have an end', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 1))
  machine.answer = () => retry('busy')
  const run = await machine.start(KEEPING)
  const { lines } = await replayOn(machine, run)
  assert.equal(lines[0], `${name}: not delivered to main: retries_exhausted`)
  assert.equal(machine.arrivals.length, 3)
  await run.stop()
})

test('of a letter that is taken in part, what was not taken is left', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 10))
  const { note } = readLetters(machine)[0]
  machine.answer = ({ attempt }) =>
    attempt === 1
      ? partial({
          retry: [1, 8],
          reason: 'busy',
          drop: [
            { reason: 'too large', events: [5] },
            { reason: 'bad', events: [0, 9] }
          ]
        })
      : retry('busy')
  const run = await machine.start(KEEPING)
  const { lines, allDelivered } = await replayOn(machine, run)
  assert.deepEqual(lines, [
    `${name}: 5 of 10 records delivered to main, 5 not: too large (1), bad (2), retries_exhausted (2)`,
    '1 letter: 0 delivered, 1 not'
  ])
  assert.equal(allDelivered, false)
  const left = [0, 1, 5, 8, 9].map(n => ({ n }))
  const letters = readLetters(machine)
  assert.deepEqual(letters.map(bodiesOf), [left])
  assert.deepEqual(letters[0].note, { ...note, events: 5 })
  assert.equal(letters[0].name, name)
  machine.answer = () => OK
  await replayOn(machine, run)
  assert.deepEqual(
    machine.taken('main'),
    [2, 3, 4, 6, 7, 0, 1, 5, 8, 9].map(n => ({ n }))
  )
  await run.stop()
})

test('an output that takes nothing for the time of --timeout gets no more letters', async t => {
  const machine = new Machine(t)
  const names = range(0, 10).map(body => put(machine, [body]))
  machine.answer = () => retry('busy')
  const run = await machine.start(KEEPING.replace('limit  2', 'limit  no_limits'))
  const { lines, allDelivered } = await replayOn(machine, run, { idleSeconds: 30 })
  assert.deepEqual(lines, [
    ...names.map(name => `${name}: not delivered to main: it took nothing for 30 seconds`),
    '10 letters: 0 delivered, 10 not'
  ])
  assert.equal(allDelivered, false)
  // Two letters were still waiting for one of the first eight to end.
  assert.equal(new Set(machine.arrivals.map(({ id }) => id)).size, 8)
  const sent = machine.arrivals.length
  await run.clock.advanceSlowly(600_000, 10_000)
  assert.equal(machine.arrivals.length, sent)
  assert.equal(readLetters(machine).length, 10)
  await run.stop()
})

test('an output that never answers holds up no other, and its late answer is of no interest', async t => {
  const machine = new Machine(t)
  const silent = put(machine, range(0, 1))
  const others = range(1, 21).map(body => put(machine, [body], { output: 'second' }))
  const answer = Promise.withResolvers<unknown>()
  machine.answer = ({ output }) => (output === 'main' ? answer.promise : OK)
  const run = await machine.start(KEEPING + SECOND)
  const { lines } = await replayOn(machine, run, { idleSeconds: 60 })
  assert.deepEqual(lines, [
    ...others.map(name => `${name}: 1 record delivered to second`),
    `${silent}: not delivered to main: it took nothing for 60 seconds`,
    '21 letters: 20 delivered, 1 not'
  ])
  answer.resolve(OK)
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(lettersOf(machine).names(), [silent])
  await run.stop()
})

test('letters that fail again and again do not hold up those behind them', async t => {
  const machine = new Machine(t)
  const names = range(0, 30).map(body => put(machine, [body]))
  const isPoison = (n: number): boolean => n < 5
  machine.answer = ({ bodies: [body] }) =>
    isPoison((body as { n: number }).n) ? retry('choked') : OK
  const run = await machine.start(KEEPING.replace('limit  2', 'limit  no_limits'))
  const { lines } = await replayOn(machine, run, { idleSeconds: 100 })
  assert.deepEqual(lines, [
    ...names.slice(5).map(name => `${name}: 1 record delivered to main`),
    ...names
      .slice(0, 5)
      .map(name => `${name}: not delivered to main: it took nothing for 100 seconds`),
    '30 letters: 25 delivered, 5 not'
  ])
  assert.deepEqual(machine.taken('main'), range(5, 30))
  await run.stop()
})

test('what was taken in part when the time is over is cut from the letter', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 4))
  machine.answer = ({ attempt }) =>
    attempt === 1
      ? partial({ retry: [1, 3], reason: 'busy', drop: [{ reason: 'bad', events: [0] }] })
      : retry('busy')
  const run = await machine.start(KEEPING.replace('limit  2', 'limit  no_limits'))
  const { lines } = await replayOn(machine, run, { idleSeconds: 30 })
  assert.equal(
    lines[0],
    `${name}: 1 of 4 records delivered to main, 3 not: bad (1), it took nothing for 30 seconds (2)`
  )
  assert.deepEqual(readLetters(machine).map(bodiesOf), [[{ n: 0 }, { n: 1 }, { n: 3 }]])
  await run.stop()
})

test('until an output has answered, the letter is there: whoever is killed sends it again', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 4))
  const before = machine.read(`rejected/${name}`)
  const answer = Promise.withResolvers<unknown>()
  machine.answer = () => answer.promise
  const run = await machine.start(KEEPING)
  const replaying = replayOn(machine, run)
  await run.until(() => machine.arrivals.length === 1)
  assert.deepEqual(machine.read(`rejected/${name}`), before)
  answer.resolve(OK)
  await replaying
  assert.deepEqual(lettersOf(machine).names(), [])
  await run.stop()
})

test('a running agent on the same storage.path is left alone', async t => {
  const machine = new Machine(t)
  put(machine, range(0, 1))
  machine.answer = ({ tag }) => (tag === 'app.log' ? OK : retry('busy'))
  const run = await machine.start(
    KEEPING.replace('tag   app.log', 'tag   other\n    storage.type  filesystem').replace(
      'limit  2',
      'limit  no_limits'
    )
  )
  machine.push('other', { n: 9 })
  run.flush()
  const [chunk] = machine.chunkFiles()
  const before = machine.read(chunk)
  const { allDelivered } = await replayOn(machine, run)
  assert.equal(allDelivered, true)
  assert.deepEqual(machine.files(), [chunk])
  assert.deepEqual(machine.read(chunk), before)
  machine.answer = () => OK
  await run.clock.advanceSlowly(60_000, 1000)
  assert.deepEqual(machine.taken('main'), [{ n: 0 }, { n: 9 }])
  await run.stop()
})

test('a rest that cannot be written leaves the letter whole, and is said', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 2))
  const before = machine.read(`rejected/${name}`)
  machine.answer = () => partial({ drop: [{ reason: 'bad', events: [1] }] })
  const small = new SmallDisk()
  small.room = 20
  const run = await machine.start(KEEPING)
  const { lines, allDelivered } = await replayOn(machine, run, { disk: small.disk })
  assert.deepEqual(lines, [
    `${name}: 1 of 2 records delivered to main, 1 not: bad; the letter stays as it was: No space left on device`,
    '1 letter: 0 delivered, 1 not'
  ])
  assert.equal(allDelivered, false)
  assert.deepEqual(machine.read(`rejected/${name}`), before)
  await run.stop()
})

test('a letter that cannot be removed was delivered and is said', async t => {
  const machine = new Machine(t)
  const name = put(machine, range(0, 2))
  const remove = (): void => {
    throw systemFailure('EACCES', -13, 'unlink')
  }
  const run = await machine.start(KEEPING)
  const { lines } = await replayOn(machine, run, { disk: { ...systemDisk, remove } })
  assert.deepEqual(lines, [
    `${name}: 2 records delivered to main; the letter stays as it was: Permission denied`,
    '1 letter: 0 delivered, 1 not'
  ])
  await run.stop()
})

test('of two replays at once, the slower one finds its letters gone', async t => {
  const machine = new Machine(t)
  const names = range(0, 12).map(body => put(machine, [body]))
  const answer = Promise.withResolvers<unknown>()
  machine.answer = () => answer.promise
  const run = await machine.start(KEEPING)
  const slow = replayOn(machine, run)
  await run.until(() => machine.arrivals.length === 1)
  for (const name of names) lettersOf(machine).remove(name)
  answer.resolve(OK)
  const { lines } = await slow
  assert.deepEqual(lines, [
    `${names[0]}: 1 record delivered to main`,
    ...names.slice(8).map(name => `${name}: not sent: No such file or directory`),
    ...names.slice(1, 8).map(name => `${name}: 1 record delivered to main`),
    '12 letters: 8 delivered, 4 not'
  ])
  await run.stop()
})

test('an output that cannot start gets nothing, and the others do', async t => {
  const machine = new Machine(t)
  let mayStart = true
  const moody: Plugin = defineOutput({
    name: 'moody',
    summary: 'Cannot start twice',
    options: {},
    create: () => ({
      start() {
        if (!mayStart) throw new Error('the port is taken')
        mayStart = false
      },
      flush: () => OK
    })
  })
  const refused = put(machine, range(0, 1), { output: 'moody.1' })
  const taken = put(machine, range(1, 2))
  const run = await machine.start(`${KEEPING}[OUTPUT]\n    name  moody\n    match  *\n`, {
    plugins: [moody]
  })
  const { lines } = await replayOn(machine, run)
  assert.deepEqual(lines.toSorted(), [
    '2 letters: 1 delivered, 1 not',
    `${taken}: 1 record delivered to main`,
    `${refused}: not sent: moody.1 cannot start: the port is taken`
  ])
  await run.stop()
})

test('only outputs that have letters are started, and they are stopped', async t => {
  const machine = new Machine(t)
  const calls: string[] = []
  const watched: Plugin = defineOutput({
    name: 'watched',
    summary: 'Says what is called',
    options: {},
    create: (_, { label }) => ({
      start: () => void calls.push(`start ${label}`),
      flush: () => {
        calls.push(`flush ${label}`)
        return OK
      },
      stop: () => void calls.push(`stop ${label}`)
    })
  })
  const output = (alias: string): string =>
    `[OUTPUT]\n    name  watched\n    match  *\n    alias  ${alias}\n`
  const run = await machine.start(KEEPING.replace(OUTPUT, output('a') + output('b')), {
    plugins: [watched]
  })
  put(machine, range(0, 1), { output: 'b' })
  calls.length = 0
  await replayOn(machine, run)
  assert.deepEqual(calls, ['start b', 'flush b', 'stop b'])
  await run.stop()
})

test('a replay without letters says so and makes no folder', async t => {
  const machine = new Machine(t)
  const run = await machine.start(KEEPING)
  assert.deepEqual(await replayOn(machine, run), {
    lines: ['0 letters: 0 delivered'],
    allDelivered: true
  })
  assert.equal(existsSync(join(machine.store, 'rejected')), false)
  mkdirSync(join(machine.store, 'rejected'))
  assert.deepEqual(await replayOn(machine, run), {
    lines: ['0 letters: 0 delivered'],
    allDelivered: true
  })
  await run.stop()
})
