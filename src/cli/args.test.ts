import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConfigDocument, MapEntry, Section } from '../config/model.ts'
import { type Command, parseArguments, type RunCommand } from './args.ts'
import { type DlqCommand, parseCommandLine, type TextCommand } from './commands.ts'

function run(...argv: string[]): RunCommand {
  const command = parseArguments(argv)
  assert.equal(command.kind, 'run')
  return command
}

/** `key=value@column` for each entry. */
function entries(list: readonly MapEntry[]): string[] {
  return list.map(({ key, value }) => {
    assert.equal(value.kind, 'scalar')
    return value.kind === 'scalar' ? `${key}=${value.text}@${value.at.column}` : ''
  })
}

function sections(list: readonly Section[]): string[][] {
  return list.map(section => entries(section.entries))
}

function notices(command: RunCommand): string[] {
  return command.notices.map(({ message, at }) => `${at.column}: ${message}`)
}

const EMPTY_DOCUMENT: ConfigDocument = {
  env: [],
  service: [],
  customs: [],
  inputs: [],
  filters: [],
  outputs: [],
  parsers: [],
  multilineParsers: [],
  streamTasks: [],
  upstreams: [],
  plugins: [],
  others: []
}

test('an empty command line runs an empty pipeline at info level', () => {
  assert.deepEqual(parseArguments([]), {
    kind: 'run',
    configFile: undefined,
    document: EMPTY_DOCUMENT,
    logLevel: 'info',
    logLevelFixed: false,
    dryRun: false,
    daemon: false,
    strict: false,
    supervisor: false,
    sosReport: false,
    workdir: undefined,
    trace: undefined,
    notices: []
  })
})

test('-p, -t and -m belong to the plugin named last', () => {
  const line = `-i tail -p Path=/var/log/*.log -t app -F grep -m app.* -p regex=log;a=b -o stdout -m *
 -i dummy -p dummy={"a":1} -C calyptia -p api_key=x`
  const { document, notices: none } = run(...line.split(/\s+/))
  assert.deepEqual(sections(document.inputs), [
    ['name=tail@4', 'path=/var/log/*.log@17', 'tag=app@35'],
    ['name=dummy@91', 'dummy={"a":1}@106']
  ])
  assert.deepEqual(sections(document.filters), [
    ['name=grep@42', 'match=app.*@50', 'regex=log;a=b@65']
  ])
  assert.deepEqual(sections(document.outputs), [['name=stdout@76', 'match=*@86']])
  assert.deepEqual(sections(document.customs), [['name=calyptia@117', 'api_key=x@137']])
  assert.deepEqual(none, [])
})

test('a section and its entries carry the key as written and their place in the joined line', () => {
  const [input] = run('-i', 'tail', '-p', ' Mem_Buf_Limit = 5M ').document.inputs
  const at = (column: number): object => ({ file: 'command line', line: 1, column })
  assert.deepEqual(input, {
    kind: 'input',
    title: 'input',
    at: at(4),
    entries: [
      {
        key: 'name',
        writtenKey: 'name',
        at: at(4),
        value: { kind: 'scalar', text: 'tail', quoted: false, at: at(4) }
      },
      {
        key: 'mem_buf_limit',
        writtenKey: 'Mem_Buf_Limit',
        at: at(13),
        value: { kind: 'scalar', text: '5M', quoted: false, at: at(29) }
      }
    ],
    groups: []
  })
})

const serviceOptions: [string[], string[]][] = [
  [['-f', '5'], ['flush=5@4']],
  [['--flush=0.2'], ['flush=0.2@9']],
  [['-l', '/x.log'], ['log_file=/x.log@4']],
  [
    ['-R', 'a.conf', '--parser', 'b.conf'],
    ['parsers_file=a.conf@4', 'parsers_file=b.conf@20']
  ],
  [['-d'], ['daemon=on@2']],
  [['-b', '/buf'], ['storage.path=/buf@4']],
  [['-H'], ['http_server=on@2']],
  [['-L', '::1'], ['http_listen=::1@4']],
  [['-P', '2021'], ['http_port=2021@4']],
  [['-s', '65536'], ['coro_stack_size=65536@4']],
  [['-Y'], ['hot_reload=on@2']],
  [['-W'], ['hot_reload.ensure_thread_safety=off@2']],
  [['-Z'], ['enable_chunk_trace=on@2']],
  [['--enable-fips'], ['security.fips_mode=on@1']]
]

