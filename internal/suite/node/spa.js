// The page of a client without a server: what client-browser.mjs bundles, publishes and presses buttons of, as functions of the window.
import { Client } from '@atcute/client'
import { CompositeDidDocumentResolver, LocalActorResolver, PlcDidDocumentResolver, WebDidDocumentResolver, XrpcHandleResolver } from '@atcute/identity-resolver'
import * as atcute from '@atcute/oauth-browser-client'
import { BrowserOAuthClient } from '@atproto/oauth-client-browser'

const collection = 'com.example.suite.note'
const note = (repo, text) => ({ repo, collection, record: { $type: collection, text, createdAt: new Date().toISOString() } })

// tenant and document are put into the page's address.
const at = new URLSearchParams(location.search)
const document_ = at.get('document') ?? sessionStorage.document
const tenant = at.get('tenant') ?? sessionStorage.tenant
if (document_) Object.assign(sessionStorage, { document: document_, tenant })

const official = {
  async client() {
    this.made ??= await BrowserOAuthClient.load({ clientId: sessionStorage.document, handleResolver: sessionStorage.tenant, plcDirectoryUrl: 'https://plc.directory' })
    return this.made
  },
  async begin(handle) { await (await this.client()).signInRedirect(handle, { state: 'mine', scope: 'atproto transition:generic' }) },
  async popup(handle) { return (await (await this.client()).signInPopup(handle, { scope: 'atproto transition:generic' })).did },
  async finish() {
    const out = await (await this.client()).init()
    this.session = out.session
    return { did: out.session.did, state: out.state }
  },
  async write(text) {
    const res = await this.session.fetchHandler('/xrpc/com.atproto.repo.createRecord', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(note(this.session.did, text)) })
    const out = await res.json()
    if (!res.ok) throw new Error(res.status + ' ' + JSON.stringify(out))
    return out.uri
  },
  async refresh() {
    const token = async () => (await this.session.getTokenSet('auto')).access_token
    const before = await token()
    await this.session.getTokenSet(true)
    return before !== (await token())
  },
  async end() { await this.session.signOut() },
}

const mini = {
  configure() {
    atcute.configureOAuth({
      metadata: { client_id: sessionStorage.document, redirect_uri: location.origin + location.pathname },
      identityResolver: new LocalActorResolver({
        handleResolver: new XrpcHandleResolver({ serviceUrl: sessionStorage.tenant }),
        didDocumentResolver: new CompositeDidDocumentResolver({ methods: { plc: new PlcDidDocumentResolver(), web: new WebDidDocumentResolver() } }),
      }),
    })
  },
  async begin(handle) {
    this.configure()
    const url = await atcute.createAuthorizationUrl({ target: { type: 'account', identifier: handle }, scope: 'atproto transition:generic', state: 'mine' })
    await new Promise((r) => setTimeout(r, 200)) // as its documentation wants, for the browser's storage
    location.assign(url)
  },
  async finish() {
    this.configure()
    const { session, state } = await atcute.finalizeAuthorization(new URLSearchParams(location.hash.slice(1) || location.search))
    history.replaceState(null, '', location.pathname)
    this.did = session.info.sub
    this.agent = new atcute.OAuthUserAgent(session)
    return { did: this.did, state }
  },
  async write(text) {
    const { ok, data } = await new Client({ handler: this.agent }).post('com.atproto.repo.createRecord', { input: note(this.did, text) })
    if (!ok) throw new Error(JSON.stringify(data))
    return data.uri
  },
  async refresh() {
    const before = this.agent.session.token.access
    this.agent = new atcute.OAuthUserAgent(await atcute.getSession(this.did, { noCache: true }))
    return before !== this.agent.session.token.access
  },
  async end() { await this.agent.signOut() },
}

window.suite = { official, mini }
