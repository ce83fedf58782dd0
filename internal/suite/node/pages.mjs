// Every page that people see, in Chromium: with and without script, wide and narrow, light and dark, in each language, with passkeys.
import { createHash } from 'node:crypto'
import { account, app, callback, check, done, equal, mails, metadata, name, password, publish, quick, step, tenants, until } from './lib.mjs'
import { launch } from './browser.mjs'
import { narrow, wide, Watched } from './look.mjs'
import { Key } from './proof.mjs'
import { totp } from './totp.mjs'

const tenant = tenants[0]
const browser = await launch()
const clients = {}
// request pushes an app's request and answers where the person is sent.
async function request(more = {}, doc = {}) {
  const kind = JSON.stringify(doc)
  const id = (clients[kind] ??= await (async () => {
    const id = `${app}/pages-${name()}.json`
    return publish(id, metadata(id, { client_name: 'Notes for two', scope: 'atproto transition:generic transition:email repo:com.example.suite.note blob:image/* account:email identity:handle rpc:app.bsky.feed.getTimeline?aud=*', ...doc }))
  })())
  const key = await Key.make()
  const form = { client_id: id, response_type: 'code', redirect_uri: callback, scope: 'atproto repo:com.example.suite.note blob:image/* account:email', state: name(), code_challenge: createHash('sha256').update(name(32)).digest('base64url'), code_challenge_method: 'S256', ...more }
  const res = await key.send(tenant + '/oauth/par', { method: 'POST', form })
  const out = await res.json()
  if (res.status !== 201) throw new Error(`PAR: ${res.status} ${JSON.stringify(out)}`)
  return `${tenant}/oauth/authorize?${new URLSearchParams({ client_id: id, request_uri: out.request_uri })}`
}

// visitor is a browser of somebody's own.
async function visitor({ script = true, size = wide, locale = 'en-US' } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: script, viewport: size, locale })
  context.setDefaultTimeout(15000)
  const page = await context.newPage()
  const w = new Watched(page, { script })
  let landed
  page.on('request', (r) => { if (r.isNavigationRequest() && r.url().startsWith(callback)) landed = new URL(r.url()) })
  return {
    page, context, script, w,
    landed: () => until('the way back to the app', () => landed).then((u) => { landed = undefined; return u }),
    close: () => context.close(),
    look: (what) => w.look(what),
    // press is what somebody presses that reads so, be it a button or a link.
    press: (re) => page.getByRole('button', { name: re }).or(page.getByRole('link', { name: re })).first().click(),
    has: async (selector) => (await page.locator(selector).count()) > 0,
    async fill(fields) { for (const [selector, value] of Object.entries(fields)) await page.locator(selector).first().fill(value) },
    // wait waits for something to be there, and says what is there instead.
    wait: (locator) => locator.first().waitFor().catch(async (e) => { throw new Error(`${e.message.split('\n')[0]} at ${page.url()}: ${(await page.locator('main').innerText().catch(() => '')).slice(0, 500)}`) }),
    // send sends the form in which a field is.
    async send(selector) {
      await page.locator(`form:has(${selector}) button:not([type=button]):not([value=check])`).first().click()
      await page.waitForLoadState()
    },
  }
}
const identifier = 'input[name=identifier]', secret = 'input[name=password]'

async function signInForm(v, who, { remember = false, given = who.password } = {}) {
  if (await v.page.locator(identifier).isEditable().catch(() => false)) await v.fill({ [identifier]: who.handle })
  await v.fill({ [secret]: given })
  if (remember && await v.has('input[name=remember][type=checkbox]')) await v.page.locator('input[name=remember][type=checkbox]').check()
  await v.send(secret)
}
const accept = /^(authori[sz]e|allow|accept)/i, deny = /^(deny|do(n.t| not) allow|refuse|reject)/i

