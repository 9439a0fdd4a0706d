/**
 * What the monitoring server answers, by path.
 * Source: Fluent Bit 5.1.1 src/http_server/flb_hs.c, flb_hs_utils.c
 */
import type { HttpReply, HttpRequest } from '../net/http_server.ts'

/** The first route that matches a path answers, whatever the method; a query is no part of the path. */
export interface Route {
  readonly path: string
  /** Whether it answers longer paths that begin with its own, too. */
  readonly match: 'exact' | 'prefix'
  handle(request: HttpRequest): HttpReply | Promise<HttpReply>
}

/** A route that answers one path. */
export function exact(path: string, handle: Route['handle']): Route {
  return { path, match: 'exact', handle }
}

export function isFor({ path, match }: Route, wanted: string): boolean {
  return match === 'exact' ? wanted === path : wanted.startsWith(path)
}

/** Compact, and ASCII alone, as Fluent Bit writes it. */
export function jsonReply(status: number, value: unknown): HttpReply {
  const body = JSON.stringify(value).replaceAll(
    /[\u007f-\uffff]/g,
    unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  )
  return { status, headers: [['content-type', 'application/json']], body }
}

/** Text in Prometheus' exposition format. */
export function prometheusReply(text: string): HttpReply {
  return { status: 200, headers: [['content-type', 'text/plain; version=0.0.4']], body: text }
}

/** Text without a content type. */
export function textReply(status: number, text: string): HttpReply {
  return { status, body: text }
}
