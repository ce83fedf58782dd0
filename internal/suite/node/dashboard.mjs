// The dashboard of operators, in Chromium: with and without script, wide and narrow, light and dark, with a passkey and with codes.
import { execFileSync } from 'node:child_process'
import * as oauth from 'oauth4webapi'
import { account, app, call, callback, done, equal, metadata, name, note, publish, quick, step, tenants } from './lib.mjs'
import { launch } from './browser.mjs'
import { narrow, phone, wide, Watched } from './look.mjs'
import { signIn } from './sign-in.mjs'
import { fresh, totp } from './totp.mjs'

const board = process.env.SUITE_BOARD
const browser = await launch()
const host = new URL(tenants[0]).host

// locus is the command line of the one who runs the server.
function locus(...args) {
  return JSON.parse(execFileSync(process.env.SUITE_LOCUS, [...args, '--json', '--data-dir', process.env.SUITE_DATA], { encoding: 'utf8', env: { ...process.env, LOCUS_DASHBOARD_URL: board } }))
}

async function operator({ script = true, size = wide } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: script, viewport: size, locale: 'en-US' })
  context.setDefaultTimeout(15000)
  const page = await context.newPage()
  const few = [[wide, 'light'], [phone, 'dark']]
  const w = new Watched(page, { script, shapes: quick || !script ? few : [[wide, 'light'], [wide, 'dark'], [phone, 'light'], [narrow, 'dark']] })
  return {
    page, context, w, look: (what) => w.look('dashboard ' + what),
    press: (re) => page.locator('main').getByRole('button', { name: re }).or(page.locator('main').getByRole('link', { name: re })).first().click(),
    go: (path) => page.goto(board + path),
    // sent presses the button of the form that is sent to a path.
    sent: async (path) => { const form = page.locator(`form[action="${path}"]`).first(); await form.locator('button[type=submit]').first().click() },
    field: (path, name) => page.locator(`form[action="${path}"] [name="${name}"]`).first(),
    unfold: () => script ? page.evaluate(() => { for (const d of document.querySelectorAll('details')) d.open = true }) : page.locator('details:not([open]) > summary').evaluateAll((all) => all.forEach((one) => { one.parentElement.open = true })),
    // until presses "Look again" while a job goes on.
    ended: async (state) => {
      for (const end = Date.now() + 60000; ;) {
        const tag = (await page.locator('h1 .tag').innerText()).trim()
        if (tag === state) { equal(await page.getByRole('button', { name: 'Cancel the job' }).count(), 0, 'buttons that cancel what has ended'); return }
        if (tag !== 'waiting' && tag !== 'running' || Date.now() > end) throw new Error(`the job is ${tag}, not ${state}: ${(await page.locator('main').innerText()).slice(0, 600)}`)
        if (script) await page.waitForTimeout(200) // it is looked at by itself
        else { await page.waitForTimeout(300); await page.getByRole('link', { name: 'Look again' }).click() }
      }
    },
    // backup opens the newest backup of the list, or the newest that is encrypted.
    backup: async (encrypted) => {
      await page.goto(board + '/admin/backups')
      const rows = page.locator('tbody tr', encrypted ? { hasNot: page.locator('[data-label=Encrypted] .tag.warning') } : {})
      await rows.first().locator('th a').click()
      await page.locator('h2', { hasText: 'What it is' }).waitFor()
    },
    // told is what a form is refused with.
    told: async (text) => { await page.locator('.notice.error', { hasText: text }).waitFor() },
    at: async (path) => { await page.waitForLoadState(); equal(new URL(page.url()).pathname, path, 'the page') },
  }
}