for (const [argv, expected] of serviceOptions) {
  test(`"${argv.join(' ')}" sets ${expected.join(' and ')} in the service section`, () => {
    assert.deepEqual(entries(run(...argv).document.service), expected)
  })
}

test('files, folders and switches are taken as written, the last one counts', () => {
  const line = '-c a.conf -c b.yaml -w /tmp -e x.ts -e y.ts -D -d --strict'
  const command = run(...line.split(' '))
  assert.equal(command.configFile, 'b.yaml')
  assert.equal(command.workdir, '/tmp')
  assert.deepEqual(
    command.document.plugins.map(plugin => plugin.path.text),
    ['x.ts', 'y.ts']
  )
  assert.deepEqual([command.dryRun, command.daemon, command.strict], [true, true, true])
})

const levels: [string[], string | undefined, string, boolean][] = [
  [[], undefined, 'info', false],
  [['-v'], undefined, 'debug', false],
  [['-vv'], undefined, 'trace', false],
  [['-vvvv'], undefined, 'trace', false],
  [['-q'], undefined, 'off', false],
  [['-v', '-q'], undefined, 'off', false],
  [['-q', '-v'], undefined, 'error', false],
  [['-q'], 'Warning', 'warn', true],
  [['-v'], 'off', 'off', true],
  [['-v'], 'loud', 'debug', false]
]

for (const [argv, variable, level, fixed] of levels) {
  test(`"${argv.join(' ')}" with FLB_LOG_LEVEL=${variable} logs at ${level}`, () => {
    const command = parseArguments(argv, { logLevel: variable })
    assert.equal(command.kind, 'run')
    const { logLevel, logLevelFixed } = command
    assert.deepEqual([logLevel, logLevelFixed], [level, fixed])
  })
}

const immediate: [string[], Command][] = [
  [['-V', '-k'], { kind: 'version' }],
  [['-c', 'a.conf', '--version', '-h'], { kind: 'version' }],
  [['-h', '-i', 'tail'], { kind: 'help', format: 'text' }],
  [['-J'], { kind: 'help', format: 'json' }],
  [
    ['-i', 'dummy', '-F', ' grep', '-h'],
    { kind: 'pluginHelp', format: 'text', pluginKind: 'filter', name: 'grep' }
  ],
  [
    ['-r', 'labels', '-J'],
    { kind: 'pluginHelp', format: 'json', pluginKind: 'processor', name: 'labels' }
  ],
  [
    ['-C', 'calyptia', '-h'],
    { kind: 'pluginHelp', format: 'text', pluginKind: 'custom', name: 'calyptia' }
  ],
  [['-k', '-V'], { kind: 'usageError', message: "invalid option -- 'k'", showHelp: true }],
  [
    ['-p', 'path=/x', '-i', 'tail'],
    {
      kind: 'usageError',
      message:
        'Cannot set property "path=/x": -p must follow the -i, -F, -o or -C that it belongs to',
      showHelp: false
    }
  ],
  [
    ['-t', 'app'],
    {
      kind: 'usageError',
      message: 'Cannot set tag "app": -t must follow the -i, -F, -o or -C that it belongs to',
      showHelp: false
    }
  ]
]

for (const [argv, command] of immediate) {
  test(`"${argv.join(' ')}" gives ${JSON.stringify(command)}`, () => {
    assert.deepEqual(parseArguments(argv), command)
  })
}

const ignored: [string[], string[]][] = [
  [['tail', '-v'], ['1: "tail" is ignored: it belongs to no option']],
  [['-m', 'x'], ['4: -m "x" is ignored: it does not follow an -F or an -o']],
  [['-i', 'cpu', '-m', 'x'], ['11: -m "x" is ignored: it does not follow an -F or an -o']],
  [['-i', 'cpu', '-p', 'tag'], ['11: -p "tag" is ignored: it is not of the form KEY=VALUE']],
  [['-i', 'cpu', '-p', ' =x'], ['11: -p " =x" is ignored: it is not of the form KEY=VALUE']],
  [
    ['-r', 'labels'],
    ['4: -r (--processor) is ignored: it names a processor for -h and configures none']
  ]
]

