// oauth4webapi: a client of OAuth that knows nothing of atproto. What it takes is plain OAuth 2.1 with DPoP and PAR.
import * as oauth from 'oauth4webapi'
import { account, app, callback, done, equal, metadata, name, note, publish, refused, step, tenants, written } from './lib.mjs'
import { Key } from './proof.mjs'
import { signIn } from './sign-in.mjs'

// twice asks again where the server wants its nonce: the handle has it by then.
async function twice(fn) {
  try { return await fn() } catch (e) {
    if (!oauth.isDPoPNonceError(e)) throw e
    return fn()
  }
}

async function client(kind) {
  const id = `${app}/raw-${name()}.json`
  if (kind === 'public') {
    await publish(id, metadata(id, { client_name: 'Plain OAuth' }))
    return { info: { client_id: id }, auth: oauth.None() }
  }
  const keys = await oauth.generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await crypto.subtle.exportKey('jwk', keys.publicKey)), kid: 'raw-1', use: 'sig', alg: 'ES256', key_ops: undefined, ext: undefined }
  await publish(id, metadata(id, { client_name: 'Plain OAuth', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [jwk] } }))
  return { info: { client_id: id }, auth: oauth.PrivateKeyJwt({ key: keys.privateKey, kid: 'raw-1' }) }
}

async function life(kind, tenant) {
  const at = `${kind} at ${new URL(tenant).host}: `
  const who = await account(tenant, 'raw')
  const { info, auth } = await client(kind)
  const as = await step(at + 'what the server says of itself', async () => {
    const found = await oauth.processResourceDiscoveryResponse(new URL(tenant), await oauth.resourceDiscoveryRequest(new URL(tenant)))
    equal(found.authorization_servers.length, 1, 'the number of authorization servers')
    const issuer = new URL(found.authorization_servers[0])
    const out = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' }))
    equal(out.issuer, tenant, 'issuer')
    return out
  })
  if (!as) return
  const keys = await oauth.generateKeyPair('ES256')
  const DPoP = oauth.DPoP(info, keys)
  const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState()
  const tokens = await step(at + 'sign in', async () => {
    const asked = { scope: 'atproto transition:generic', redirect_uri: callback, response_type: 'code', state, code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', login_hint: who.handle }
    const pushed = await twice(async () => oauth.processPushedAuthorizationResponse(as, info, await oauth.pushedAuthorizationRequest(as, info, auth, asked, { DPoP })))
    const url = new URL(as.authorization_endpoint)
    url.search = new URLSearchParams({ client_id: info.client_id, request_uri: pushed.request_uri })
    const back = await signIn(url.href, who, callback)
    const params = oauth.validateAuthResponse(as, info, back, state)
    const out = await twice(async () => oauth.processAuthorizationCodeResponse(as, info, await oauth.authorizationCodeGrantRequest(as, info, auth, params, callback, verifier, { DPoP })))
    equal(out.token_type, 'dpop', 'token_type')
    equal(out.sub, who.did, 'sub')
    await step(at + 'the code serves once', () => refused(() => twice(async () => oauth.processAuthorizationCodeResponse(as, info, await oauth.authorizationCodeGrantRequest(as, info, auth, params, callback, verifier, { DPoP }))), /invalid_grant|unexpected|response/i))
    return out
  })
  if (!tokens) return
  const ask = (token, nsid, body) => twice(() => oauth.protectedResourceRequest(token, body ? 'POST' : 'GET', new URL(`${tenant}/xrpc/${nsid}`), new Headers(body ? { 'content-type': 'application/json' } : {}), body ? JSON.stringify(body) : null, { DPoP }))
  // Once more: a server may have ended a session whose code came twice.
  const again = await step(at + 'sign in again', async () => {
    const v = oauth.generateRandomCodeVerifier()
    const asked = { scope: 'atproto transition:generic', redirect_uri: callback, response_type: 'code', state, code_challenge: await oauth.calculatePKCECodeChallenge(v), code_challenge_method: 'S256' }
    const pushed = await twice(async () => oauth.processPushedAuthorizationResponse(as, info, await oauth.pushedAuthorizationRequest(as, info, auth, asked, { DPoP })))
    const url = new URL(as.authorization_endpoint)
    url.search = new URLSearchParams({ client_id: info.client_id, request_uri: pushed.request_uri })
    const params = oauth.validateAuthResponse(as, info, await signIn(url.href, who, callback), state)
    return twice(async () => oauth.processAuthorizationCodeResponse(as, info, await oauth.authorizationCodeGrantRequest(as, info, auth, params, callback, v, { DPoP })))
  })
  if (!again) return
  await step(at + 'write', async () => {
    const res = await ask(again.access_token, 'com.atproto.repo.createRecord', note(who.did, 'plain'))
    equal(res.status, 200, 'status')
    equal(await written(tenant, who.did, (await res.json()).uri), 'plain', 'what is there')
  })
  const fresh = await step(at + 'refresh', async () => {
    const out = await twice(async () => oauth.processRefreshTokenResponse(as, info, await oauth.refreshTokenGrantRequest(as, info, auth, again.refresh_token, { DPoP })))
    equal((await ask(out.access_token, 'com.atproto.server.getSession')).status, 200, 'status')
    return out
  })
  if (!fresh) return
  await step(at + 'the access token from before the refresh is over', () => refused(() => ask(again.access_token, 'com.atproto.server.getSession'), /challenge|www-authenticate|401/i))
  for (const other of tenants.filter((t) => t !== tenant)) {
    await step(at + 'its token is unknown at ' + new URL(other).host, () => refused(() => twice(() => oauth.protectedResourceRequest(fresh.access_token, 'GET', new URL(other + '/xrpc/com.atproto.server.getSession'), undefined, null, { DPoP })), /challenge|www-authenticate|401/i))
  }
  await step(at + 'revoke', async () => {
    // This library revokes as RFC 7009 has it, without a proof. That may be refused, but not be said to have worked when it has not.
    const res = await oauth.revocationRequest(as, info, auth, fresh.refresh_token)
    if (res.status !== 200) {
      const key = await Key.make(keys)
      const form = new URLSearchParams({ client_id: info.client_id, token: fresh.refresh_token })
      await auth(as, info, form, new Headers())
      equal((await key.send(as.revocation_endpoint, { method: 'POST', form })).status, 200, 'status, with a proof,')
    }
    await refused(() => ask(fresh.access_token, 'com.atproto.server.getSession'), /challenge|www-authenticate|401/i)
    await refused(() => twice(async () => oauth.processRefreshTokenResponse(as, info, await oauth.refreshTokenGrantRequest(as, info, auth, fresh.refresh_token, { DPoP }))), /./)
  })
}

for (const tenant of tenants) for (const kind of ['public', 'confidential']) await life(kind, tenant)
done()