// app signs an app in to an account.
async function appOf(who, label) {
  const id = `${app}/board-${name()}.json`
  await publish(id, metadata(id, { client_name: label }))
  const info = { client_id: id }, as = { ...(await (await fetch(who.tenant + '/.well-known/oauth-authorization-server')).json()) }
  const keys = await oauth.generateKeyPair('ES256'), DPoP = oauth.DPoP(info, keys), verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState()
  const twice = async (fn) => { try { return await fn() } catch (e) { if (!oauth.isDPoPNonceError(e)) throw e; return fn() } }
  const asked = { scope: 'atproto transition:generic', redirect_uri: callback, response_type: 'code', state, code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' }
  const pushed = await twice(async () => oauth.processPushedAuthorizationResponse(as, info, await oauth.pushedAuthorizationRequest(as, info, oauth.None(), asked, { DPoP })))
  const url = new URL(as.authorization_endpoint)
  url.search = new URLSearchParams({ client_id: id, request_uri: pushed.request_uri })
  const params = oauth.validateAuthResponse(as, info, await signIn(url.href, who, callback), state)
  await twice(async () => oauth.processAuthorizationCodeResponse(as, info, await oauth.authorizationCodeGrantRequest(as, info, oauth.None(), params, callback, verifier, { DPoP })))
}

// person is an account of the first tenant with something of everything.
async function person() {
  const who = await account(tenants[0], 'board')
  await call(tenants[0], 'com.atproto.repo.createRecord', { token: who.accessJwt, body: note(who.did, 'hello') })
  await appOf(who, 'An app with a name that is rather long for a phone')
  await appOf(who, 'Another one')
  return who
}

async function codes() {
  await step('coming in by a link, then with a token and a code, without script', async () => {
    const made = locus('dashboard', 'link', '--new', 'owner', '--label', 'Anna Example')
    const v = await operator({ script: false, size: phone })
    await v.go('/admin/')
    await v.look('sign in')
    await v.page.goto(made.link)
    await v.look('link')
    await v.press(/go on/i)
    await v.at('/admin/setup')
    await v.look('setup')
    const secret = await v.page.locator('input[name=secret]').first().inputValue()
    await v.page.locator('input[name=code]').fill('000000')
    await v.press(/set up the app/i)
    await v.look('setup, wrong code')
    await fresh()
    await v.page.locator('input[name=code]').fill(totp(secret, Date.now() - 30000)) // so that the code of now is not used up
    await v.press(/set up the app/i)
    await v.at('/admin/overview')
    await v.page.getByRole('button', { name: 'Sign out' }).click()
    await v.at('/admin/sign-in')
    await v.page.locator('input[name=token]').fill(made.token)
    await v.page.locator('input[name=code]').fill(totp(secret))
    await v.press(/^sign in$/i)
    await v.at('/admin/overview')
    await v.page.getByRole('link', { name: 'Tenants' }).click()
    await v.at('/admin/tenants')
    await v.page.locator('input[name=q]').fill('north')
    await v.press(/^show$/i)
    await v.page.getByRole('link', { name: host }).click()
    await v.at('/admin/t/' + host)
    await v.look('tenant')
    await keep(v)
    v.w.none('nothing in the console without script')
    await v.context.close()
  })
}

// keep makes a backup of a tenant, tries it, restores it beside the tenant and then in the place of what it made, and copies the tenant. The copy is moved to another database.
async function keep(v) {
  const at = '/admin/t/' + host, beside = `beside-${name()}.example.com`, copy = `copy-${name()}.example.com`
  await v.go(at + '/backups')
  await v.look('tenant backups, none')
  await v.sent(at + '/backups')
  await v.look('tenant backups, no recipient')
  await v.page.locator('input[name=unencrypted]').check()
  await v.sent(at + '/backups')
  await v.look('job under way')
  await v.ended('done')
  await v.look('job of a backup')
  await v.go(at + '/backups')
  await v.look('tenant backups')
  await v.go('/admin/backups')
  await v.look('backups')
  await v.backup()
  await v.look('backup')
  await v.press(/^try it$/i)
  await v.ended('done')
  await v.look('job of a trial')
  await v.go('/admin/recovery')
  await v.look('recovery')
  await v.backup()
  await v.sent('/admin/backups/restore')
  await v.look('restore, the tenant is there')
  await v.page.locator('input[name=replace]').check()
  await v.sent('/admin/backups/restore')
  await v.look('restore, not confirmed')
  await v.page.locator('input[name=replace]').uncheck()
  await v.page.locator('input[name=hostname]').fill(beside)
  await v.sent('/admin/backups/restore')
  await v.ended('done')
  await v.look('job of a restore')
  await v.go('/admin/t/' + beside)
  await v.look('tenant restored')
  await v.backup()
  await v.page.locator('input[name=hostname]').fill(beside)
  await v.page.locator('input[name=replace]').check()
  await v.page.locator('input[name=confirm]').fill(beside)
  await v.sent('/admin/backups/restore')
  await v.ended('done')
  await v.look('job of a restore in place')
  await v.go(at)
  await v.unfold()
  await v.field(at + '/clone', 'hostname').fill(host)
  await v.sent(at + '/clone')
  await v.look('tenant, copy refused')
  await v.field(at + '/clone', 'hostname').fill(copy)
  await v.sent(at + '/clone')
  await v.at(at)
  await v.look('tenant, copy begun')
  await v.page.locator('#jobs').getByRole('link', { name: 'tenant clone' }).first().click()
  await v.ended('done')
  await v.look('job of a copy')
  await v.go('/admin/t/' + copy)
  await v.unfold()
  await v.look('tenant copied')
  await v.field(`/admin/t/${copy}/move`, 'keep').fill('long')
  await v.sent(`/admin/t/${copy}/move`)
  await v.look('tenant, move refused')
  await v.field(`/admin/t/${copy}/move`, 'keep').fill('0')
  await v.sent(`/admin/t/${copy}/move`)
  await v.page.locator('#jobs').getByRole('link', { name: 'tenant move' }).first().click()
  await v.ended('done')
  await v.look('job of a move')
}

// locked makes a backup that is encrypted for a key of age, and puts it in the tenant's place: only its own key opens it, and
// until then the tenant stays as it is.
async function locked(v, who) {
  const [secret, recipient, other] = process.env.SUITE_AGE.split(' ')
  const at = '/admin/t/' + host
  await v.go(at + '/backups')
  await v.page.locator('textarea[name=recipients]').fill(recipient.slice(0, -4))
  await v.sent(at + '/backups')
  await v.told('is no recipient of age')
  await v.look('tenant backups, no such recipient')
  await v.page.locator('textarea[name=recipients]').fill(recipient)
  await v.sent(at + '/backups')
  await v.ended('done')
  await v.look('job of an encrypted backup')
  const late = await account(tenants[0], 'late')
  const there = async (one) => (await fetch(`${tenants[0]}/xrpc/com.atproto.repo.describeRepo?repo=${one.did}`)).status === 200

  const tried = async (identity) => {
    await v.backup(true)
    await v.field('/admin/backups/drill', 'identity').fill(identity)
    await v.sent('/admin/backups/drill')
  }
  await tried('AGE-SECRET-KEY-1')
  await v.told('The key cannot be used')
  await v.look('backup, no such key')
  await tried(other)
  await v.ended('failed')
  await v.told('The key does not open the backup')
  await v.look('job of a trial, wrong key')
  await tried(secret)
  await v.ended('done')
  await v.look('job of a trial with a key')

  const restored = async (identity, confirm = host) => {
    await v.backup(true)
    await v.unfold()
    await v.look('backup, encrypted')
    await v.field('/admin/backups/restore', 'identity').fill(identity)
    await v.page.locator('input[name=replace]').check()
    await v.page.locator('input[name=confirm]').fill(confirm)
    await v.sent('/admin/backups/restore')
  }
  await restored(other, 'another.example.com')
  await v.told('Not confirmed')
  await v.look('restore, encrypted, not confirmed')
  await restored('AGE-SECRET-KEY-1')
  await v.told('The key cannot be used')
  await v.look('restore, encrypted, no such key')
  await restored('')
  await v.ended('failed')
  await v.told('The backup is encrypted')
  await v.look('job of a restore, no key')
  await restored(other)
  await v.ended('failed')
  await v.told('The key does not open the backup')
  await v.look('job of a restore, wrong key')
  equal(await there(late), true, 'that the tenant is as it was after a wrong key')
  await restored(secret)
  await v.ended('done')
  await v.look('job of an encrypted restore in place')
  equal(await there(who), true, 'that who was there before the backup is there')
  equal(await there(late), false, 'that who came after the backup is there')
  await v.go(at)
  await v.unfold()
  await v.look('tenant restored in place')
  await v.go('/admin/jobs')
  await v.look('jobs of keys')
  await deleted(v)
}

// deleted: a backup goes when it was said twice.
async function deleted(v) {
  await v.backup(true)
  const mine = v.page.url()
  await v.unfold()
  await v.sent('/admin/backups/delete')
  await v.told('Not confirmed')
  await v.look('backup, deletion not confirmed')
  await v.page.locator('input[name=sure]').check()
  await v.sent('/admin/backups/delete')
  await v.at('/admin/backups')
  equal((await v.page.goto(mine)).status(), 404, 'the page of a backup that was deleted')
}

// tenantPages are those of one tenant.
const tenantPages = ['', '/accounts', '/accounts?q=nobody', '/accounts/new', '/signups', '/takedowns', '/invites', '/mail', '/settings', '/health', '/usage', '/jobs', '/log']

// ofTenant: what the tenant's own operators see, without script on a phone and with script.
async function ofTenant(who) {
  const at = '/admin/t/' + host
  for (const role of ['moderator', 'owner']) {
    await step(`what the tenant's ${role} sees and does`, async () => {
      const operator_ = 'dora-' + role
      locus('operator', 'add', host, operator_, '--role', role)
      const link = locus('dashboard', 'link', operator_, '--tenant', host).link
      const v = await operator({ script: role === 'owner' })
      await v.page.goto(link)
      await v.press(/go on/i)
      const secret = await v.page.locator('input[name=secret]').first().inputValue()
      await v.unfold()
      await v.page.locator('input[name=code]').fill(totp(secret))
      await v.press(/set up the app/i)
      await v.at(at)
      for (const page of [...tenantPages, '/backups', '/accounts/' + who.did]) {
        await v.go(at + page)
        await v.unfold()
        await v.look(`tenant ${role} ${page.replace(who.did, 'one') || 'overview'}`)
      }
      await v.go('/admin/own')
      await v.look(`tenant ${role} you`)
      await v.go('/admin/tenants')
      await v.look(`tenant ${role} refused`)
      if (role === 'owner') {
        await v.go(at + '/accounts/' + who.did)
        await v.page.getByRole('button', { name: /^Sign out .*board/ }).first().click()
        await v.look('account, an app signed out')
        await v.go(at + '/settings')
        await v.field(at + '/settings/secrets', 'end_sessions').check()
        await v.sent(at + '/settings/secrets')
        await v.look('settings, not confirmed')
        await v.field(at + '/settings/secrets', 'confirm').fill(host)
        await v.sent(at + '/settings/secrets')
        await v.look('settings, secrets replaced')
        await v.go(at + '/invites')
        await v.sent(at + '/invites')
        await v.look('invites made')
        await v.go(at + '/log')
        await v.look('tenant log with lines')
      }
      v.w.none(`nothing in the console of the tenant's ${role}`)
      await v.context.close()
    })
  }
}

// unseen: what is on its way is not looked at while nobody sees the page, and once when somebody comes back and it is over.
async function unseen(v) {
  let looks = 0
  await v.go('/admin/overview')
  v.page.on('request', (r) => { if (r.resourceType() === 'fetch') looks++ })
  const shown = (hidden) => v.page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
    document.getElementById('main').dataset.refresh = ''
    document.dispatchEvent(new Event('visibilitychange'))
  }, hidden)
  await shown(true)
  await v.page.waitForTimeout(4000)
  equal(looks, 0, 'looks at a page that nobody sees')
  await shown(false)
  await v.page.waitForFunction(() => !('refresh' in document.getElementById('main').dataset))
  await v.page.waitForTimeout(4000)
  equal(looks, 1, 'looks at a page that somebody came back to, and on which nothing is on its way')
}

