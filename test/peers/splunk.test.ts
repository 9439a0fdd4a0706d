/** Programs that send to Splunk, and the input splunk. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Logger } from 'splunk-logging'
import { startHttpInput } from '../harness/http_input.ts'
import { needs, runPeer } from '../harness/peers.ts'

const CONTENT_TYPES = ['application/json', 'text/plain', 'application/x-www-form-urlencoded']

test('splunk-logging sends events, one at a time and in batches', async t => {
  const input = await startHttpInput(t, 'splunk', 'splunk_token tok-1')
  const send = async (
    token: string,
    maxBatchCount: number,
    ...messages: string[]
  ): Promise<string> =>
    new Promise((resolve, reject) => {
      const logger = new Logger({ token, url: input.url, maxBatchCount })
      logger.error = reject
      for (const [index, message] of messages.entries()) {
        const isLast = index === messages.length - 1
        logger.send(
          { message, severity: 'info', metadata: { host: 'edge-7', time: 1.5 } },
          (_error, _response, body) => {
            if (isLast) resolve(JSON.stringify(body))
          }
        )
      }
    })
  const success = '{"text":"Success","code":0}'
  assert.equal(await send('tok-1', 1, 'alone'), success)
  assert.equal(await send('tok-1', 3, 'one', 'two', 'three'), success)
  const event = (message: string): unknown => ({
    time: '1.500',
    host: 'edge-7',
    event: { message, severity: 'info' }
  })
  assert.deepEqual(input.events(), { in: ['alone', 'one', 'two', 'three'].map(event) })
})

test('curl sends events over HTTP/1.1 and HTTP/2, as pieces and packed', needs('curl'), async t => {
  const input = await startHttpInput(
    t,
    'splunk',
    'splunk_token tok-1\n  add_remote_addr on\n  remote_addr_key from'
  )
  const url = `${input.url}/services/collector/event`
  const token = ['-H', 'Authorization: Splunk tok-1', '-H', 'X-Forwarded-For: 10.0.0.1']
  for (const options of [
    ['--http1.1'],
    ['--http2-prior-knowledge'],
    ['--http1.1', '-H', 'Transfer-Encoding: chunked'],
    ['--http1.1', '-H', 'Expect: 100-continue'],
    ...CONTENT_TYPES.map(type => ['-H', `Content-Type: ${type}`])
  ]) {
    const args = ['-sS', ...options, ...token, '--data-binary', '@-', url]
    const { stdout } = await runPeer(t, { program: 'curl', args, input: '{"event":1}' })
    assert.equal(stdout, '{"text":"Success","code":0}', options.join(' '))
  }
  const record = { event: 1, from: '10.0.0.1' }
  const text = { log: '{"event":1}', from: '10.0.0.1' }
  assert.deepEqual(input.events(), {
    in: [record, record, record, record, record, text, record]
  })
  const refused = await runPeer(t, {
    program: 'curl',
    args: ['-sS', '-w', ' %{http_code}', '--data-binary', '@-', url],
    input: `{"event":"${'x'.repeat(3_000_000)}"}`
  })
  assert.equal(refused.stdout, '{"text":"Token is required","code":2} 401')
})
