/** What Spillway says about itself: the banner on stderr and the text of `--version`. */

import { FLUENT_BIT_VERSION, VERSION } from '../base/version.ts'

/**
 * The lines printed before the first log line.
 *
 * @param coloured True when they go to a terminal.
 */
export function bannerText(coloured: boolean): string {
  const name = `Spillway v${VERSION}`
  const heading = coloured ? `\u001b[1m\u001b[94m${name}\u001b[0m` : name
  return `${heading}
* Compatible with Fluent Bit v${FLUENT_BIT_VERSION}
* Copyright (C) 2026 The Spillway Authors, Apache License 2.0

`
}

/** What `-V` prints on stdout. */
export function versionText(): string {
  return `Spillway v${VERSION}\nCompatible with Fluent Bit v${FLUENT_BIT_VERSION}\n`
}
