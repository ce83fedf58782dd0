/** The client against a stand-in: sessions, refreshing, pages, streams, errors. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { createClient, is, isError, result, type ErrorsOf, type Queries, type Types } from '../src/index.js'

interface Seen {
  path: string
  authorization: string | undefined
  proxy: string | undefined
  body: string
}
let valid = 'access'
let refreshes = 0
let refusing = false
const seen: Seen[] = []
const read = async (r: IncomingMessage) => {
  let all = ''
  for await (const chunk of r) all += chunk
  return all
}
const server = createServer(async (req, res) => {
  const url = new URL(req.url!, 'http://x')
  const path = url.pathname.replace('/xrpc/', '')
  const authorization = req.headers.authorization
  seen.push({ path, authorization, proxy: req.headers['atproto-proxy'] as string | undefined, body: await read(req) })
  const answer = (status: number, body: object) => {
    res.writeHead(status, { 'content-type': 'application/json' })
    res.end(JSON.stringify(body))
  }
  if (path === 'com.atproto.server.refreshSession') {
    if (refusing || authorization !== `Bearer refresh${refreshes++}`) return answer(400, { error: 'ExpiredToken', message: 'no' })
    valid = `access${refreshes}`
    return answer(200, { did: 'did:plc:x', handle: 'x.test', accessJwt: valid, refreshJwt: `refresh${refreshes}` })
  }
  if (authorization?.startsWith('Bearer access') && authorization !== `Bearer ${valid}`) return answer(400, { error: 'ExpiredToken', message: 'old' })
  if (path === 'app.bsky.feed.getTimeline') {
    const next: Record<string, string> = { '': 'b', b: 'c' }
    const at = url.searchParams.get('cursor') ?? ''
    return answer(200, { feed: [{ post: { uri: at, embed: { $type: 'app.bsky.embed.images#view', images: [] } } }], ...(next[at] ? { cursor: next[at] } : {}) })
  }
  if (path === 'com.atproto.repo.putRecord') return answer(400, { error: 'InvalidSwap', message: 'swap' })
  if (path === 'com.atproto.repo.uploadBlob') return answer(200, { blob: { $type: 'blob', ref: { $link: 'bafkrei' }, mimeType: 'text/plain', size: 3 } })
  answer(200, { did: 'did:plc:x', handle: 'x.test' })
})
await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
after(() => server.close())
const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const session = (accessJwt: string, refreshJwt: string) => ({ did: 'did:plc:x', handle: 'x.test', accessJwt, refreshJwt })
const fresh = (accessJwt = 'access-old') => {
  refusing = false
  seen.length = 0
  return createClient({ baseUrl, session: session(accessJwt, `refresh${refreshes}`) })
}

test('calls at the same time share one refresh and keep their bodies', async () => {
  const pds = fresh()
  const before = refreshes
  const calls = Array.from({ length: 10 }, (_, n) => pds.call('POST', 'example.write', { n }))
  calls.push(result(pds.POST('/xrpc/com.atproto.server.createAppPassword', { body: { name: 'phone' } })))
  await Promise.all(calls)
  assert.equal(refreshes, before + 1)
  const good = new Set(seen.filter((s) => s.authorization === `Bearer ${valid}`).map((s) => s.body))
  assert.equal(good.size, 11)
  assert.equal(pds.session?.refreshJwt, `refresh${refreshes}`)
})

test('a session that cannot be refreshed is told as it was, once', async () => {
  const pds = fresh()
  refusing = true
  await assert.rejects(pds.get('app.bsky.feed.getTimeline'), (e) => isError(e, 'ExpiredToken') && e.message === 'old')
  assert.equal(seen.length, 2)
})

test('pages, a service by name, unions, errors', async () => {
  const pds = fresh(valid)
  const uris: string[] = []
  for await (const { post } of pds.all('app.bsky.feed.getTimeline', 'feed', { limit: 1 }, { via: 'did:web:app.example#bsky_appview' })) {
    uris.push(post.uri)
    assert.ok(is(post.embed, 'app.bsky.embed.images#view') && post.embed.images.length === 0)
  }
  assert.deepEqual(uris, ['', 'b', 'c'])
  assert.ok(seen.every((s) => s.proxy === 'did:web:app.example#bsky_appview'))
  const name: ErrorsOf['com.atproto.repo.putRecord'] = 'InvalidSwap'
  await assert.rejects(pds.post('com.atproto.repo.putRecord', { repo: pds.did, collection: 'a.b.c', rkey: 'x', record: {} }), (e) => isError(e, name) && e.status === 400)
  // Types only: what the lexicons say.
  const limit: Queries['app.bsky.feed.getTimeline']['params']['limit'] = 3
  const post: Types['app.bsky.feed.post'] = { text: 'Hello', createdAt: '2026-11-28T12:00:00Z' }
  assert.ok(limit && post)
})

test('a stream is sent once, with a token that is refreshed before; a blob is sent again', async () => {
  const claims = Buffer.from(JSON.stringify({ exp: Math.floor(Date.now() / 1000) })).toString('base64url')
  const pds = fresh(`access.${claims}.x`)
  const stream = new ReadableStream<Uint8Array>({
    start(c) {
      c.enqueue(new TextEncoder().encode('stream'))
      c.close()
    },
  })
  assert.equal((await pds.upload(stream, 'text/plain')).ref.$link, 'bafkrei')
  assert.deepEqual(seen.map((s) => s.path), ['com.atproto.server.refreshSession', 'com.atproto.repo.uploadBlob'])
  assert.equal(seen[1]!.body, 'stream')
  pds.session = session('access-old', `refresh${refreshes}`)
  await pds.upload(new Blob(['file'], { type: 'text/plain' }))
  assert.equal(seen.at(-1)!.body, 'file')
  const text = await new Response(await pds.stream('example.read')).text()
  assert.match(text, /did:plc:x/)
})
