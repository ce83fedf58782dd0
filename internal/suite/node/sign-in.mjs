// How drivers that have no browser sign in: at our pages without script, at the reference's, which need it, in a browser.
import { ours } from './lib.mjs'
import { authorize } from './person.mjs'

export async function signIn(url, who, redirect, more = {}) {
  if (ours) return authorize(url, who, { redirect, ...more })
  const { inBrowser } = await import('./browser.mjs')
  return inBrowser(url, who, redirect, more)
}
