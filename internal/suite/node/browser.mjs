// Real browsers, Debian's, driven by playwright.
import { chromium, firefox } from 'playwright-core'

const flags = ['--no-sandbox', '--ignore-certificate-errors', '--disable-dev-shm-usage', '--disable-gpu', '--no-first-run', '--disable-background-networking']

export const launch = (kind = 'chromium') => kind === 'firefox'
  ? firefox.launch({ channel: 'moz-firefox', executablePath: process.env.SUITE_FIREFOX })
  : chromium.launch({ executablePath: process.env.SUITE_CHROMIUM, args: flags })

let one
export const browser = async () => (one ??= await launch())
process.on('exit', () => one?.close().catch(() => {}))

// inBrowser goes through sign-in and consent until the client's URL, which is not asked for anything.
export async function inBrowser(url, who, redirect, { deny = false, person } = {}) {
  const b = await browser()
  // A person that is given keeps the cookies, too.
  const context = person?.context ?? await b.newContext({ locale: 'en-US' })
  if (person) person.context = context
  const page = await context.newPage()
  try {
    return await signInOn(page, who, { deny, redirect, remember: !!person, begin: () => page.goto(url).catch((e) => { if (!/ERR_|interrupted/.test(e.message)) throw e }) })
  } finally { await (person ? page : context).close() }
}

// signInOn does what a person does with what is on the screen.
export async function signInOn(page, who, { deny = false, remember = false, redirect, begin, ms = 30000 }) {
  let landed
  page.on('request', (r) => { if (r.isNavigationRequest() && r.url().startsWith(redirect)) landed ??= new URL(r.url()) })
  await begin()
  const seen = async (l) => (await l.count()) > 0 && (await l.first().isVisible().catch(() => false)) && (await l.first().isEnabled().catch(() => false))
  const button = (re) => page.getByRole('button', { name: re })
  for (const end = Date.now() + ms; !landed; ) {
    if (Date.now() > end) throw new Error(`at ${page.url()} the person does not know what to do: ${(await page.locator('body').innerText()).slice(0, 600)}`)
    const secret = page.locator('input[type=password]'), named = page.locator('input[autocomplete~=username], input[name=username], input[name=identifier]')
    try {
      if (await seen(secret)) {
        if (await seen(named) && !(await named.first().inputValue())) await named.first().fill(who.handle, { timeout: 3000 })
        await secret.first().fill(who.password, { timeout: 3000 })
        if (remember) await page.locator('input[name=remember][type=checkbox]').or(page.getByLabel(/remember/i)).first().check({ timeout: 2000 }).catch(() => {})
        await button(/^(sign in|log in|next|continue)$/i).first().click({ timeout: 3000 })
      } else if (await seen(button(/^(authori[sz]e|allow|accept|deny|reject|refuse|do(n.t| not) allow)/i))) {
        await (deny ? button(/^(deny|reject|refuse|do(n.t| not) allow)/i) : button(/^(authori[sz]e|allow|accept)/i)).first().click({ timeout: 3000 })
      } else if (await seen(page.getByText(who.handle))) {
        await page.getByText(who.handle).first().click({ timeout: 3000 })
      } else if (await seen(button(/^(sign in|log in)/i))) {
        await button(/^(sign in|log in)/i).first().click({ timeout: 3000 })
      } else if (await seen(page.getByRole('link', { name: /^(sign in|log in)/i }))) {
        await page.getByRole('link', { name: /^(sign in|log in)/i }).first().click({ timeout: 3000 })
      }
    } catch (e) {
      if (landed) break
      if (!/Timeout|navigat|detached|closed/i.test(e.message)) throw e
    }
    await page.waitForTimeout(150)
  }
  return landed
}
