// Looks at pages as they are in a browser: what the console says, what axe finds, whether they fit narrow screens. Keeps pictures.
import { readFileSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { check, quick } from './lib.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const shots = process.env.SUITE_SHOTS
mkdirSync(shots, { recursive: true })

export const wide = { width: 1280, height: 900 }, narrow = { width: 320, height: 640 }, phone = { width: 390, height: 844 }

// Watched is a page whose faults are kept: errors in the console, broken policies, scripts that failed, answers that were the server's fault.
export class Watched {
  faults = []
  seen = new Set()
  constructor(page, { script = true, shapes } = {}) {
    this.shapes = shapes ?? (quick ? [[wide, 'light'], [narrow, 'dark']] : [[wide, 'light'], [wide, 'dark'], [narrow, 'light'], [narrow, 'dark']])
    this.page = page
    this.script = script
    page.on('console', (m) => { if (m.type() === 'error' && !this.expected(m.text())) this.fault(`console: ${m.text()}`) })
    page.on('pageerror', (e) => this.fault(`script: ${e.message}`))
    page.on('response', (r) => { if (r.status() >= 500) this.fault(`${r.status()} ${r.url()}`) })
    page.on('requestfailed', (r) => { if (!/ERR_ABORTED|NS_BINDING_ABORTED/.test(r.failure()?.errorText)) this.fault(`${r.failure()?.errorText} ${r.url()}`) })
  }
  // expected are pages that answer with an error on purpose: browsers say so in the console.
  expected(text) { return /Failed to load resource: the server responded with a status of (400|401|403|404|409|410|422|429)/.test(text) }
  fault(text) { this.faults.push(text) }

  // look checks the page that is on the screen now, in all its shapes.
  async look(what) {
    const { page } = this
    const name = what.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '').toLowerCase() + (this.script ? '' : '-noscript')
    if (this.seen.has(name)) return
    this.seen.add(name)
    const before = page.viewportSize()
    const found = []
    for (const [size, scheme] of this.shapes) {
      await page.setViewportSize(size)
      await page.emulateMedia({ colorScheme: scheme })
      await page.waitForTimeout(60) // what moves at a change has to stand still for a picture
      await page.screenshot({ path: `${shots}/${name}-${size.width}-${scheme}.png`, fullPage: true, animations: 'disabled' }).catch((e) => found.push(`no picture: ${e.message.split('\n')[0]}`))
      const over = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
      if (over > 0) found.push(`${size.width} px, ${scheme}: ${over} px too wide`)
      if (this.script) found.push(...(await this.axe()).map((v) => `${size.width} px, ${scheme}: ${v}`))
    }
    await page.setViewportSize(before)
    await page.emulateMedia({ colorScheme: 'light' })
    const lang = await page.evaluate('document.documentElement.lang'), title = await page.title()
    if (!lang) found.push('no language')
    if (!title) found.push('no title')
    const faults = this.faults.splice(0)
    check(`${what}${this.script ? '' : ', without script'}`, found.length + faults.length === 0, [...new Set([...faults, ...found])].join('; ').slice(0, 1800))
  }

  async axe() {
    if (!(await this.page.evaluate('!!window.axe'))) await this.page.evaluate(axe + ';0') // by the debugger, which no policy binds
    const out = await this.page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] }))
    return out.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => `${v.id} (${v.impact}) at ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + (n.any?.[0]?.data?.contrastRatio ? ` contrast ${n.any[0].data.contrastRatio}` : '')).join(', ')}`)
  }

  // none says that nothing was wrong since the last look.
  none(what) {
    const faults = this.faults.splice(0)
    check(what, faults.length === 0, [...new Set(faults)].join('; ').slice(0, 900))
  }
}
