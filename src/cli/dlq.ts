/** `spillway dlq`: looks after dead letters. */
import type { PluginList } from '../plugin/catalog.ts'
import type { DlqCommand } from './commands.ts'

/** Does what the command says; gives the exit code. */
export function runDlq({ action }: DlqCommand, _shipped: PluginList): Promise<number> {
  process.stderr.write(`Cannot run dlq ${action}: this version cannot do that\n`)
  return Promise.resolve(1)
}