for (const [argv, expected] of ignored) {
  test(`"${argv.join(' ')}" runs, with a notice`, () => {
    const command = run(...argv)
    assert.deepEqual(notices(command), expected)
    assert.deepEqual(command.document.others, [])
    for (const section of command.document.inputs) assert.equal(section.entries.length, 1)
  })
}

const LATER = [
  ['-b', '/x'],
  ['-Y'],
  ['-W'],
  ['-T', 'x'],
  ['--supervisor'],
  ['-S'],
  ['--enable-fips']
]

for (const argv of LATER) {
  test(`"${argv.join(' ')}" is announced once as having no effect yet`, () => {
    const [notice, ...others] = run(...argv, ...argv).notices
    assert.match(
      notice.message,
      /^(-\w \(--[\w-]+\)|--[\w-]+) is read but has no effect in this version$/
    )
    assert.deepEqual(others, [])
  })
}

test('the parts of a trace are joined, its output is stdout unless named', () => {
  assert.deepEqual(run('--trace-input', 'cpu.0').trace, {
    input: 'cpu.0',
    output: 'stdout',
    properties: []
  })
  const line = "input=dummy.0  output=file output.format='json' other=1 stop output=null"
  const command = run('--trace', line, '--trace-output-property', 'path=/tmp')
  assert.deepEqual(command.trace, {
    input: 'dummy.0',
    output: 'file',
    properties: [
      ['format', "'json'"],
      ['path', '/tmp']
    ]
  })
  assert.equal(notices(command)[0], '9: --trace stops at "stop": it is not of the form KEY=VALUE')
  assert.equal(run('--trace-output', 'null').trace, undefined)
})

test('stream tasks of the command line are numbered as Fluent Bit numbers them', () => {
  const { streamTasks } = run('-T', 'SELECT 1;', '-T', 'SELECT 2;').document
  assert.deepEqual(sections(streamTasks), [
    ['name=flb-console:0@4', 'exec=SELECT 1;@4'],
    ['name=flb-console:1@17', 'exec=SELECT 2;@17']
  ])
})

/** The text of a command line that only prints one. */
function printed(...argv: string[]): TextCommand {
  const command = parseCommandLine(argv)
  assert.equal(command.kind, 'text')
  return command
}

test('a first word that is no command of ours, and a command that is not first, are as before', () => {
  for (const argv of [[], ['tail'], ['-v', 'check'], ['-i', 'dlq'], ['-i', 'tail', '-h']]) {
    assert.deepEqual(parseCommandLine(argv), parseArguments(argv))
  }
})

test('check takes the options of a run, with their places in the whole line', () => {
  const command = parseCommandLine(
    ['check', '-i', 'cpu', '--loss', '-o', 'stdout', '-c', 'a.conf', '--json', '-D'],
    { logLevel: 'error' }
  )
  assert.equal(command.kind, 'check')
  const { run: checked, loss, json } = command
  assert.deepEqual([loss, json], [true, true])
  assert.deepEqual(
    [checked.configFile, checked.logLevel, checked.dryRun, checked.notices],
    ['a.conf', 'error', true, []]
  )
  assert.deepEqual(sections(checked.document.inputs), [['name=cpu@10']])
  assert.deepEqual(sections(checked.document.outputs), [['name=stdout@24']])
})

test('check alone checks what a run alone would run', () => {
  const command = parseCommandLine(['check'])
  const checked = parseArguments([])
  assert.deepEqual(command, { kind: 'check', run: checked, loss: false, json: false })
})

test('the value of an option of a run may look like one of check', () => {
  const command = parseCommandLine(['check', '-i', 'cpu', '-t', '--loss'])
  assert.equal(command.kind === 'check' && command.loss, false)
})

const letters: [string[], Partial<DlqCommand>][] = [
  [['dlq', 'list', '-c', 'a.conf'], { action: 'list', configFile: 'a.conf' }],
  [
    ['dlq', 'list', '--json', '--path', '/var/letters', '--output', 'http.0'],
    { action: 'list', path: '/var/letters', output: 'http.0', json: true }
  ],
  [
    ['dlq', '--path=/var/letters', 'show', 'a.flb', '--', '-b.flb'],
    { action: 'show', path: '/var/letters', names: ['a.flb', '-b.flb'] }
  ],
  [
    ['dlq', 'replay', '--config', 'a.conf', '--output', 'http.0', 'a.flb'],
    { action: 'replay', configFile: 'a.conf', output: 'http.0', names: ['a.flb'] }
  ],
  [
    ['dlq', 'replay', '-ca.conf', '--to=b', '--timeout', '1.5', '-e', 'x.ts', '--plugin', 'y.ts'],
    {
      action: 'replay',
      configFile: 'a.conf',
      to: 'b',
      timeoutSeconds: 1.5,
      plugins: ['x.ts', 'y.ts']
    }
  ]
]

