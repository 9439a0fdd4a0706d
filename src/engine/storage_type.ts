/**
 * Checks `storage.type`: events are kept in memory whatever it says in this version; `filesystem` without a path is an
 * error, as in Fluent Bit.
 */
import type { Diagnostics, Location } from '../config/diagnostics.ts'
import type { ServiceSettings } from '../config/service.ts'

/** @param owner Whose type it is, for the message. */
export function checkStorageType(
  type: unknown,
  owner: string,
  service: ServiceSettings,
  at: Location,
  diagnostics: Diagnostics
): void {
  if (type === undefined || type === 'memory') return
  if (type === 'filesystem' && service['storage.path'] === undefined) {
    const message = `Cannot use storage.type filesystem on ${owner}: "storage.path" of the service section is not set`
    diagnostics.error('CFG_MISSING_KEY', message, at, 'start')
    return
  }
  const message = 'Key "storage.type" is read and has no effect in this version'
  diagnostics.warning('CFG_NOT_IN_THIS_VERSION', message, at)
}