async function apps(script) {
  const s = script ? '' : ' without script'
  await step(`an app's request, from its beginning to its end${s}`, async () => {
    const v = await visitor({ script })
    const who = await account(tenant, 'page')
    for (const [what, url] of [['a request without anything', tenant + '/oauth/authorize'], ['a request that nobody made', `${tenant}/oauth/authorize?client_id=${encodeURIComponent(app + '/none.json')}&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Areq-0000`]]) {
      const res = await v.page.goto(url)
      equal(res.status() >= 400 && res.status() < 500, true, what + ' is a person’s fault')
      await v.look('error, ' + what)
    }
    await v.page.goto(await request())
    await v.look('welcome')
    if (!(await v.has(secret))) await v.press(/^(sign in|log in)/i)
    await v.wait(v.page.locator(secret))
    await v.look('sign in')
    await signInForm(v, who, { given: 'not-the-password' })
    await v.wait(v.page.locator(secret))
    await v.look('sign in, wrong password')
    await signInForm(v, who)
    await v.wait(v.page.getByRole('button', { name: accept }))
    await v.look('consent')
    await v.page.reload()
    await v.wait(v.page.getByRole('button', { name: accept }))
    await v.press(accept)
    const back = await v.landed()
    equal(back.searchParams.get('iss'), tenant, 'iss')
    if (!back.searchParams.get('code')) throw new Error('no code: ' + back.search)
    v.w.none(`nothing in the console on the way back to the app${s}`)
    await v.close()
  })
  await step(`refusing an app${s}`, async () => {
    const v = await visitor({ script, size: narrow })
    const who = await account(tenant, 'page')
    await v.page.goto(await request({ login_hint: who.handle }))
    await v.wait(v.page.locator(secret))
    await v.look('sign in, for one account')
    await signInForm(v, who)
    await v.wait(v.page.getByRole('button', { name: accept }))
    await v.press(deny)
    equal((await v.landed()).searchParams.get('error'), 'access_denied', 'error')
    v.w.none(`nothing in the console on refusing${s}`)
    await v.close()
  })
  await step(`much is asked for, and less is given${s}`, async () => {
    const v = await visitor({ script })
    const who = await account(tenant, 'page')
    await v.page.goto(await request({ login_hint: who.handle, scope: 'atproto transition:generic transition:email identity:handle account:email' }))
    await signInForm(v, who)
    await v.wait(v.page.getByRole('button', { name: accept }))
    await v.look('consent, everything')
    for (const d of await v.page.locator('details:not([open]) > summary').all()) await d.click().catch(() => {})
    await v.look('consent, everything in detail')
    await v.close()
  })
  await step(`an account is remembered and chosen again${s}`, async () => {
    const v = await visitor({ script })
    const who = await account(tenant, 'page'), other = await account(tenant, 'page')
    for (const one of [who, other]) {
      await v.page.goto(await request({ login_hint: one.handle }))
      await signInForm(v, one, { remember: true })
      await v.page.getByRole('button', { name: accept }).click()
      await v.landed()
    }
    await v.page.goto(await request({ prompt: 'select_account' }))
    await v.page.getByText(who.handle).first().waitFor()
    await v.look('choose an account')
    await v.page.getByRole('button', { name: new RegExp(who.handle.replaceAll('.', '\\.')) }).first().click()
    await v.page.getByRole('button', { name: accept }).click()
    if (!(await v.landed()).searchParams.get('code')) throw new Error('no code')
    await v.close()
  })
  await step(`a password is forgotten${s}`, async () => {
    const v = await visitor({ script })
    const who = await account(tenant, 'page')
    await v.page.goto(await request({ login_hint: who.handle }))
    await v.press(/forgot/i)
    await v.page.waitForLoadState()
    await v.look('forgotten password')
    await v.fill({ 'input[name=email]': who.email })
    await v.send('input[name=email]')
    await v.page.locator('input[autocomplete~=new-password]').waitFor()
    await v.look('new password')
    const code = await until('the mail with the code', async () => (await mails(who.email)).map((text) => text.match(/\b([A-Z2-7]{5}-[A-Z2-7]{5})\b/)?.[1]).filter(Boolean).pop())
    who.password = 'another-password-2'
    await v.fill({ 'input[name=code], input[name=token], input[autocomplete~=one-time-code]': code, 'input[autocomplete~=new-password]': who.password })
    await v.send('input[autocomplete~=new-password]')
    await v.page.waitForLoadState()
    await v.look('after the new password')
    if (await v.has(secret)) await signInForm(v, who)
    await v.wait(v.page.getByRole('button', { name: accept }))
    await v.close()
  })
}

async function signUps(script) {
  const s = script ? '' : ' without script'
  await step(`somebody opens an account for an app${s}`, async () => {
    const v = await visitor({ script, size: narrow })
    await v.page.goto(await request({ prompt: 'create' }))
    await v.page.locator('input[name=handle]').waitFor()
    await v.look('sign up')
    const label = 'new' + name(3), email = `${label}@example.net`
    await v.fill({ 'input[name=handle]': label, 'input[autocomplete~=email]': email, 'input[autocomplete~=new-password]': password })
    await v.send('input[name=handle]')
    await v.wait(v.page.getByRole('button', { name: accept }))
    await v.look('consent, new account')
    await v.press(accept)
    if (!(await v.landed()).searchParams.get('code')) throw new Error('no code')
    v.w.none(`nothing in the console on signing up${s}`)
    await v.close()
  })
}

