/** All shipped plugins by kind, in alphabetical order. A file is loaded when a configuration names its plugin. */
import type { PluginList } from '../plugin/catalog.ts'

export const SHIPPED: PluginList = {
  input: {
    cpu: async () => (await import('./inputs/cpu.ts')).cpu,
    disk: async () => (await import('./inputs/disk.ts')).disk,
    dummy: async () => (await import('./inputs/dummy.ts')).dummy,
    exec: async () => (await import('./inputs/exec.ts')).exec,
    head: async () => (await import('./inputs/head.ts')).head,
    health: async () => (await import('./inputs/health.ts')).health,
    kmsg: async () => (await import('./inputs/kmsg.ts')).kmsg,
    mem: async () => (await import('./inputs/mem.ts')).mem,
    netif: async () => (await import('./inputs/netif.ts')).netif,
    proc: async () => (await import('./inputs/proc.ts')).proc,
    random: async () => (await import('./inputs/random.ts')).random,
    stdin: async () => (await import('./inputs/stdin.ts')).stdin,
    tail: async () => (await import('./inputs/tail/tail.ts')).tail,
    thermal: async () => (await import('./inputs/thermal.ts')).thermal
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
    http: async () => (await import('./outputs/http.ts')).http,
    null: async () => (await import('./outputs/null.ts')).nullOutput,
    plot: async () => (await import('./outputs/plot.ts')).plot,
    stdout: async () => (await import('./outputs/stdout.ts')).stdout
  }
}
