// The rules of FAPI 2.0's security profile and of RFC 9449 that fit the profile of atproto, one by one: what a server must refuse is tried.
// spec: FAPI 2.0 Security Profile 5.3, RFC 9126, RFC 9207, RFC 9449, RFC 9700
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { account, app, callback, check, collection, done, metadata, name, note, publish, server, tenants } from './lib.mjs'
import { Key } from './proof.mjs'
import { ask, Person } from './person.mjs'
import { signIn } from './sign-in.mjs'

const tenant = tenants[0]
const who = await account(tenant, 'rule')
const person = new Person()
const as = await (await fetch(tenant + '/.well-known/oauth-authorization-server')).json()
const nothing = (o) => Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined))

// ---- a confidential client and a public one

const pair = await generateKeyPair('ES256'), stranger = await generateKeyPair('ES256')
const id = `${app}/rules-${name()}.json`, openId = `${app}/rules-open-${name()}.json`
const scope = `atproto repo:${collection}`
await publish(id, metadata(id, { scope, token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] } }))
await publish(openId, metadata(openId, { scope }))
const second = `${app}/rules-second-${name()}.json`
await publish(second, metadata(second, { scope }))

async function assertion({ claims = {}, header = {}, key = pair.privateKey, raw } = {}) {
  const now = Math.floor(Date.now() / 1000)
  const token = raw ?? await new SignJWT(nothing({ iss: id, sub: id, aud: as.issuer, jti: randomUUID(), iat: now, exp: now + 60, ...claims })).setProtectedHeader(nothing({ alg: 'ES256', kid: 'k1', ...header })).sign(key)
  return { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: token }
}
const challenge = (v) => createHash('sha256').update(v).digest('base64url')
const verifierOf = () => randomBytes(32).toString('base64url')

// push asks for an authorization, as well as it can be done but for what more says.
async function push({ client = id, key = keyOne, verifier = verifierOf(), more = {}, auth, ...proof } = {}) {
  const form = nothing({ client_id: client, response_type: 'code', redirect_uri: callback, scope, state: 'st', code_challenge: challenge(verifier), code_challenge_method: 'S256', login_hint: who.handle, ...(client === id ? auth ?? await assertion() : {}), ...more })
  const res = await key.send(as.pushed_authorization_request_endpoint, { method: 'POST', form, ...proof })
  return { status: res.status, headers: res.headers, body: await res.json().catch(() => ({})), verifier }
}
const authorizeURL = (client, uri) => `${as.authorization_endpoint}?${new URLSearchParams({ client_id: client, request_uri: uri })}`
async function code(options = {}) {
  const p = await push(options)
  if (p.status !== 201) throw new Error('PAR: ' + JSON.stringify(p.body))
  const back = await signIn(authorizeURL(options.client ?? id, p.body.request_uri), who, callback, { person })
  return { code: back.searchParams.get('code'), back, verifier: p.verifier, uri: p.body.request_uri }
}
async function token(form, { key = keyOne, client = id, auth, ...proof } = {}) {
  const res = await key.send(as.token_endpoint, { method: 'POST', form: nothing({ client_id: client, ...(client === id ? auth ?? await assertion() : {}), ...form }), ...proof })
  return { status: res.status, headers: res.headers, body: await res.json().catch(() => ({})) }
}
const redeem = (c, more = {}, options = {}) => token({ grant_type: 'authorization_code', code: c.code, redirect_uri: callback, code_verifier: c.verifier, ...more }, options)
const resource = (t, key = keyOne, more = {}) => key.send(`${tenant}/xrpc/com.atproto.server.getSession`, { token: t, ...more })

const keyOne = await Key.make(), keyTwo = await Key.make()
await keyOne.send(as.pushed_authorization_request_endpoint, { method: 'POST', form: {} }) // for the nonce
keyTwo.nonces = new Map(keyOne.nonces)

// navigated are what a browser says of a page that somebody goes to from elsewhere.
const navigated = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'cross-site' }

// ---- rules

