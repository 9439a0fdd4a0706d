/** `512b`, `95.4M`: bytes in steps of 1024, as Fluent Bit's flb_utils_bytes_to_human_readable_size() writes them. */
export function humanSize(bytes: number): string {
  const units = ['b', 'K', 'M', 'G', 'T']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${bytes}b` : `${value.toFixed(1)}${units[unit]}`
}
