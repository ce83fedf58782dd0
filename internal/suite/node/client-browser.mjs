// Clients that live in the browser: @atproto/oauth-client-browser and @atcute/oauth-browser-client, on a page of another site.
import { build } from 'esbuild'
import { account, check, done, equal, metadata, name, publish, step, tenants, written } from './lib.mjs'
import { launch, signInOn } from './browser.mjs'

const site = 'https://spa.suite.alt'
const bundle = await build({ entryPoints: ['spa.js'], bundle: true, write: false, format: 'iife', platform: 'browser', logLevel: 'error' })
await publish(site + '/spa.js', bundle.outputFiles[0].text)
const html = '<!doctype html><meta charset=utf-8><title>Single page</title><p>A client.</p><script src="/spa.js"></script>'

const b = await launch(process.env.SUITE_BROWSER)

async function life(library, tenant) {
  const at = `${library} at ${new URL(tenant).host}: `
  const who = await account(tenant, 'spa')
  const page_ = `${site}/${library}-${name()}`, id = page_ + '.json'
  await publish(page_, html)
  await publish(id, metadata(id, { client_name: 'Single page', client_uri: site, redirect_uris: [page_] }))
  const context = await b.newContext({ locale: 'en-US', ignoreHTTPSErrors: true })
  try {
    const page = await context.newPage()
    const use = (fn, arg) => page.evaluate(`window.suite.${library}.${fn}(${JSON.stringify(arg ?? null)})`)
    const ok = await step(at + 'sign in', async () => {
      await page.goto(`${page_}?${new URLSearchParams({ document: id, tenant })}`)
      await signInOn(page, who, { redirect: page_, begin: () => use('begin', who.handle).catch((e) => { if (!/context was destroyed|navigat/i.test(e.message)) throw e }) })
      await page.waitForURL((u) => u.href.startsWith(page_))
      await page.waitForFunction('window.suite')
      const out = await use('finish')
      equal(out.did, who.did, 'sub')
      equal(out.state, 'mine', 'state')
    })
    if (!ok) return
    await step(at + 'write', async () => equal(await written(tenant, who.did, await use('write', 'from a page')), 'from a page', 'what is there'))
    await step(at + 'refresh', async () => equal(await use('refresh'), true, 'another token'))
    await step(at + 'write after the refresh', () => use('write', 'later'))
    await step(at + 'revoke', async () => {
      await use('end')
      const e = await use('write', 'too late').catch((e) => e)
      if (!(e instanceof Error)) throw new Error('a write is still allowed')
    })
  } finally { await context.close() }
}

for (const tenant of tenants) for (const library of ['official', 'mini']) await life(library, tenant).catch((e) => check(library, false, e.message))
await b.close()
done()
