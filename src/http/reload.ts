/**
 * Reloading the configuration from afar.
 * Source: Fluent Bit 5.1.1 src/http_server/api/v2/reload.c
 */
import { exact, jsonReply, type Route } from './route.ts'

/** Who reloads the configuration. */
export interface Reloads {
  /** How often it was reloaded since the program started. */
  readonly count: number
  /** Begins a reload, where the configuration allows it and none is under way. */
  request(): 'started' | 'in_progress' | 'not_enabled'
}

/** Whether it succeeds is not known yet: `done` says that it was asked for. */
const ANSWERS = {
  started: [200, { reload: 'done', status: 0 }],
  in_progress: [400, { reload: 'in progress', status: -2 }],
  not_enabled: [200, { reload: 'not enabled', status: -1 }]
} as const

export function reloadRoute(reloads: Reloads): Route {
  return exact('/api/v2/reload', ({ method }) => {
    if (method === 'GET') return jsonReply(200, { hot_reload_count: reloads.count })
    if (method !== 'POST' && method !== 'PUT') {
      return { status: 405, headers: [['allow', 'GET, POST, PUT']] }
    }
    const [status, answer] = ANSWERS[reloads.request()]
    return jsonReply(status, answer)
  })
}
