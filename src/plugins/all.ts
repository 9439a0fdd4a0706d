/** All shipped plugins by kind, in alphabetical order. A file is loaded when a configuration names its plugin. */
import type { PluginList } from '../plugin/catalog.ts'

export const SHIPPED: PluginList = {
  input: {
    collectd: async () => (await import('./inputs/collectd/collectd.ts')).collectd,
    cpu: async () => (await import('./inputs/cpu.ts')).cpu,
    disk: async () => (await import('./inputs/disk.ts')).disk,
    dummy: async () => (await import('./inputs/dummy.ts')).dummy,
    elasticsearch: async () =>
      (await import('./inputs/elasticsearch/elasticsearch.ts')).elasticsearch,
    exec: async () => (await import('./inputs/exec.ts')).exec,
    fluentbit_logs: async () => (await import('./inputs/fluentbit_logs.ts')).fluentbitLogs,
    fluentbit_metrics: async () => (await import('./inputs/fluentbit_metrics.ts')).fluentbitMetrics,
    forward: async () => (await import('./inputs/forward/forward.ts')).forward,
    head: async () => (await import('./inputs/head.ts')).head,
    health: async () => (await import('./inputs/health.ts')).health,
    http: async () => (await import('./inputs/http/http.ts')).http,
    kmsg: async () => (await import('./inputs/kmsg.ts')).kmsg,
    mem: async () => (await import('./inputs/mem.ts')).mem,
    mqtt: async () => (await import('./inputs/mqtt/mqtt.ts')).mqtt,
    netif: async () => (await import('./inputs/netif.ts')).netif,
    proc: async () => (await import('./inputs/proc.ts')).proc,
    random: async () => (await import('./inputs/random.ts')).random,
    splunk: async () => (await import('./inputs/splunk/splunk.ts')).splunk,
    statsd: async () => (await import('./inputs/statsd/statsd.ts')).statsd,
    stdin: async () => (await import('./inputs/stdin.ts')).stdin,
    syslog: async () => (await import('./inputs/syslog/syslog.ts')).syslog,
    tail: async () => (await import('./inputs/tail/tail.ts')).tail,
    tcp: async () => (await import('./inputs/tcp.ts')).tcp,
    thermal: async () => (await import('./inputs/thermal.ts')).thermal,
    udp: async () => (await import('./inputs/udp.ts')).udp
  },
  filter: {
    expect: async () => (await import('./filters/expect.ts')).expect,
    grep: async () => (await import('./filters/grep.ts')).grep,
    modify: async () => (await import('./filters/modify.ts')).modify,
    nest: async () => (await import('./filters/nest.ts')).nest,
    parser: async () => (await import('./filters/parser.ts')).parser,
    record_modifier: async () => (await import('./filters/record_modifier.ts')).recordModifier,
    rewrite_tag: async () => (await import('./filters/rewrite_tag.ts')).rewriteTag,
    stdout: async () => (await import('./filters/stdout.ts')).stdout,
    sysinfo: async () => (await import('./filters/sysinfo.ts')).sysinfo,
    throttle: async () => (await import('./filters/throttle.ts')).throttle,
    type_converter: async () => (await import('./filters/type_converter.ts')).typeConverter
  },
  output: {
    counter: async () => (await import('./outputs/counter.ts')).counter,
    exit: async () => (await import('./outputs/exit.ts')).exit,
    file: async () => (await import('./outputs/file/file.ts')).file,
    flowcounter: async () => (await import('./outputs/flowcounter.ts')).flowcounter,
    forward: async () => (await import('./outputs/forward/forward.ts')).forward,
    gelf: async () => (await import('./outputs/gelf.ts')).gelf,
    http: async () => (await import('./outputs/http/http.ts')).http,
    nats: async () => (await import('./outputs/nats.ts')).nats,
    null: async () => (await import('./outputs/null.ts')).nullOutput,
    plot: async () => (await import('./outputs/plot.ts')).plot,
    prometheus_exporter: async () =>
      (await import('./outputs/prometheus_exporter/prometheus_exporter.ts')).prometheusExporter,
    stdout: async () => (await import('./outputs/stdout.ts')).stdout,
    syslog: async () => (await import('./outputs/syslog/syslog.ts')).syslog,
    tcp: async () => (await import('./outputs/tcp.ts')).tcp,
    udp: async () => (await import('./outputs/udp.ts')).udp,
    websocket: async () => (await import('./outputs/websocket/websocket.ts')).websocket
  }
}
