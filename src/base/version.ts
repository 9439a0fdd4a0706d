/** Versions, for what users see. */

/** Spillway's own version; a test keeps it equal to package.json, which is not read at start. */
export const VERSION = '0.1.0'

/** The Fluent Bit whose configurations and behaviour this version follows. */
export const FLUENT_BIT_VERSION = '5.1.1'
