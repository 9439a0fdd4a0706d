/** Tags and what matches them. (first form by the lead; owned by the codec helper) */
export function compileMatch(pattern: string): (tag: string) => boolean {
  const regex = new RegExp(`^${pattern.split('*').map(part => RegExp.escape(part)).join('[^]*')}$`)
  return tag => regex.test(tag)
}
