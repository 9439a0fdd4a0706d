/**
 * What an endpoint is sent: the output's own keys, before which go those that a node of `upstream` has.
 * Source: Fluent Bit 5.1.1 plugins/out_forward/forward.c config_set_properties().
 */
import { flag, many, secret, text, type Values, words } from '../../../config/options.ts'
import type { EndpointSettings } from '../../../net/settings.ts'
import type { OutputContext } from '../../../plugin/context.ts'
import type { Template } from '../../../record/accessor.ts'
import { propertyTemplate } from '../../common/field.ts'

export const OPTIONS = {
  time_as_integer: flag({ default: 'false', doc: 'Send times in whole seconds, for old Fluentd' }),
  retain_metadata_in_forward_mode: flag({
    default: 'true',
    doc: 'Send the metadata of events, in a form that Fluentd does not read; false for nodes unless they say so'
  }),
  shared_key: secret(text({ doc: 'Key that the server has too; begins with a handshake' })),
  self_hostname: text({ doc: 'Name of this client in the handshake; localhost unless set' }),
  empty_shared_key: flag({ default: 'false', doc: 'Begin with a handshake, with an empty key' }),
  send_options: flag({ default: 'false', doc: 'Send options with each message, such as its size' }),
  require_ack_response: flag({
    default: 'false',
    doc: 'Send again what the server does not acknowledge'
  }),
  username: text({ default: '', doc: 'User of the handshake' }),
  password: secret(text({ default: '', doc: 'Password of username' })),
  unix_path: text({ doc: 'Unix socket to connect to; without effect with upstream' }),
  tag: text({ doc: 'Tag to send instead of that of the events; may have record accessors' }),
  compress: text({ doc: 'text (none) or gzip' }),
  fluentd_compat: flag({
    default: 'false',
    doc: 'Send metrics and traces so that Fluentd takes them'
  }),
  add_option: many(words(2, { doc: 'Name and value of an option to send' }))
}

export type ForwardValues = Values<typeof OPTIONS>

/** What is written into a handshake. */
export interface Credentials {
  readonly sharedKey: string
  readonly hostname: string
  readonly username: string
  readonly password: string
}

export interface ForwardSettings {
  readonly isIntegerTime: boolean
  readonly keepsMetadata: boolean
  /** Undefined where there is no handshake. */
  readonly credentials: Credentials | undefined
  readonly sendsOptions: boolean
  readonly wantsAck: boolean
  readonly tag: Template | undefined
  readonly isCompressed: boolean
  readonly isFluentdCompatible: boolean
  readonly options: readonly (readonly [key: string, value: string])[]
}

/** @throws {ConfigError} For what Fluent Bit refuses at its start. */
export function settingsOf(
  section: ForwardValues,
  endpoint: EndpointSettings,
  isNode: boolean,
  context: OutputContext
): ForwardSettings {
  const values = { ...section, ...endpoint.properties } as ForwardValues
  const isCompressed = isGzip(values, context)
  const tag = values.tag === undefined ? undefined : propertyTemplate(context, 'tag', values.tag)
  const isDynamic = tag?.isStatic === false
  if (isCompressed && (values.time_as_integer || isDynamic)) {
    const other = isDynamic ? 'dynamic tags' : 'time_as_integer'
    throw context.invalid('compress', `compress mode gzip is incompatible with ${other}`)
  }
  const options = values.add_option.map(([key = '', ...rest]) => [key, rest.at(-1) ?? ''] as const)
  return {
    isIntegerTime: values.time_as_integer,
    keepsMetadata: keepsMetadata(values, endpoint, isNode, context),
    credentials: credentialsOf(values, context),
    sendsOptions:
      values.send_options || values.require_ack_response || isCompressed || options.length > 0,
    wantsAck: values.require_ack_response,
    tag,
    isCompressed,
    isFluentdCompatible: values.fluentd_compat,
    options
  }
}

function isGzip({ compress }: ForwardValues, context: OutputContext): boolean {
  const word = compress?.toLowerCase() ?? 'text'
  if (word === 'text' || word === 'gzip') return word === 'gzip'
  throw context.invalid('compress', `invalid compress mode: ${compress}`)
}

/** Nodes are often Fluentd, which drops events with metadata: Fluent Bit only sends them where somebody has said so. */
function keepsMetadata(
  values: ForwardValues,
  { properties }: EndpointSettings,
  isNode: boolean,
  context: OutputContext
): boolean {
  const key = 'retain_metadata_in_forward_mode'
  const isWritten =
    Object.hasOwn(properties, key) || context.properties.some(property => property.key === key)
  return values[key] && (!isNode || isWritten)
}

function credentialsOf(values: ForwardValues, context: OutputContext): Credentials | undefined {
  const { username, password } = values
  const sharedKey = values.empty_shared_key ? '' : values.shared_key
  if (sharedKey !== undefined) {
    return { sharedKey, hostname: values.self_hostname ?? 'localhost', username, password }
  }
  if (username === '' && password === '') return undefined
  throw context.invalid(
    username === '' ? 'password' : 'username',
    "it needs 'shared_key' or 'empty_shared_key': users are checked in the handshake"
  )
}