async function passkeys(who) {
  await step('coming in by a link and a passkey, and what an owner does', async () => {
    const made = locus('dashboard', 'link', '--new', 'owner', '--label', 'Bea Example')
    const v = await operator()
    const cdp = await v.context.newCDPSession(v.page)
    await cdp.send('WebAuthn.enable', { enableUI: false })
    await cdp.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } })
    await v.page.goto(made.link)
    await v.press(/go on/i)
    await v.look('setup')
    await v.press(/make a passkey/i)
    await v.page.waitForURL(board + '/admin/overview')
    await v.look('overview')
    await v.page.getByRole('button', { name: 'Sign out' }).click()
    await v.at('/admin/sign-in')
    await v.look('sign in')
    await v.press(/use a passkey/i)
    await v.page.waitForURL(board + '/admin/overview')
    for (const page of ['tenants', 'tenants/new', 'findings', 'jobs', 'usage', 'backups', 'recovery', 'operators', 'audit', 'settings', 'own', 't/' + host, `t/${host}/usage`, `t/${host}/jobs`, `t/${host}/backups`, 'nothing']) {
      await v.go('/admin/' + page)
      await v.page.evaluate(() => { for (const d of document.querySelectorAll('details')) d.open = true })
      await v.look(page)
    }
    const fresh = `${name()}.${'a'.repeat(60)}.${'b'.repeat(60)}.example.com`
    await v.go('/admin/tenants/new')
    await v.page.locator('input[name=hostname]').fill('not a name')
    await v.press(/make the tenant/i)
    await v.look('tenants/new, wrong name')
    await v.page.locator('input[name=display_name]').fill('W'.repeat(100))
    await v.page.locator('input[name=hostname]').fill(fresh)
    await v.press(/make the tenant/i)
    await v.at('/admin/t/' + fresh)
    await v.look('tenant with long names')
    await v.page.locator('input[name=reason]').first().fill('tried')
    await v.press(/^suspend$/i)
    await v.at('/admin/t/' + fresh)
    // The part with the job is looked at by itself, until it has ended.
    await v.page.locator('#jobs .tag.success').first().waitFor()
    await v.page.reload()
    await v.look('tenant suspended')
    await v.press(/switch it on again/i)
    await v.go('/admin/jobs')
    await v.page.getByRole('link', { name: 'tenant suspend' }).first().click()
    await v.look('job')
    await unseen(v)
    await v.go('/admin/operators')
    await v.unfold()
    await v.page.locator('input[name=label]').fill('Carla ' + 'O'.repeat(90))
    await v.sent('/admin/operators/new')
    await v.look('operators, one made')
    if (who) await locked(v, who)
    v.w.none('nothing in the console with passkeys')
    await v.context.close()
  })
}

// away: what people see of a tenant that is suspended.
async function away() {
  await step('people come to a tenant that is suspended', async () => {
    const of = new URL(tenants[1]).host
    locus('tenant', 'suspend', of)
    const v = await operator()
    try {
      for (const path of ['/', '/account']) {
        await v.page.goto(tenants[1] + path)
        await v.page.getByText('This server is paused').waitFor()
        v.w.faults = v.w.faults.filter((f) => !new RegExp(`^503 ${tenants[1]}${path}$|^console: .*status of 503`).test(f)) // the page itself, and no file of it
        await v.look(`suspended tenant ${path}`)
      }
    } finally { locus('tenant', 'resume', of) }
    await v.context.close()
  })
}

const who = await step('an account with apps', person)
await codes()
await passkeys(who)
if (who) await ofTenant(who)
await away()
await browser.close()
done()
