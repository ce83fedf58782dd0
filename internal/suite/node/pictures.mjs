// Makes the pictures of the README: node pictures.mjs FOLDER, in the shell that "go run ./internal/suite -shell" gives.
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { app, call, callback, metadata, name, password, publish, tenants } from './lib.mjs'
import { launch } from './browser.mjs'
import { Key } from './proof.mjs'

const folder = process.argv[2]
const tenant = tenants[0], handle = 'alice.' + new URL(tenant).host
const me = await call(tenant, 'com.atproto.server.createAccount', { body: { handle, email: 'alice@example.net', password } })
for (let i = 0; i < 40; i++) await call(tenant, 'com.atproto.repo.createRecord', { token: me.accessJwt, body: { repo: me.did, collection: 'com.example.note', record: { $type: 'com.example.note', text: 'x'.repeat(2000), createdAt: new Date().toISOString() } } })
const id = `${app}/notes.json`
await publish(id, metadata(id, { client_name: 'Notes', scope: 'atproto repo:com.example.note blob:image/* account:email' }))
async function request() {
  const key = await Key.make()
  const res = await key.send(tenant + '/oauth/par', { method: 'POST', form: { client_id: id, response_type: 'code', redirect_uri: callback, scope: 'atproto repo:com.example.note blob:image/* account:email', state: name(), code_challenge: createHash('sha256').update(name(32)).digest('base64url'), code_challenge_method: 'S256', login_hint: handle } })
  return `${tenant}/oauth/authorize?${new URLSearchParams({ client_id: id, request_uri: (await res.json()).request_uri })}`
}
const browser = await launch()
async function picture(page, file, { width, height, scheme = 'light' }) {
  await page.setViewportSize({ width, height })
  await page.emulateMedia({ colorScheme: scheme })
  await page.evaluate('document.activeElement?.blur()')
  const cdp = await page.context().newCDPSession(page)
  const { data } = await cdp.send('Page.captureScreenshot', { format: 'webp', quality: 88 })
  writeFileSync(`${folder}/${file}.webp`, Buffer.from(data, 'base64'))
}
const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-US', deviceScaleFactor: 1.5 })
const page = await context.newPage()
await page.goto(await request())
await picture(page, 'sign-in', { width: 400, height: 760, scheme: 'dark' })
await page.locator('input[name=password]').fill(password)
await page.locator('input[name=remember][type=checkbox]').check()
await page.locator('form:has(input[name=password]) button:not([type=button])').first().click()
await page.getByRole('button', { name: /^allow/i }).waitFor()
await picture(page, 'consent', { width: 640, height: 1000 })
await page.getByRole('button', { name: /^allow/i }).click()
await page.waitForURL(callback + '**')
await page.goto(tenant + '/account')
await picture(page, 'account', { width: 1100, height: 760 })
await browser.close()
process.exit(0)