for (const [argv, command] of letters) {
  test(`"${argv.join(' ')}" is a command for dead letters`, () => {
    assert.deepEqual(parseCommandLine(argv), {
      kind: 'dlq',
      configFile: undefined,
      path: undefined,
      output: undefined,
      names: [],
      json: false,
      to: undefined,
      timeoutSeconds: 60,
      plugins: [],
      ...command
    })
  })
}

const misused: [string[], string][] = [
  [['check', 'a.conf'], 'Cannot check "a.conf": a configuration file is given by -c FILE'],
  [['check', '--los'], "unrecognized option '--los'; did you mean '--loss'?"],
  [['check', '--loss=all'], "option '--loss' doesn't allow an argument"],
  [['check', '--json', '-i', 'cpu'], 'Cannot use --json: it needs --loss'],
  [
    ['check', '-p', 'a=b'],
    'Cannot set property "a=b": -p must follow the -i, -F, -o or -C that it belongs to'
  ],
  [['dlq'], 'Cannot run dlq without an action: known actions are list, show, replay'],
  [
    ['dlq', 'replya', '-c', 'a.conf'],
    'Cannot run dlq "replya": there is no such action: known actions are list, show, replay; "replay" is near'
  ],
  [['dlq', 'list', '--pth', 'x'], "unrecognized option '--pth'; did you mean '--path'?"],
  [['dlq', 'list', '-c'], "option requires an argument -- 'c'"],
  [['dlq', 'list'], 'Cannot find dead letters: neither -c FILE nor --path FOLDER is given'],
  [
    ['dlq', 'show', '-c', 'a.conf'],
    'Cannot show dead letters: none is named; "spillway dlq list" has names'
  ],
  [
    ['dlq', 'replay', '--path', '/var/letters'],
    'Cannot replay dead letters: -c FILE is not given, which has the outputs'
  ],
  [['dlq', 'show', '--json', '-c', 'a.conf', 'x'], 'Cannot use --json with show: it is for list'],
  [['dlq', 'list', '--to', 'b', '-c', 'a.conf'], 'Cannot use --to with list: it is for replay'],
  ...['0', '-1', '1m', '', '1000001'].map((text): [string[], string] => [
    ['dlq', 'replay', '-c', 'a.conf', `--timeout=${text}`],
    `Cannot use --timeout: value must be a number of seconds above 0, 1000000 at most: current value is "${text}"`
  ])
]

for (const [argv, message] of misused) {
  test(`"${argv.join(' ')}" is refused with: ${message}`, () => {
    assert.deepEqual(printed(...argv), {
      kind: 'text',
      text: `${message}\nTry "spillway ${argv[0]} --help"\n`,
      exitCode: 2
    })
  })
}

for (const [argv, firstLine] of [
  [['check', '--help'], 'Usage: spillway check [--loss [--json]] [OPTION]'],
  [['check', '-c', 'a.conf', '-h'], 'Usage: spillway check [--loss [--json]] [OPTION]'],
  [['dlq', '-h'], 'Usage: spillway dlq list|show|replay [OPTION] [NAME...]'],
  [['dlq', 'replay', '--help'], 'Usage: spillway dlq list|show|replay [OPTION] [NAME...]']
] as const) {
  test(`"${argv.join(' ')}" shows the help of the command`, () => {
    const { text, exitCode } = printed(...argv)
    assert.deepEqual([text.split('\n')[0], exitCode], [firstLine, 0])
  })
}

test('check -i NAME -h and check -V answer as without check', () => {
  const help = { kind: 'pluginHelp', format: 'text', pluginKind: 'input', name: 'tail' }
  assert.deepEqual(parseCommandLine(['check', '-i', 'tail', '-h']), help)
  assert.deepEqual(parseCommandLine(['check', '-V']), { kind: 'version' })
})
