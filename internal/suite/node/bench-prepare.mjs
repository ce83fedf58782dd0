// Makes what the benchmark begins with, and prints where it is: a confidential client, accounts that are signed in, browsers that remember them.
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { account, app, callback, metadata, name, ours, publish, tenants } from './lib.mjs'
import { Key } from './proof.mjs'
import { Person, authorize } from './person.mjs'

const [file, count] = process.argv.slice(2)
const tenant = tenants[0]
const as = await (await fetch(tenant + '/.well-known/oauth-authorization-server')).json()
const pair = await generateKeyPair('ES256', { extractable: true })
const id = `${app}/bench-${name()}.json`, jwk = await exportJWK(pair.privateKey)
const { d, ...open } = jwk
await publish(id, metadata(id, { client_name: 'Bench', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [{ ...open, kid: 'bench-1', use: 'sig', alg: 'ES256' }] } }))
const assertion = async () => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: await new SignJWT({ jti: randomUUID() }).setProtectedHeader({ alg: 'ES256', kid: 'bench-1' }).setIssuer(id).setSubject(id).setAudience(as.issuer).setIssuedAt().setExpirationTime('60s').sign(pair.privateKey),
})

const people = []
for (let i = 0; i < Number(count); i++) {
  const who = await account(tenant, 'bench')
  const key = await Key.make(await generateKeyPair('ES256', { extractable: true }))
  const verifier = randomBytes(32).toString('base64url')
  const pushed = await (await key.send(as.pushed_authorization_request_endpoint, { method: 'POST', form: { client_id: id, response_type: 'code', redirect_uri: callback, scope: 'atproto transition:generic', state: name(), code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256', login_hint: who.handle, ...(await assertion()) } })).json()
  if (!pushed.request_uri) throw new Error(JSON.stringify(pushed))
  const url = `${as.authorization_endpoint}?${new URLSearchParams({ client_id: id, request_uri: pushed.request_uri })}`
  let back, cookies, agent
  if (ours) {
    const person = new Person()
    back = await authorize(url, who, { person, redirect: callback, remember: true })
    cookies = Object.fromEntries(person.cookies.get(new URL(tenant).host))
    agent = person.agent
  } else {
    const { browser, signInOn } = await import('./browser.mjs')
    const context = await (await browser()).newContext({ locale: 'en-US' })
    const page = await context.newPage()
    agent = await page.evaluate('navigator.userAgent')
    back = await signInOn(page, who, { redirect: callback, begin: () => page.goto(url), remember: true })
    cookies = Object.fromEntries((await context.cookies(tenant)).map((c) => [c.name, c.value]))
    await context.close()
  }
  if (!back.searchParams.get('code')) throw new Error(back.href)
  const form = { grant_type: 'authorization_code', client_id: id, code: back.searchParams.get('code'), redirect_uri: callback, code_verifier: verifier, ...(await assertion()) }
  const tokens = await (await key.send(as.token_endpoint, { method: 'POST', form })).json()
  if (!tokens.access_token) throw new Error(JSON.stringify(tokens))
  people.push({ did: who.did, handle: who.handle, bearer: who.accessJwt, key: await exportJWK(key.pair.privateKey), access: tokens.access_token, refresh: tokens.refresh_token, cookies, agent })
}
writeFileSync(file, JSON.stringify({ client: id, clientKey: jwk, redirect: callback, issuer: as.issuer, par: as.pushed_authorization_request_endpoint, authorize: as.authorization_endpoint, token: as.token_endpoint, people }))
console.log('ok   prepared')
process.exit(0)
