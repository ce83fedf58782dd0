// @atcute/oauth-node-client, the other family of clients in JavaScript.
import { Client } from '@atcute/client'
import { CompositeDidDocumentResolver, LocalActorResolver, PlcDidDocumentResolver, WebDidDocumentResolver, WellKnownHandleResolver } from '@atcute/identity-resolver'
import { generateClientAssertionKey, MemoryStore, OAuthClient } from '@atcute/oauth-node-client'
import { account, app, callback, check, collection, done, equal, name, note, publish, refused, step, tenants, written } from './lib.mjs'
import { signIn } from './sign-in.mjs'

const scope = `atproto repo:${collection} account:email`
const actorResolver = new LocalActorResolver({
  handleResolver: new WellKnownHandleResolver(),
  didDocumentResolver: new CompositeDidDocumentResolver({ methods: { plc: new PlcDidDocumentResolver(), web: new WebDidDocumentResolver() } }),
})
const stores = () => ({ sessions: new MemoryStore(), states: new MemoryStore() })

const kinds = {
  async confidential() {
    const id = `${app}/atcute-${name()}.json`
    const client = new OAuthClient({
      metadata: { client_id: id, client_name: 'Atcute', redirect_uris: [callback], scope, jwks_uri: id.replace('.json', '-jwks.json') },
      keyset: [await generateClientAssertionKey('main', 'ES256')], stores: stores(), actorResolver,
    })
    await publish(id, client.metadata)
    await publish(client.metadata.jwks_uri, client.jwks)
    return { client, redirect: callback }
  },
  // the keys stand in the document itself
  async inline() {
    const id = `${app}/atcute-${name()}.json`
    const client = new OAuthClient({ metadata: { client_id: id, redirect_uris: [callback], scope }, keyset: [await generateClientAssertionKey('main', 'ES256')], stores: stores(), actorResolver })
    await publish(id, client.metadata)
    return { client, redirect: callback }
  },
  async loopback() {
    const redirect = 'http://127.0.0.1:8914/callback'
    return { client: new OAuthClient({ metadata: { redirect_uris: [redirect], scope }, stores: stores(), actorResolver }), redirect }
  },
}

for (const tenant of tenants) {
  for (const [kind, make] of Object.entries(kinds)) {
    const at = `${kind} at ${new URL(tenant).host}: `
    const who = await account(tenant, 'atcute')
    const { client, redirect } = await make()
    const session = await step(at + 'sign in', async () => {
      const { url } = await client.authorize({ target: { type: 'account', identifier: who.handle }, state: { mine: at } })
      const back = await signIn(url.href, who, redirect)
      const out = await client.callback(back.searchParams)
      equal(out.state.mine, at, 'state')
      equal(out.session.did, who.did, 'sub')
      return out.session
    })
    if (!session) continue
    const rpc = new Client({ handler: session })
    await step(at + 'write', async () => {
      const { ok, data } = await rpc.post('com.atproto.repo.createRecord', { input: note(who.did, 'written') })
      if (!ok) throw new Error(JSON.stringify(data))
      equal(await written(tenant, who.did, data.uri), 'written', 'what is there')
    })
    await step(at + 'the e-mail that was asked for', async () => {
      const { ok, data } = await rpc.get('com.atproto.server.getSession')
      if (!ok) throw new Error(JSON.stringify(data))
      equal(data.email, who.email, 'email')
    })
    await step(at + 'a write that was not asked for is refused', async () => {
      const { ok, data, status } = await rpc.post('com.atproto.repo.createRecord', { input: { repo: who.did, collection: 'app.bsky.feed.post', record: { $type: 'app.bsky.feed.post', text: 'no', createdAt: new Date().toISOString() } } })
      if (ok) throw new Error('it was allowed')
      equal(status, 403, 'status')
      equal(data.error, 'ScopeMissingError', 'error')
    })
    await step(at + 'refresh', async () => {
      const again = await client.restore(who.did, { refresh: true })
      const { ok, data } = await new Client({ handler: again }).post('com.atproto.repo.createRecord', { input: note(who.did, 'after the refresh') })
      if (!ok) throw new Error(JSON.stringify(data))
    })
    await step(at + 'revoke', async () => {
      await client.revoke(who.did)
      await refused(() => client.restore(who.did))
    })
  }
}
check('all kinds were tried', true)
done()
