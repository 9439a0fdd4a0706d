/**
 * Where an instance keeps its chunks: its own `storage.type`, else that of the service section where `storage.inherit` is
 * on, else memory.
 * Source: Fluent Bit 5.1.1 src/flb_storage.c flb_storage_input_create().
 */
import type { Diagnostics, Location } from '../config/diagnostics.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { StorageType } from './receipt.ts'

const TYPES: readonly string[] = ['memory', 'filesystem', 'memrb'] satisfies StorageType[]

/**
 * @param own What the instance says; undefined when it says nothing.
 * @param owner Whose type it is, for messages.
 */
export function storageType(
  own: string | undefined,
  owner: string,
  service: ServiceSettings,
  at: Location,
  diagnostics: Diagnostics
): StorageType {
  const type = own ?? inherited(owner, service, diagnostics)
  if (type !== 'filesystem' || service['storage.path'] !== undefined) return type as StorageType
  const message = `Cannot use storage.type filesystem on ${owner}: "storage.path" of the service section is not set`
  diagnostics.error('CFG_MISSING_KEY', message, at, 'start')
  return 'memory'
}

function inherited(owner: string, service: ServiceSettings, diagnostics: Diagnostics): string {
  if (!service['storage.inherit']) return 'memory'
  const type = service['storage.type']?.toLowerCase()
  if (type !== undefined && TYPES.includes(type)) return type
  const problem =
    type === undefined
      ? 'storage.inherit is on and the service section has no storage.type'
      : `storage.type "${type}" of the service section is none of ${TYPES.join(', ')}`
  diagnostics.warning('CFG_BAD_VALUE', `Memory is used for ${owner}: ${problem}`)
  return 'memory'
}
