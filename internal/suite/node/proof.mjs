// Proofs of possession, made by hand where a client's library makes none, or never makes a bad one.
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createHash, randomUUID } from 'node:crypto'

export class Key {
  nonces = new Map() // by origin
  static async make(pair) {
    const k = new Key()
    k.pair = pair ?? await generateKeyPair('ES256')
    k.jwk = await exportJWK(k.pair.publicKey)
    k.thumbprint = await calculateJwkThumbprint(k.jwk)
    return k
  }
  async proof(method, url, { token, nonce, header = {}, claims = {} } = {}) {
    const u = new URL(url)
    const ath = token && createHash('sha256').update(token).digest('base64url')
    return new SignJWT({ jti: randomUUID(), htm: method, htu: u.origin + u.pathname, ath, nonce: nonce ?? this.nonces.get(u.origin), ...claims })
      .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: this.jwk, ...header }).setIssuedAt(claims.iat).sign(this.pair.privateKey)
  }
  // send asks with a proof, once more where the server wants its nonce.
  async send(url, { method = 'GET', token, headers = {}, body, form, ...more } = {}) {
    for (let again = false; ; again = true) {
      const h = { ...headers, dpop: await this.proof(method, url, { token, ...more }) }
      if (token) h.authorization = 'DPoP ' + token
      const res = await fetch(url, { method, headers: h, body: form ? new URLSearchParams(form) : body })
      const nonce = res.headers.get('dpop-nonce')
      if (nonce) this.nonces.set(new URL(url).origin, nonce)
      if (again || !(res.status === 400 || res.status === 401)) return res
      const said = (res.headers.get('www-authenticate') ?? '') + (await res.clone().text())
      if (!/use_dpop_nonce/.test(said)) return res
    }
  }
}