const table = []
// rule tries one. The function answers true, or what it saw instead.
async function rule(where, what, fn) {
  let out
  try { out = await fn() } catch (e) { out = e.message }
  table.push({ where, what, held: out === true, saw: out === true ? '' : String(typeof out === 'object' ? JSON.stringify(out) : out).slice(0, 300) })
  check(`${where}: ${what}`, out === true, table.at(-1).saw)
}
const saw = (r) => `${r.status} ${JSON.stringify(r.body ?? '')}`
const refusedAs = (r, ...errors) => (r.status >= 400 && r.status < 500 && (errors.length === 0 || errors.includes(r.body?.error)) ? true : saw(r))

await rule('metadata', 'issuer is the origin it was fetched from', () => as.issuer === tenant || as.issuer)
await rule('metadata', 'iss in authorization responses is announced', () => as.authorization_response_iss_parameter_supported === true)
await rule('metadata', 'PAR is announced as required', () => as.require_pushed_authorization_requests === true)
await rule('metadata', 'only S256, only code, no symmetric or absent signatures', () => JSON.stringify(as.code_challenge_methods_supported) === '["S256"]' && JSON.stringify(as.response_types_supported) === '["code"]' && !as.dpop_signing_alg_values_supported.some((a) => /^HS|none/.test(a)) && !as.token_endpoint_auth_signing_alg_values_supported.some((a) => /^HS|none/.test(a)))
await rule('metadata', 'keys of signed access tokens are published, without private parts', async () => {
  const { keys } = await (await fetch(as.jwks_uri)).json()
  return (keys.length > 0 && keys.every((k) => !k.d)) || JSON.stringify(keys)
})

await rule('PAR', 'a good request is taken, 201 with request_uri and at most 600 s', async () => { const p = await push(); return (p.status === 201 && p.body.expires_in <= 600 && /^urn:ietf:params:oauth:request_uri:/.test(p.body.request_uri)) || saw(p) })
await rule('PAR', 'only POST', async () => { const r = await fetch(as.pushed_authorization_request_endpoint); return r.status === 405 || r.status })
await rule('PAR', 'PKCE is obligatory', async () => refusedAs(await push({ more: { code_challenge: undefined, code_challenge_method: undefined } }), 'invalid_request'))
await rule('PAR', 'PKCE "plain" is refused', async () => refusedAs(await push({ more: { code_challenge_method: 'plain' } }), 'invalid_request'))
await rule('PAR', 'response_type token is refused', async () => refusedAs(await push({ more: { response_type: 'token' } })))
await rule('PAR', 'an unregistered redirect_uri is refused', async () => refusedAs(await push({ more: { redirect_uri: 'https://evil.suite.alt/callback' } })))
await rule('PAR', 'a redirect_uri that only begins as the registered one is refused', async () => refusedAs(await push({ more: { redirect_uri: callback + '/../other' } })))
await rule('PAR', 'a redirect_uri with a query more is refused', async () => refusedAs(await push({ more: { redirect_uri: callback + '?x=1' } })))
await rule('PAR', 'request_uri is refused', async () => refusedAs(await push({ more: { request_uri: 'urn:ietf:params:oauth:request_uri:req-x' } })))
await rule('PAR', 'a scope that is not declared is refused', async () => refusedAs(await push({ more: { scope: 'atproto repo:com.example.other' } }), 'invalid_scope'))
await rule('PAR', 'a scope without atproto is refused', async () => refusedAs(await push({ more: { scope: 'repo:' + collection } }), 'invalid_scope'))
await rule('PAR', 'dpop_jkt of another key than the proof’s is refused', async () => refusedAs(await push({ more: { dpop_jkt: keyTwo.thumbprint } })))
await rule('PAR', 'answers are not kept by caches', async () => { const p = await push(); return /no-store/.test(p.headers.get('cache-control')) || String(p.headers.get('cache-control')) })
await rule('PAR', 'a missing nonce is asked for with 400 use_dpop_nonce', async () => {
  const k = await Key.make()
  const res = await fetch(as.pushed_authorization_request_endpoint, { method: 'POST', headers: { origin: app, dpop: await k.proof('POST', as.pushed_authorization_request_endpoint) }, body: new URLSearchParams({ client_id: id, response_type: 'code', redirect_uri: callback, scope, state: 's', code_challenge: challenge('x'.repeat(43)), code_challenge_method: 'S256', ...(await assertion()) }) })
  const body = await res.json()
  return (res.status === 400 && body.error === 'use_dpop_nonce' && !!res.headers.get('dpop-nonce') && /dpop-nonce/i.test(res.headers.get('access-control-expose-headers') ?? '')) || `${res.status} ${JSON.stringify(body)}`
})

