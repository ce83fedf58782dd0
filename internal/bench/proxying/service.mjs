// A service of the network, as a stand-in: verifies service tokens with the reference's own code, notes what it was sent, and answers as
// the parameter "answer" says, or a report's reason. node service.mjs PLC-URL; its first line is its port.
import http from 'node:http'
import { createHash } from 'node:crypto'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { getDid, getSigningKey } from '@atproto/common-web'
import { P256_JWT_ALG, SECP256K1_JWT_ALG, formatDidKey, multibaseToBytes } from '@atproto/crypto'
import { verifyJwt } from '@atproto/xrpc-server'

const plc = process.argv[2]
let seen = []

// ---- tokens

async function signingKey(iss) {
  const res = await fetch(`${plc}/${iss.split('#')[0]}`)
  const doc = await res.json()
  if (!res.ok || getDid(doc) !== iss) throw new Error(`no document of ${iss}`)
  const key = getSigningKey(doc)
  if (key.type === 'Multikey') return 'did:key:' + key.publicKeyMultibase
  const alg = key.type === 'EcdsaSecp256r1VerificationKey2019' ? P256_JWT_ALG : SECP256K1_JWT_ALG
  return formatDidKey(alg, multibaseToBytes(key.publicKeyMultibase))
}

const part = (text) => JSON.parse(Buffer.from(text, 'base64url').toString())

// What a token says and whether it verifies for one of the names that this service has here, or for another's.
async function token(header, method, audience) {
  const jwt = /^Bearer (\S+)$/.exec(header ?? '')?.[1]
  if (!jwt) return { verified: header === undefined ? 'no token' : 'not a bearer token' }
  try {
    const [head, body] = jwt.split('.').slice(0, 2).map(part)
    const lxm = method === 'app.bsky.feed.getFeed' ? 'app.bsky.feed.getFeedSkeleton' : method
    const verified = await verifyJwt(jwt, audience ?? (names().includes(body.aud) ? body.aud : names()[0]), lxm, signingKey).then(() => 'yes', (err) => err.message)
    return {
      verified, typ: head.typ, alg: head.alg, iss: body.iss, aud: body.aud, lxm: body.lxm, seconds: body.exp - body.iat, fresh: Math.abs(Date.now() / 1000 - body.iat) < 35,
      jti: /^[0-9a-f]{32}$/.test(body.jti ?? ''), claims: Object.keys(body).sort().join(' '), head: Object.keys(head).sort().join(' '),
    }
  } catch (err) {
    return { verified: String(err) }
  }
}

// ---- what the service is called, and where it is

const port = () => server.address().port
const own = () => `did:web:localhost%3A${port()}`
const names = () => ['did:web:view.test', 'did:web:mod.test', 'did:web:report.test', 'did:web:feed.test', own()]
const types = { bsky_appview: 'BskyAppView', bsky_chat: 'BskyChatService', atproto_labeler: 'AtprotoLabeler', bsky_notif: 'BskyNotificationService', other: 'Any' }
const document = () => ({
  '@context': ['https://www.w3.org/ns/did/v1'],
  id: own(),
  service: [
    ...Object.entries(types).map(([id, type]) => ({ id: `#${id}`, type, serviceEndpoint: `http://localhost:${port()}` })),
    { id: '#gone', type: 'Any', serviceEndpoint: 'http://localhost:1' },
  ],
})

// ---- answers

const json = { 'content-type': 'application/json; charset=utf-8' }
const say = (status, headers, body) => (req, res) => res.writeHead(status, headers).end(body)
const sayJSON = (status, value, headers) => say(status, { ...json, ...headers }, JSON.stringify(value))
const failure = { error: 'SomeError', message: 'said by the service', other: 1, details: { a: [] } }
// Ends the connection in the middle of a body.
const cut = (status, headers, body) => (req, res) => {
  res.writeHead(status, headers)
  res.write(body, () => setTimeout(() => res.destroy(), 50))
}
const rev = '3aaaaaaaaaa2a'

