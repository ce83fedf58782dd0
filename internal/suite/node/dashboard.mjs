// The dashboard of operators, in Chromium: with and without script, wide and narrow, light and dark, with a passkey and with codes.
import { execFileSync } from 'node:child_process'
import { account, done, equal, name, quick, step, tenants } from './lib.mjs'
import { launch } from './browser.mjs'
import { narrow, phone, wide, Watched } from './look.mjs'
import { totp } from './totp.mjs'

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
  const w = new Watched(page, { script, shapes: quick ? [[wide, 'light'], [phone, 'dark']] : [[wide, 'light'], [wide, 'dark'], [phone, 'light'], [narrow, 'dark']] })
  return {
    page, context, w, look: (what) => w.look('dashboard ' + what),
    press: (re) => page.locator('main').getByRole('button', { name: re }).or(page.locator('main').getByRole('link', { name: re })).first().click(),
    go: (path) => page.goto(board + path),
    at: async (path) => { await page.waitForLoadState(); equal(new URL(page.url()).pathname, path, 'the page') },
  }
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
    v.w.none('nothing in the console without script')
    await v.context.close()
  })
}

async function passkeys() {
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
    await account(tenants[0], 'board')
    for (const page of ['tenants', 'tenants/new', 'findings', 'jobs', 'usage', 'backups', 'operators', 'audit', 'settings', 'own', 't/' + host, `t/${host}/usage`, `t/${host}/jobs`, `t/${host}/backups`, 'nothing']) {
      await v.go('/admin/' + page)
      await v.page.evaluate(() => { for (const d of document.querySelectorAll('details')) d.open = true })
      await v.look(page)
    }
    const fresh = name() + '.example.com'
    await v.go('/admin/tenants/new')
    await v.page.locator('input[name=hostname]').fill('not a name')
    await v.press(/make the tenant/i)
    await v.look('tenants/new, wrong name')
    await v.page.locator('input[name=hostname]').fill(fresh)
    await v.press(/make the tenant/i)
    await v.at('/admin/t/' + fresh)
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
    v.w.none('nothing in the console with passkeys')
    await v.context.close()
  })
}

await codes()
await passkeys()
await browser.close()
done()
