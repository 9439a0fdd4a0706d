/** A Prometheus scrapes the program; promtool finds no more to say of its text than of Fluent Bit's. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, listens, needs } from '../harness/peers.ts'
import { promtoolComplaints, startPrometheus } from '../harness/peers/prometheus.ts'
import { folder, RunningProgram } from '../harness/process.ts'

const V1 = '/api/v1/metrics/prometheus'
const V2 = '/api/v2/metrics/prometheus'

const RECORDED = join(import.meta.dirname, '../data/monitoring')

/** Fluent Bit's text; see README.md beside it. */
function recorded(path: string): string {
  const answers = JSON.parse(readFileSync(join(RECORDED, 'full.json'), 'utf8')) as {
    path: string
    body: string
  }[]
  return answers.find(answer => answer.path === path)?.body ?? ''
}

test('Prometheus scrapes both texts', needs('prometheus', 'promtool'), async t => {
  const port = await freePort()
  const directory = folder(t, {
    'app.log': 'keep one\nkeep two\ndrop three\n',
    'fluent-bit.conf': readFileSync(join(RECORDED, 'full.conf'), 'utf8')
  })
  const environment = { PORT: String(port), FOLDER: directory }
  const program = new RunningProgram(t, directory, ['-c', 'fluent-bit.conf'], environment)
  await program.until(() => listens(port))
  const prometheus = await startPrometheus(t, [
    { name: 'v1', port, path: V1 },
    { name: 'v2', port, path: V2 }
  ])
  const { peer } = prometheus
  // The last thing that happens; both jobs have seen it.
  const given = 'sum(fluentbit_output_retries_failed_total{name="http.2"})'
  await peer.until(async () => (await prometheus.query(given))['{}'] === 2, 20_000)

  const good = { health: 'up', lastError: '' }
  assert.deepEqual(
    (await prometheus.targets()).toSorted((a, b) => (a.job < b.job ? -1 : 1)),
    [
      { job: 'v1', ...good },
      { job: 'v2', ...good }
    ]
  )
  for (const job of ['v1', 'v2']) {
    const query = (metric: string): Promise<unknown> => prometheus.query(`${metric}{job="${job}"}`)
    assert.deepEqual(await query('fluentbit_output_proc_records_total'), {
      '{"name":"stdout.0"}': 2,
      '{"name":"null.1"}': 2,
      '{"name":"http.2"}': 0,
      '{"name":"file.3"}': 0
    })
    assert.deepEqual(await query('fluentbit_filter_drop_records_total'), {
      '{"name":"grep.0"}': 1,
      '{"name":"rewrite_tag.1"}': 2
    })
    // Out of order, of two values at once, or without a place.
    assert.deepEqual(await prometheus.query(`min_over_time(up{job="${job}"}[1h])`), { '{}': 1 })
  }
  assert.deepEqual(
    await prometheus.query('fluentbit_routing_logs_drop_records_total{job="v2"} > 0'),
    {
      '{"input":"emitter_for_rewrite_tag.1","output":"file.3"}': 2,
      '{"input":"tail.0","output":"http.2"}': 2
    }
  )
  assert.doesNotMatch(peer.output, /level=(?:warn|error)|scrape.*(?:fail|error)/i)

  for (const path of [V1, V2]) {
    const ours = await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
    const complaints = await promtoolComplaints(t, ours)
    const theirs = await promtoolComplaints(t, recorded(path))
    assert.deepEqual(new Set(complaints).difference(new Set(theirs)), new Set(), path)
  }
  program.child.kill('SIGTERM')
  assert.equal((await program.ended).code, 0)
})