const answers = {
  json: sayJSON(200, { ok: true }),
  headers: sayJSON(200, { ok: true }, {
    'content-language': 'en', 'atproto-repo-rev': rev, 'atproto-content-labelers': 'did:web:label.test;redact', 'retry-after': '5',
    'set-cookie': ['a=1; Path=/', 'b=2'], 'cache-control': 'public, max-age=60', etag: '"x"', 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT', expires: 'Thu, 01 Jan 2026 00:00:00 GMT',
    vary: 'Accept-Language', 'ratelimit-limit': '1', 'ratelimit-remaining': '0', 'ratelimit-reset': '1', 'ratelimit-policy': '1;w=1', 'www-authenticate': 'Bearer',
    'dpop-nonce': 'nonce', location: 'https://elsewhere.test/', link: '<x>; rel=y', 'content-disposition': 'inline', 'content-security-policy': "default-src 'none'",
    'access-control-allow-origin': 'https://elsewhere.test', 'access-control-allow-credentials': 'true', server: 'service', 'x-powered-by': 'service', 'x-atproto-answer': 'x',
    'clear-site-data': '"*"', 'strict-transport-security': 'max-age=1', 'atproto-upstream-lag': '9', age: '3', via: '1.1 x', 'accept-ranges': 'bytes',
  }),
  twice: (req, res) => res.writeHead(200, ['content-type', 'application/json', 'atproto-content-labelers', 'did:web:a.test', 'atproto-content-labelers', 'did:web:b.test', 'content-language', 'en', 'content-language', 'de']).end('{}'),
  bytes: say(200, { 'content-type': 'application/octet-stream' }, Buffer.alloc(3000, 7)),
  chunked: (req, res) => { res.writeHead(200, json); res.write('{"a":'); setTimeout(() => res.end('1}'), 20) },
  html: say(200, { 'content-type': 'text/html' }, '<p>hello'),
  untyped: say(200, {}, '{"a":1}'),
  empty: say(200, { 'content-length': '0' }),
  invalid: say(200, json, '{"not":'),
  gzip: say(200, { ...json, 'content-encoding': 'gzip' }, gzipSync('{"packed":true}')),
  br: say(200, { ...json, 'content-encoding': 'br' }, brotliCompressSync(Buffer.from('{"packed":true}'))),
  upto: say(200, { ...json, 'atproto-repo-rev': '3zzzzzzzzzz2z' }, '{"feed":[]}'),
  created: sayJSON(201, { ok: true }),
  nothing: say(204, {}),
  partial: say(206, { ...json, 'content-range': 'bytes 0-1/9' }, '{}'),
  moved: say(302, { location: 'https://elsewhere.test/', 'content-type': 'text/plain' }, 'moved'),
  unmodified: say(304, { etag: '"x"' }),
  large: say(200, { 'content-type': 'application/octet-stream' }, Buffer.alloc(11 << 20, 1)),
  'large-chunked': (req, res) => { res.writeHead(200, { 'content-type': 'application/octet-stream' }); res.write(Buffer.alloc(6 << 20, 1)); res.end(Buffer.alloc(5 << 20, 1)) },
  cut: cut(200, { ...json, 'content-length': '1000' }, '{"a":"' + 'x'.repeat(400)),
  'cut-chunked': cut(200, json, '{"a":"' + 'x'.repeat(400)),
  reset: (req) => req.socket.destroy(),
  garbage: (req) => req.socket.end('hello\r\n\r\n'),
  e400: sayJSON(400, failure),
  'e400-types': sayJSON(400, { error: 7, message: { a: 1 } }),
  'e400-unnamed': sayJSON(400, { message: 'no name' }),
  'e400-nameonly': sayJSON(400, { error: 'OnlyName' }),
  'e400-array': sayJSON(400, ['x']),
  'e400-null': sayJSON(400, null),
  'e400-html': say(400, { 'content-type': 'text/html' }, '<p>no'),
  'e400-untyped': say(400, {}, JSON.stringify(failure)),
  'e400-problem': say(400, { 'content-type': 'application/problem+json' }, JSON.stringify(failure)),
  'e400-broken': say(400, json, '{"error":'),
  'e400-empty': say(400, json),
  'e400-gzip': say(400, { ...json, 'content-encoding': 'gzip' }, gzipSync(JSON.stringify(failure))),
  'e400-badgzip': say(400, { ...json, 'content-encoding': 'gzip' }, 'not packed'),
  'e400-unknown': say(400, { ...json, 'content-encoding': 'zip' }, JSON.stringify(failure)),
  'e400-bomb': say(400, { ...json, 'content-encoding': 'gzip' }, gzipSync(JSON.stringify({ ...failure, long: ' '.repeat(20 << 20) }))),
  'e400-large': sayJSON(400, { ...failure, long: ' '.repeat(11 << 20) }),
  'e400-cut': cut(400, { ...json, 'content-length': '1000' }, '{"error":"SomeError"'),
  'e400-headers': sayJSON(400, failure, { 'atproto-repo-rev': rev, 'retry-after': '7', 'set-cookie': 'a=1', 'content-language': 'en', 'atproto-content-labelers': 'did:web:a.test', 'ratelimit-limit': '1' }),
  e401: sayJSON(401, { error: 'ExpiredToken', message: 'your token' }, { 'www-authenticate': 'Bearer realm="x"' }),
  'e401-auth': sayJSON(401, { error: 'AuthenticationRequired', message: 'who?' }),
  e403: sayJSON(403, failure),
  e404: sayJSON(404, failure),
  'e404-html': say(404, { 'content-type': 'text/html' }, '<p>not here'),
  e405: sayJSON(405, failure),
  e413: sayJSON(413, failure),
  e429: sayJSON(429, { error: 'RateLimitExceeded', message: 'slow down' }, { 'retry-after': '30', 'ratelimit-limit': '10' }),
  e418: sayJSON(418, failure),
  e500: sayJSON(500, { error: 'InternalServerError', message: 'said by the service' }),
  'e500-named': sayJSON(500, failure),
  'e500-text': say(500, { 'content-type': 'text/plain' }, 'stack trace'),
  e501: sayJSON(501, { error: 'MethodNotImplemented', message: 'not here' }),
  e502: sayJSON(502, failure),
  e503: sayJSON(503, { error: 'NotEnoughResources', message: 'later' }, { 'retry-after': '9' }),
  e504: sayJSON(504, failure),
  e599: sayJSON(599, failure),
}

