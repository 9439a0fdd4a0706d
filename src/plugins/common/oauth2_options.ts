/**
 * The `oauth2.*` keys of outputs that send with access tokens, and of inputs that ask for them.
 * Source: Fluent Bit 5.1.1 src/flb_oauth2.c oauth2_config_map, src/flb_oauth2_jwt.c oauth2_jwt_config_map.
 */
import { flag, int, many, seconds, secret, text, type Values, words } from '../../config/options.ts'
import type { JwtSettings } from '../../net/jwt.ts'
import type { OAuth2Settings } from '../../net/oauth2_client.ts'

export const OAUTH2_CLIENT_OPTIONS = {
  'oauth2.enable': flag({ default: 'false', doc: 'Get an access token for the requests' }),
  'oauth2.token_url': text({ doc: 'Where to get tokens' }),
  'oauth2.client_id': text({ doc: 'Client to get tokens for' }),
  'oauth2.client_secret': secret(text({ doc: 'Secret of the client' })),
  'oauth2.user_agent': text({ doc: 'User-Agent of requests for tokens' }),
  'oauth2.scope': text({ doc: 'Scope to ask for' }),
  'oauth2.audience': text({ doc: 'Audience to ask for' }),
  'oauth2.resource': text({ doc: 'Resource to ask for' }),
  'oauth2.auth_method': text({ default: 'basic', doc: 'basic, post or private_key_jwt' }),
  'oauth2.jwt_key_file': text({ doc: 'Private key of private_key_jwt' }),
  'oauth2.jwt_cert_file': text({ doc: 'Certificate of private_key_jwt' }),
  'oauth2.jwt_aud': text({ doc: 'Audience of private_key_jwt; the token URL unless set' }),
  'oauth2.jwt_header': text({ default: 'kid', doc: 'Where the thumbprint stands: kid or x5t' }),
  'oauth2.jwt_ttl_seconds': int({ default: '300', doc: 'Life of an assertion' }),
  'oauth2.refresh_skew_seconds': int({
    default: '60',
    doc: 'Seconds before its end at which a token is renewed'
  }),
  'oauth2.timeout': seconds({ default: '0s', doc: 'Longest time to wait for a token' }),
  'oauth2.connect_timeout': seconds({ default: '0s', doc: 'Longest time to connect for a token' })
}

export const OAUTH2_SERVER_OPTIONS = {
  'oauth2.validate': flag({ default: 'false', doc: 'Refuse requests without a valid token' }),
  'oauth2.issuer': text({ doc: 'Issuer that tokens must be of' }),
  'oauth2.jwks_url': text({ doc: 'Where the keys of the issuer are' }),
  'oauth2.allowed_audience': text({ doc: 'Audience that tokens must be for' }),
  'oauth2.allowed_clients': many(words(1, { doc: 'Clients that may send; all unless set' })),
  'oauth2.jwks_refresh_interval': int({
    default: '300',
    doc: 'Seconds after which the keys are fetched again'
  })
}

/**
 * What the client is told. Its time limits are those of the output unless set.
 *
 * @param output `net.connect_timeout` and `http.response_timeout`, in seconds.
 */
export function oauth2Settings(
  values: Values<typeof OAUTH2_CLIENT_OPTIONS>,
  output: { readonly connectTimeoutSeconds: number; readonly responseTimeoutSeconds: number }
): OAuth2Settings {
  const connect = values['oauth2.connect_timeout']
  const timeout = values['oauth2.timeout']
  return {
    tokenUrl: values['oauth2.token_url'],
    clientId: values['oauth2.client_id'],
    clientSecret: values['oauth2.client_secret'],
    userAgent: values['oauth2.user_agent'],
    scope: values['oauth2.scope'],
    audience: values['oauth2.audience'],
    resource: values['oauth2.resource'],
    authMethod: values['oauth2.auth_method'],
    jwtKeyFile: values['oauth2.jwt_key_file'],
    jwtCertFile: values['oauth2.jwt_cert_file'],
    jwtAudience: values['oauth2.jwt_aud'],
    jwtHeader: values['oauth2.jwt_header'],
    jwtTtlSeconds: values['oauth2.jwt_ttl_seconds'],
    refreshSkewSeconds: values['oauth2.refresh_skew_seconds'],
    connectTimeoutMs: (connect > 0 ? connect : output.connectTimeoutSeconds) * 1000,
    timeoutMs: (timeout > 0 ? timeout : output.responseTimeoutSeconds) * 1000
  }
}

export function jwtSettings(values: Values<typeof OAUTH2_SERVER_OPTIONS>): JwtSettings {
  return {
    issuer: values['oauth2.issuer'],
    jwksUrl: values['oauth2.jwks_url'],
    allowedAudience: values['oauth2.allowed_audience'],
    allowedClients: values['oauth2.allowed_clients'].flat(),
    jwksRefreshSeconds: values['oauth2.jwks_refresh_interval']
  }
}