for (const [what, make] of [
  ['without credentials', () => ({})],
  ['with another audience', () => assertion({ claims: { aud: 'https://other.example.com' } })],
  ['that has expired', () => assertion({ claims: { iat: 1700000000, exp: 1700000060 } })],
  ['of another issuer', () => assertion({ claims: { iss: openId } })],
  ['of another subject', () => assertion({ claims: { sub: openId } })],
  ['without jti', () => assertion({ claims: { jti: undefined } })],
  ['signed by a strange key', () => assertion({ key: stranger.privateKey })],
  ['with an unknown key', () => assertion({ header: { kid: 'k9' } })],
  ['without a key’s name', () => assertion({ header: { kid: undefined } })],
  ['signed by nobody', async () => assertion({ raw: [{ alg: 'none', kid: 'k1' }, { iss: id, sub: id, aud: as.issuer, jti: name(), iat: Math.floor(Date.now() / 1000) }].map((x) => Buffer.from(JSON.stringify(x)).toString('base64url')).join('.') + '.' })],
]) await rule('client', `an assertion ${what} is refused`, async () => { const p = await push({ auth: await make() }); return refusedAs(p, 'invalid_client', 'invalid_request') })
await rule('client', 'an assertion serves once', async () => { const a = await assertion(); const one = await push({ auth: a }); return one.status === 201 ? refusedAs(await push({ auth: a }), 'invalid_client', 'invalid_request', 'invalid_grant') : saw(one) })

for (const [what, proof] of [
  ['of another method', { claims: { htm: 'GET' } }],
  ['of another URL', { claims: { htu: 'https://other.example.com/oauth/par' } }],
  ['of another path', { claims: { htu: as.token_endpoint } }],
  ['without jti', { claims: { jti: undefined } }],
  ['of yesterday', { claims: { iat: Math.floor(Date.now() / 1000) - 86400 } }],
  ['of tomorrow', { claims: { iat: Math.floor(Date.now() / 1000) + 86400 } }],
  ['with an invented nonce', { nonce: 'invented-nonce' }],
  ['of another type', { header: { typ: 'JWT' } }],
  ['with another’s key in its header', { header: { jwk: keyTwo.jwk } }],
]) await rule('proof', `a proof ${what} is refused`, async () => refusedAs(await push(proof)))
await rule('proof', 'a proof with a private key is refused', async () => { const p = await generateKeyPair('ES256', { extractable: true }); const k = await Key.make(p); k.nonces = new Map(keyOne.nonces); return refusedAs(await push({ key: k, header: { jwk: await exportJWK(p.privateKey) } })) })
await rule('proof', 'a proof serves once', async () => {
  const at = as.pushed_authorization_request_endpoint, proof = await keyOne.proof('POST', at)
  const send = async () => { const res = await fetch(at, { method: 'POST', headers: { dpop: proof }, body: new URLSearchParams({ client_id: id, response_type: 'code', redirect_uri: callback, scope, state: 's', code_challenge: challenge(verifierOf()), code_challenge_method: 'S256', ...(await assertion()) }) }); return { status: res.status, body: await res.json() } }
  const one = await send()
  return one.status === 201 ? refusedAs(await send()) : saw(one)
})

