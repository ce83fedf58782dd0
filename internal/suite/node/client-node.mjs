// @atproto/oauth-client-node: what servers that sign people in are built on.
import { JoseKey, NodeOAuthClient, requestLocalLock } from '@atproto/oauth-client-node'
import { account, app, callback, check, done, equal, metadata, note, publish, refused, step, tenants, written, name } from './lib.mjs'
import { signIn } from './sign-in.mjs'

const store = () => {
  const m = new Map()
  return { get: async (k) => m.get(k), set: async (k, v) => void m.set(k, v), del: async (k) => void m.delete(k), all: m }
}
const options = (clientMetadata, keyset) => ({
  clientMetadata, keyset, stateStore: store(), sessionStore: store(), requestLock: requestLocalLock,
  handleResolver: { resolve: async (handle) => (await (await fetch(`https://${handle}/.well-known/atproto-did`)).text()).trim() },
})

async function confidential() {
  const id = `${app}/node-${name()}.json`
  const key = await JoseKey.generate(['ES256'], 'suite-1')
  const doc = metadata(id, { client_name: 'Node, confidential', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks_uri: id.replace('.json', '-jwks.json') })
  const use = options(doc, [key])
  const client = new NodeOAuthClient(use)
  await publish(doc.jwks_uri, JSON.parse(JSON.stringify(client.jwks)))
  await publish(id, doc)
  return { client, redirect: callback, sessions: use.sessionStore.all }
}
async function open() {
  const id = `${app}/open-${name()}.json`
  const doc = metadata(id, { client_name: 'Node, public' })
  await publish(id, doc)
  const use = options(doc)
  return { client: new NodeOAuthClient(use), redirect: callback, sessions: use.sessionStore.all }
}
async function development() {
  const redirect = 'http://127.0.0.1:8912/callback'
  const id = 'http://localhost?' + new URLSearchParams({ redirect_uri: redirect, scope: 'atproto transition:generic' })
  const doc = metadata(id, { client_name: undefined, client_uri: undefined, redirect_uris: [redirect], application_type: 'native' })
  const use = options(doc)
  return { client: new NodeOAuthClient(use), redirect, sessions: use.sessionStore.all }
}

async function life(kind, make, tenant) {
  const at = `${kind} at ${new URL(tenant).host}: `
  const who = await account(tenant, 'node')
  const { client, redirect, sessions } = await make()
  const state = name(12)
  let session
  await step(at + 'sign in', async () => {
    const url = await client.authorize(who.handle, { state, scope: 'atproto transition:generic' })
    const back = await signIn(url.href, who, redirect)
    equal(back.searchParams.get('iss'), tenant, 'iss')
    const out = await client.callback(back.searchParams)
    equal(out.state, state, 'state')
    session = out.session
    equal(session.did, who.did, 'sub')
  })
  if (!session) return
  const post = (text) => session.fetchHandler('/xrpc/com.atproto.repo.createRecord', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(note(who.did, text)) })
  await step(at + 'write', async () => {
    const res = await post('written')
    equal(res.status, 200, 'status')
    equal(await written(tenant, who.did, (await res.json()).uri), 'written', 'what is there')
  })
  await step(at + 'who am I', async () => {
    const res = await session.fetchHandler('/xrpc/com.atproto.server.getSession')
    equal(res.status, 200, 'status')
    const out = await res.json()
    equal(out.handle, who.handle, 'handle')
    equal(out.email, undefined, 'e-mail, which was not asked for,')
  })
  await step(at + 'refresh, and the session found again', async () => {
    const before = (await client.sessionGetter.getSession(who.did)).tokenSet.access_token
    session = await client.restore(who.did, true)
    const after = (await client.sessionGetter.getSession(who.did)).tokenSet.access_token
    check(at + 'another access token', before !== after, 'it is the same')
    equal((await post('after the refresh')).status, 200, 'status')
  })
  await step(at + 'revoke', async () => {
    const kept = sessions.get(who.did)
    await session.signOut()
    await refused(() => client.restore(who.did), /./)
    // What somebody has kept of it is worth nothing either.
    sessions.set(who.did, kept)
    const again = await client.restore(who.did, false)
    await refused(async () => {
      const res = await again.fetchHandler('/xrpc/com.atproto.server.getSession')
      if (!res.ok) throw new Error('status ' + res.status)
    }, /401|revoked|expired|invalid|deleted|session/i)
  })
}

for (const tenant of tenants) {
  for (const [kind, make] of Object.entries({ confidential, public: open, development })) {
    await life(kind, make, tenant).catch((e) => check(`${kind} at ${new URL(tenant).host}`, false, e.stack))
  }
}
await step('refused by the person', async () => {
  const who = await account(tenants[0], 'node')
  const { client, redirect } = await confidential()
  const url = await client.authorize(who.handle, { scope: 'atproto' })
  const back = await signIn(url.href, who, redirect, { deny: true })
  equal(back.searchParams.get('error'), 'access_denied', 'error')
  await refused(() => client.callback(back.searchParams), /denied|reject|refus/i)
})
done()
