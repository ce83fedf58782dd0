/**
 * Drives a running server, named by LOCUS_URL (`internal/gen/clients-check.sh` starts one): a whole small life through the generated types.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createClient, result, XRPCError, type Session } from '../src/index.js'

const baseUrl = process.env['LOCUS_URL']
if (!baseUrl) throw new Error('LOCUS_URL names no server')
const collection = 'app.bsky.feed.post'
const refused = (status: number, name: string) => (e: unknown) => e instanceof XRPCError && e.status === status && e.error === name

test('account, session, records', async () => {
  const pds = createClient({ baseUrl })
  const server = await result(pds.GET('/xrpc/com.atproto.server.describeServer'))
  const name = 'ts' + randomBytes(5).toString('hex')
  const handle = name + server.availableUserDomains[0]
  const password = randomBytes(12).toString('hex')
  const inviteCode = process.env['LOCUS_INVITE']
  const made = await result(
    pds.POST('/xrpc/com.atproto.server.createAccount', { body: { handle, email: `${name}@example.com`, password, ...(inviteCode ? { inviteCode } : {}) } }),
  )
  assert.match(made.did, /^did:plc:[a-z2-7]{24}$/)
  assert.equal(made.handle, handle)

  await assert.rejects(
    result(pds.POST('/xrpc/com.atproto.server.createSession', { body: { identifier: handle, password: 'wrong' } })),
    refused(401, 'AuthenticationRequired'),
  )
  await assert.rejects(result(pds.GET('/xrpc/com.atproto.server.getSession')), (e) => e instanceof XRPCError && e.status === 401)
  const session: Session = await pds.signIn(handle, password)
  pds.session = session
  assert.equal((await result(pds.GET('/xrpc/com.atproto.server.getSession'))).did, made.did)
  const fresh = await result(pds.POST('/xrpc/com.atproto.server.refreshSession'))
  pds.session = fresh
  assert.notEqual(fresh.refreshJwt, session.refreshJwt)

  const uris: string[] = []
  for (let i = 0; i < 3; i++) {
    const record = { $type: collection, text: `post ${i} 🦋`, createdAt: new Date().toISOString() }
    const created = await result(pds.POST('/xrpc/com.atproto.repo.createRecord', { body: { repo: made.did, collection, record } }))
    assert.equal(created.validationStatus, 'valid')
    uris.push(created.uri)
    const rkey = created.uri.split('/').at(-1)!
    const got = await result(pds.GET('/xrpc/com.atproto.repo.getRecord', { params: { query: { repo: handle, collection, rkey } } }))
    assert.equal(got.cid, created.cid)
    assert.deepEqual(got.value, record)
  }
  const first = await result(pds.GET('/xrpc/com.atproto.repo.listRecords', { params: { query: { repo: made.did, collection, limit: 2 } } }))
  assert.ok(first.cursor)
  const second = await result(
    pds.GET('/xrpc/com.atproto.repo.listRecords', { params: { query: { repo: made.did, collection, limit: 2, cursor: first.cursor } } }),
  )
  assert.deepEqual([...first.records, ...second.records].map((r) => r.uri), uris.reverse())

  const all: string[] = []
  for await (const r of pds.all('com.atproto.repo.listRecords', 'records', { repo: made.did, collection, limit: 2 })) all.push(r.uri)
  assert.deepEqual(all, uris)
  const size = async (s: ReadableStream<Uint8Array>) => (await new Response(s).arrayBuffer()).byteLength
  const file = await pds.upload(new Blob(['text '.repeat(800)], { type: 'text/plain' }))
  await pds.post('com.atproto.repo.createRecord', { repo: pds.did, collection: 'org.example.file', record: { $type: 'org.example.file', file } })
  assert.equal(await size(await pds.blob(made.did, file.ref.$link)), 4000)
  assert.ok((await size(await pds.repo(made.did))) > 500)
  await assert.rejects(
    result(pds.GET('/xrpc/com.atproto.repo.getRecord', { params: { query: { repo: made.did, collection, rkey: '3jzfcijpj2z2a' } } })),
    refused(400, 'RecordNotFound'),
  )

  const last = pds.session
  await pds.signOut()
  pds.session = last
  await assert.rejects(result(pds.POST('/xrpc/com.atproto.server.refreshSession')), (e) => e instanceof XRPCError && e.status < 500)
})