await rule('authorize', 'a request that was not pushed is refused, with a page and no redirect', async () => {
  const u = new URL(as.authorization_endpoint)
  u.search = new URLSearchParams({ client_id: openId, response_type: 'code', redirect_uri: callback, scope, state: 's', code_challenge: challenge('x'.repeat(43)), code_challenge_method: 'S256' })
  const res = await ask(u, { headers: navigated })
  return (res.status >= 400 && res.status < 500) || `${res.status} ${res.headers.get('location') ?? ''}`
})
await rule('authorize', 'another client’s request_uri is refused', async () => {
  const p = await push({ client: openId })
  const res = await ask(authorizeURL(second, p.body.request_uri), { headers: navigated })
  const { text } = res
  return (res.status >= 400 || /error/i.test(res.headers.get('location') ?? '') || /__errorData|"error"/.test(text)) || `${res.status} ${text.slice(0, 100)}`
})
await rule('authorize', 'no script of another origin may read the page', async () => { const p = await push({ client: openId }); const res = await ask(authorizeURL(openId, p.body.request_uri), { headers: { ...navigated, origin: 'https://evil.suite.alt' } }); return res.headers.get('access-control-allow-origin') === null || 'Access-Control-Allow-Origin: ' + res.headers.get('access-control-allow-origin') })
await rule('authorize', 'the page may not be framed', async () => { const p = await push({ client: openId }); const res = await ask(authorizeURL(openId, p.body.request_uri), { headers: navigated }); return (/frame-ancestors 'none'/.test(res.headers.get('content-security-policy')) && /deny/i.test(res.headers.get('x-frame-options'))) || String(res.headers.get('content-security-policy')) })
await rule('authorize', 'and is refused where it is asked for from a frame', async () => { const p = await push({ client: openId }); const res = await ask(authorizeURL(openId, p.body.request_uri), { headers: { ...navigated, 'sec-fetch-dest': 'iframe' } }); return res.status >= 400 || res.status })

let first
await rule('code', 'the answer has code, state and iss', async () => { first = await code(); return (first.code && first.back.searchParams.get('iss') === as.issuer && first.back.searchParams.get('state') === 'st') || first.back.search })
await rule('code', 'the request_uri is over when it was answered', async () => {
  const res = await ask(authorizeURL(id, first.uri), { headers: navigated })
  const { text } = res
  return (res.status >= 400 || /__errorData|"error"/.test(text)) || `${res.status} ${text.slice(0, 100)}`
})
await rule('code', 'a wrong verifier is refused', async () => refusedAs(await redeem(await code(), { code_verifier: verifierOf() }), 'invalid_grant'))
await rule('code', 'another redirect_uri is refused', async () => refusedAs(await redeem(await code(), { redirect_uri: callback + '2' }), 'invalid_grant', 'invalid_request'))
await rule('code', 'another client is refused', async () => refusedAs(await redeem(await code({ client: openId }), {}, { client: second }), 'invalid_grant'))
await rule('code', 'another key than the one of PAR is refused', async () => refusedAs(await redeem(await code(), {}, { key: keyTwo })))
await rule('code', 'no proof, no token', async () => {
  const c = await code()
  const res = await fetch(as.token_endpoint, { method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', client_id: id, code: c.code, redirect_uri: callback, code_verifier: c.verifier, ...(await assertion()) }) })
  return refusedAs({ status: res.status, body: await res.json() }, 'invalid_dpop_proof', 'use_dpop_nonce', 'invalid_request')
})
let tokens
await rule('token', 'a code becomes a token of type DPoP for the account, with its scope', async () => { const t = await redeem(await code()); tokens = t.body; return (t.status === 200 && t.body.token_type === 'DPoP' && t.body.sub === who.did && typeof t.body.scope === 'string' && /no-store/.test(t.headers.get('cache-control'))) || saw(t) })
await rule('token', 'the access token lasts less than 30 minutes', () => tokens.expires_in < 1800 || tokens.expires_in)
await rule('token', 'a code serves once', async () => { const c = await code(); const one = await redeem(c); return one.status === 200 ? refusedAs(await redeem(c), 'invalid_grant') : saw(one) })
await rule('token', 'a challenge serves one code', async () => { const v = verifierOf(), one = await redeem(await code({ verifier: v })); return one.status === 200 ? refusedAs(await redeem(await code({ verifier: v })), 'invalid_grant', 'invalid_request') : saw(one) })
await rule('token', 'a used code in other hands ends what it began', async () => {
  const c = await code({ client: openId }), one = await redeem(c, {}, { client: openId })
  const thief = await redeem(c, {}, { client: openId, key: keyTwo })
  const after = await resource(one.body.access_token)
  return (one.status === 200 && thief.body.error === 'invalid_grant' && after.status === 401) || `${saw(one)} then ${saw(thief)} then ${after.status}`
})

await rule('resource', 'the token serves with its key', async () => { const r = await resource(tokens.access_token); return r.status === 200 || r.status })
await rule('resource', 'not with another key', async () => { const r = await resource(tokens.access_token, keyTwo); return r.status === 401 || r.status })
await rule('resource', 'not as a Bearer token', async () => { const r = await fetch(`${tenant}/xrpc/com.atproto.server.getSession`, { headers: { authorization: 'Bearer ' + tokens.access_token } }); return r.status >= 400 || r.status })
await rule('resource', 'not in the query', async () => { const r = await fetch(`${tenant}/xrpc/com.atproto.server.getSession?access_token=${tokens.access_token}`); return r.status >= 400 || r.status })
await rule('resource', 'not without ath', async () => { const r = await resource(tokens.access_token, keyOne, { claims: { ath: undefined } }); return r.status === 401 || r.status })
await rule('resource', 'not with the ath of another token', async () => { const r = await resource(tokens.access_token, keyOne, { claims: { ath: challenge('other') } }); return r.status === 401 || r.status })
await rule('resource', 'a proof serves once', async () => {
  const at = `${tenant}/xrpc/com.atproto.server.getSession`, dpop = await keyOne.proof('GET', at, { token: tokens.access_token })
  const send = async () => (await fetch(at, { headers: { authorization: 'DPoP ' + tokens.access_token, dpop } })).status
  const one = await send(), two = await send()
  return (one === 200 && two === 401) || `${one} then ${two}`
})
await rule('resource', '401 says DPoP, its algorithms and the error', async () => { const r = await resource(tokens.access_token, keyTwo); const h = r.headers.get('www-authenticate') ?? ''; return (/^DPoP/.test(h) && /algs="/.test(h) && /error="/.test(h)) || h })
await rule('resource', 'a missing scope is 403 and named in WWW-Authenticate', async () => {
  const res = await keyOne.send(`${tenant}/xrpc/com.atproto.repo.createRecord`, { method: 'POST', token: tokens.access_token, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ repo: who.did, collection: 'com.example.other', record: { $type: 'com.example.other' } }) })
  return (res.status === 403 && /insufficient_scope/.test(res.headers.get('www-authenticate') ?? '')) || `${res.status} ${res.headers.get('www-authenticate')} ${await res.text()}`
})
await rule('resource', 'what the scope covers is done', async () => { const res = await keyOne.send(`${tenant}/xrpc/com.atproto.repo.createRecord`, { method: 'POST', token: tokens.access_token, headers: { 'content-type': 'application/json' }, body: JSON.stringify(note(who.did, 'rules')) }); return res.status === 200 || `${res.status} ${await res.text()}` })

