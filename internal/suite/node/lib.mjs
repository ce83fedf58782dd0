// What all drivers share: the world they are in, their lines, accounts, documents of clients.
import { randomBytes } from 'node:crypto'

const env = (name) => process.env[name] ?? (() => { throw new Error(`${name} is not set: drivers are run by "go run ./internal/suite"`) })()

export const server = env('SUITE_SERVER') // locus or reference
export const ours = server === 'locus'
export const tenants = env('SUITE_TENANTS').split(' ')
export const quick = process.env.SUITE_QUICK === '1'
export const password = 'suite-password-1'

// ---- lines

let failures = 0
export function check(what, ok, why = '') {
  if (!ok) failures++
  console.log(`${ok ? 'ok   ' : 'FAIL '}${what}${ok ? '' : ' -- ' + why}`)
  return ok
}
const causes = (e) => (e ? `${e.message ?? e}${e.cause ? ' <- ' + causes(e.cause) : ''}` : '')
// step tries something, and says so in a line. It answers undefined where that failed.
export async function step(what, fn) {
  try {
    const out = await fn()
    check(what, true)
    return out ?? true
  } catch (e) {
    check(what, false, (causes(e) + (process.env.SUITE_STACKS ? '\n' + e.stack : '')).slice(0, 1500).replaceAll('\n', ' | '))
  }
}
export const done = () => process.exit(failures ? 1 : 0)
export function equal(got, want, what = 'it') {
  if (got !== want) throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(want)}`)
}
export async function refused(fn, want = /./) {
  let out
  try { out = await fn() } catch (e) {
    if (!want.test(causes(e))) throw new Error(`it was refused, but with "${causes(e)}", not ${want}`)
    return e
  }
  throw new Error('it was allowed: ' + JSON.stringify(out))
}
// until waits for a condition. It takes no longer than that many milliseconds, after which it is an error.
export async function until(what, fn, ms = 20000) {
  for (const end = Date.now() + ms; ;) {
    const v = await fn()
    if (v) return v
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`)
    await new Promise((r) => setTimeout(r, 50))
  }
}

// ---- calls

export const name = (n = 4) => randomBytes(n).toString('hex')
export async function call(base, nsid, { token, body, params, admin, method } = {}) {
  const url = new URL(`${base}/xrpc/${nsid}`)
  for (const [k, v] of Object.entries(params ?? {})) url.searchParams.append(k, v)
  const headers = {}
  if (token) headers.authorization = 'Bearer ' + token
  if (admin) headers.authorization = 'Basic ' + Buffer.from('admin:' + env('SUITE_ADMIN')).toString('base64')
  if (body !== undefined) headers['content-type'] = 'application/json'
  const res = await fetch(url, { method: method ?? (body === undefined ? 'GET' : 'POST'), headers, body: body === undefined ? undefined : JSON.stringify(body) })
  const text = await res.text()
  if (!res.ok) throw new Error(`${nsid}: ${res.status} ${text.slice(0, 300)}`)
  return text ? JSON.parse(text) : undefined
}
// account signs somebody up at a tenant.
export async function account(tenant, prefix) {
  const handle = `${prefix}${name(3)}.${new URL(tenant).host}`
  const email = handle.replaceAll('.', '-') + '@example.net'
  const out = await call(tenant, 'com.atproto.server.createAccount', { body: { handle, email, password } })
  return { ...out, handle, email, password, tenant }
}
export async function mails(to) { return (await fetch(`${env('SUITE_MAILS')}/?to=${encodeURIComponent(to)}`)).json() }

// ---- documents of clients

export async function publish(url, content) {
  const res = await fetch(url, { method: 'PUT', body: typeof content === 'string' ? content : JSON.stringify(content) })
  if (!res.ok) throw new Error(`publish ${url}: ${res.status}`)
  return url
}
export const app = 'https://app.suite.alt'
export const callback = app + '/callback'
// metadata is a client's document. Each driver has one of its own, so that what one server remembers of another is not seen.
export const metadata = (id, more = {}) => ({
  client_id: id, client_name: 'Suite', client_uri: app, redirect_uris: [callback], scope: 'atproto transition:generic',
  grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], application_type: 'web',
  token_endpoint_auth_method: 'none', dpop_bound_access_tokens: true, ...more,
})
await publish(callback, '<!doctype html><title>Back</title><p>You are back.</p>')

// ---- what each client shows

export const collection = 'com.example.suite.note'
export const note = (did, text) => ({ repo: did, collection, record: { $type: collection, text, createdAt: new Date().toISOString() } })
// written asks anybody's way whether a record is there.
export async function written(tenant, did, uri) {
  const out = await call(tenant, 'com.atproto.repo.getRecord', { params: { repo: did, collection, rkey: uri.split('/').pop() } })
  return out.value.text
}
