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
  const session: Session = await result(pds.POST('/xrpc/com.atproto.server.createSession', { body: { identifier: handle, password } }))
  await assert.rejects(result(pds.GET('/xrpc/com.atproto.server.getSession')), (e) => e instanceof XRPCError && e.status === 401)
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
  assert.deepEqual([...first.records, ...second.records].map((r) => r.uri), uris.slice().reverse())

  const car = await result(pds.GET('/xrpc/com.atproto.sync.getRepo', { params: { query: { did: made.did } }, parseAs: 'arrayBuffer' }))
  assert.ok((car as unknown as ArrayBuffer).byteLength > 500)
  await assert.rejects(
    result(pds.GET('/xrpc/com.atproto.repo.getRecord', { params: { query: { repo: made.did, collection, rkey: '3jzfcijpj2z2a' } } })),
    refused(400, 'RecordNotFound'),
  )

  await result(pds.POST('/xrpc/com.atproto.server.deleteSession'))
  await assert.rejects(result(pds.POST('/xrpc/com.atproto.server.refreshSession')), (e) => e instanceof XRPCError && e.status < 500)
})