let fresh
await rule('refresh', 'not with another key, and that ends the session or leaves it as it was', async () => { const c = await redeem(await code()); const r = await token({ grant_type: 'refresh_token', refresh_token: c.body.refresh_token }, { key: keyTwo }); return refusedAs(r) })
await rule('refresh', 'not by another client', async () => { const c = await redeem(await code({ client: openId }), {}, { client: openId }); return refusedAs(await token({ grant_type: 'refresh_token', refresh_token: c.body.refresh_token }, { client: second }), 'invalid_grant') })
await rule('refresh', 'gives another refresh token, and the old access token is over', async () => { const r = await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }); fresh = r.body; const old = await resource(tokens.access_token); return (r.status === 200 && r.body.refresh_token !== tokens.refresh_token && old.status === 401) || `${saw(r)} then ${old.status}` })
await rule('refresh', 'a lost answer can be had again with the same key', async () => { const r = await token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }); if (r.status === 200) fresh = r.body; return r.status === 200 || saw(r) })
await rule('refresh', 'an old token with another key ends the session', async () => {
  const c = (await redeem(await code())).body, r = (await token({ grant_type: 'refresh_token', refresh_token: c.refresh_token })).body
  const thief = await token({ grant_type: 'refresh_token', refresh_token: c.refresh_token }, { key: keyTwo })
  const after = await resource(r.access_token)
  return (thief.status >= 400 && after.status === 401) || `${saw(thief)} then ${after.status}`
})