// What some methods need to have to go on.
const feed = { uri: 'at://did:web:maker.test/app.bsky.feed.generator/feed', cid: 'bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku',
  value: { $type: 'app.bsky.feed.generator', did: 'did:web:feed.test', displayName: 'feed', createdAt: '2024-01-01T00:00:00.000Z' } }
const subject = { $type: 'com.atproto.admin.defs#repoRef', did: 'did:web:reported.test' }
const fixed = {
  'com.atproto.moderation.createReport': () => sayJSON(200, { id: 7, reasonType: 'com.atproto.moderation.defs#reasonSpam', subject, reportedBy: 'did:web:reporter.test', createdAt: '2024-01-01T00:00:00.000Z' }),
  'com.atproto.repo.getRecord': (q) => q.get('rkey') === 'feed' ? sayJSON(200, feed) : sayJSON(400, { error: 'RecordNotFound', message: 'no such record' }),
}

// The part of a video service: what it makes of a video it uploads with the token that it was given, which is for the owner's server.
async function video(req, res, url) {
  const upload = 'com.atproto.repo.uploadBlob'
  const said = await token(req.headers.authorization, upload, url.searchParams.get('aud'))
  const headers = { authorization: req.headers.authorization, 'content-type': 'video/mp4' }
  const stored = await fetch(`${url.searchParams.get('pds')}/xrpc/${upload}`, { method: 'POST', headers, body: '\0\0\0\x18ftypmp42\0\0\0\0mp42isom' })
  sayJSON(200, { token: said, status: stored.status, answer: await stored.json() })(req, res)
}

const server = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://x')
  if (url.pathname === '/.well-known/did.json') return sayJSON(200, document())(req, res)
  if (url.pathname === '/_video') return video(req, res, url)
  if (url.pathname === '/_seen') {
    sayJSON(200, seen)(req, res)
    seen = []
    return
  }
  const call = { method: req.method, target: req.url, headers: [], body: '' }
  seen.push(call)
  for (let i = 0; i < req.rawHeaders.length; i += 2) call.headers.push([req.rawHeaders[i].toLowerCase(), req.rawHeaders[i + 1]])
  const chunks = []
  try {
    for await (const chunk of req) chunks.push(chunk)
  } catch {
    call.body = 'cut'
  }
  const body = Buffer.concat(chunks)
  call.body ||= body.length > 200 || !/^[\x20-\x7e]*$/.test(body.toString('latin1')) ? `${body.length} bytes ${createHash('sha256').update(body).digest('hex').slice(0, 16)}` : body.toString()
  const method = /^\/xrpc\/([^/]+)/.exec(url.pathname)?.[1] ?? ''
  call.token = await token(req.headers.authorization, method)
  const wanted = url.searchParams.get('answer') ?? /"reason":"answer ([^"]*)"/.exec(body.toString())?.[1]
  const answer = wanted ? answers[wanted] : fixed[method]?.(url.searchParams) ?? answers.json
  if (answer) answer(req, res)
  else sayJSON(400, { error: 'NoSuchAnswer', message: wanted })(req, res)
})
server.maxHeaderSize = 1 << 16
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => console.log(port()))