// The owner's pages are found by following their links, so that none is left out.
async function ownPages(script) {
  const s = script ? '' : ' without script'
  await step(`the pages of an account${s}`, async () => {
    const v = await visitor({ script })
    const who = await account(tenant, 'page')
    await v.page.goto(tenant + '/account')
    await v.wait(v.page.locator(secret))
    await v.look('sign in to the account')
    await signInForm(v, who, { remember: true })
    await v.page.waitForURL(tenant + '/account**')
    const todo = [tenant + '/account'], seen = new Set()
    while (todo.length) {
      const url = todo.shift()
      if (seen.has(url)) continue
      seen.add(url)
      const res = await v.page.goto(url)
      equal(res.status(), 200, 'status of ' + url)
      await v.look('account ' + new URL(url).pathname.replace(/^\/account\/?/, '') + new URL(url).search)
      for (const href of await v.page.locator('a[href]').evaluateAll((all) => all.filter((a) => !a.hasAttribute('download')).map((a) => a.href))) {
        const u = new URL(href)
        u.hash = ''
        if (u.origin === tenant && u.pathname.startsWith('/account') && !u.searchParams.has('ui_locales') && !u.searchParams.has('lang') && !/sign-out|sign-in|\.(car|zip|json)$/.test(u.pathname)) todo.push(u.href)
      }
      if (seen.size > 60) throw new Error('more than 60 pages')
    }
    check(`pages of an account that were found${s}: ${[...seen].map((u) => new URL(u).pathname.replace('/account', '') || '/').join(' ')}`, seen.size > 8, `only ${seen.size}`)
    await v.close()
  })
}

async function languages() {
  for (const tag of ['en', 'de', 'fr', 'es', 'pt-BR', 'nl', 'ja']) {
    await step(`in ${tag}`, async () => {
      const v = await visitor({ locale: tag, size: narrow })
      const who = await account(tenant, 'page')
      await v.page.goto(await request({ login_hint: who.handle }))
      await v.wait(v.page.locator(secret))
      equal(await v.page.evaluate('document.documentElement.lang'), tag, 'lang')
      await v.look(`sign in, in ${tag}`)
      await signInForm(v, who)
      await v.page.waitForLoadState()
      await v.look(`consent, in ${tag}`)
      await v.close()
    })
  }
}

async function passkeys() {
  await step('a passkey: made, and signed in with', async () => {
    const v = await visitor()
    const cdp = await v.context.newCDPSession(v.page)
    await cdp.send('WebAuthn.enable', { enableUI: false })
    const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } })
    const who = await account(tenant, 'page')
    await v.page.goto(tenant + '/account')
    await signInForm(v, who)
    await v.page.waitForURL(tenant + '/account**')
    await v.press(/passkey|sign-in methods|security/i)
    await v.page.waitForLoadState()
    await v.press(/(add|make|create|new).*passkey/i)
    await until('the passkey', async () => (await cdp.send('WebAuthn.getCredentials', { authenticatorId })).credentials.length === 1)
    await v.page.waitForLoadState()
    await v.look('account with a passkey')
    await v.context.clearCookies()
    await v.page.goto(await request())
    // A virtual authenticator answers what the browser offers in a field at once: then nobody has to press anything.
    const asked = v.page.getByRole('button', { name: accept })
    await v.wait(v.page.locator(secret).or(v.page.getByRole('link', { name: /^(sign in|log in)/i })).or(asked).first())
    if (!(await asked.count()) && !(await v.has(secret))) await v.press(/^(sign in|log in)/i)
    await v.wait(v.page.locator(secret).or(asked).first())
    if (!(await asked.count())) await v.press(/passkey/i).catch(() => {})
    await v.wait(asked)
    await v.press(accept)
    if (!(await v.landed()).searchParams.get('code')) throw new Error('no code')
    v.w.none('nothing in the console with passkeys')
    await v.close()
  })
}

const only = (process.env.SUITE_PAGES ?? '').split(',').filter(Boolean)
const wanted = (what) => only.length === 0 || only.includes(what)
for (const script of [true, false]) {
  if (wanted('apps')) await apps(script)
  if (wanted('signup')) await signUps(script)
  if (wanted('account')) await ownPages(script)
}
if (wanted('languages') && !(quick && only.length === 0)) await languages()
if (wanted('passkeys')) await passkeys()
await browser.close()
done()