await rule('revoke', 'ends access and refresh at once', async () => {
  const c = (await redeem(await code())).body
  await keyOne.send(as.revocation_endpoint, { method: 'POST', form: { client_id: id, token: c.refresh_token, ...(await assertion()) } })
  const a = await resource(c.access_token), r = await token({ grant_type: 'refresh_token', refresh_token: c.refresh_token })
  return (a.status === 401 && r.status >= 400) || `${a.status} ${saw(r)}`
})
await rule('revoke', 'works without a proof, as RFC 7009 has it, or says that it does not', async () => {
  const c = (await redeem(await code({ client: openId }), {}, { client: openId })).body
  const res = await fetch(as.revocation_endpoint, { method: 'POST', body: new URLSearchParams({ client_id: openId, token: c.access_token }) })
  const a = await resource(c.access_token)
  return res.status !== 200 || a.status === 401 || 'it said 200, and the token still serves'
})
await rule('revoke', 'another client’s token is left alone', async () => {
  const c = (await redeem(await code({ client: openId }), {}, { client: openId })).body
  await keyOne.send(as.revocation_endpoint, { method: 'POST', form: { client_id: second, token: c.refresh_token } })
  const a = await resource(c.access_token)
  return a.status === 200 || a.status
})

await rule('races', 'one code, 16 redeemers: one session at most', async () => {
  const c = await code()
  const all = await Promise.all(Array.from({ length: 16 }, () => redeem(c)))
  const won = all.filter((r) => r.status === 200)
  return won.length <= 1 || `${won.length} sessions`
})
await rule('races', 'one refresh token, 16 with the same key: one successor', async () => {
  const c = (await redeem(await code())).body
  const all = await Promise.all(Array.from({ length: 16 }, () => token({ grant_type: 'refresh_token', refresh_token: c.refresh_token })))
  const won = new Set(all.filter((r) => r.status === 200).map((r) => r.body.refresh_token))
  const last = won.size === 1 ? await token({ grant_type: 'refresh_token', refresh_token: [...won][0] }) : undefined
  return (won.size === 1 && last.status === 200) || `${won.size} successors of ${all.filter((r) => r.status === 200).length} answers, ${last ? saw(last) : ''} ${saw(all.find((r) => r.status !== 200) ?? {})}`
})
await rule('races', 'one proof, 16 at once: taken once', async () => {
  const c = (await redeem(await code())).body
  const at = `${tenant}/xrpc/com.atproto.server.getSession`, dpop = await keyOne.proof('GET', at, { token: c.access_token })
  const all = await Promise.all(Array.from({ length: 16 }, async () => (await fetch(at, { headers: { authorization: 'DPoP ' + c.access_token, dpop } })).status))
  return all.filter((s) => s === 200).length === 1 || all.join(' ')
})

for (const other of tenants.slice(1)) {
  await rule('tenants', 'a token, a code, a refresh token and a request are unknown at another tenant', async () => {
    const there = await (await fetch(other + '/.well-known/oauth-authorization-server')).json()
    const c = await code({ client: openId }), t = (await redeem(await code({ client: openId }), {}, { client: openId })).body, p = await push({ client: openId })
    const a = await keyOne.send(other + '/xrpc/com.atproto.server.getSession', { token: t.access_token })
    const b = await keyOne.send(there.token_endpoint, { method: 'POST', form: { grant_type: 'authorization_code', client_id: openId, code: c.code, redirect_uri: callback, code_verifier: c.verifier } })
    const d = await keyOne.send(there.token_endpoint, { method: 'POST', form: { grant_type: 'refresh_token', client_id: openId, refresh_token: t.refresh_token } })
    const e = await ask(`${there.authorization_endpoint}?${new URLSearchParams({ client_id: openId, request_uri: p.body.request_uri })}`, { headers: navigated })
    const mine = await resource(t.access_token)
    return (a.status === 401 && b.status >= 400 && d.status >= 400 && e.status >= 400 && mine.status === 200) || [a, b, d, e, mine].map((r) => r.status).join(' ')
  })
}

writeFileSync(`${process.env.SUITE_DIR}/rules-${server}.json`, JSON.stringify(table))
if (process.env.SUITE_RULES) writeFileSync(`${process.env.SUITE_RULES}/rules-${server}.json`, JSON.stringify(table, null, 1))
done()
