/**
 * Drives the operator API of a running server, named by LOCUS_OPERATOR_URL and LOCUS_OPERATOR_TOKEN (`internal/gen/clients-check.sh` starts one).
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createOperatorClient, once, OperatorError, operatorResult } from '../src/operator.js'

const baseUrl = process.env['LOCUS_OPERATOR_URL']
const token = process.env['LOCUS_OPERATOR_TOKEN']

test('tenants, quotas, usage, tokens', { skip: baseUrl === undefined && 'LOCUS_OPERATOR_URL names no server' }, async () => {
  const api = createOperatorClient({ baseUrl: baseUrl!, token: token! })
  assert.equal((await operatorResult(api.GET('/v1/me'))).role, 'owner')
  const hostname = `ts${randomBytes(5).toString('hex')}.test`
  const headers = once()
  const made = await operatorResult(api.POST('/v1/tenants', { headers, body: { hostname, settings: { display_name: 'Made by TypeScript' } } }))
  assert.equal(made.state, 'active')
  const again = await operatorResult(api.POST('/v1/tenants', { headers, body: { hostname, settings: { display_name: 'Made by TypeScript' } } }))
  assert.deepEqual(again, made)
  const path = { tenant: hostname }
  await assert.rejects(operatorResult(api.POST('/v1/tenants', { body: { hostname } })), (e) => e instanceof OperatorError && e.code === 'name_taken')
  const set = await operatorResult(api.PUT('/v1/tenants/{tenant}/quotas', { params: { path }, body: { accounts: 10 } }))
  assert.deepEqual(set.quotas, { accounts: 10, records: 0, bytes: 0, requestsPerDay: 0 })
  let off = await operatorResult(api.POST('/v1/tenants/{tenant}/suspend', { params: { path }, body: { reason: 'a test' } }))
  while (!off.ended) off = await operatorResult(api.GET('/v1/jobs/{job}', { params: { path: { job: off.id }, query: { wait: 30 } } }))
  assert.equal(off.state, 'done')
  const own = await operatorResult(api.POST('/v1/tokens', { body: { label: 'ts', role: 'tenant', tenant: hostname } }))
  const inner = createOperatorClient({ baseUrl: baseUrl!, token: own.secret })
  assert.equal((await operatorResult(inner.GET('/v1/tenants/{tenant}', { params: { path } }))).settings['display_name'], 'Made by TypeScript')
  await assert.rejects(operatorResult(inner.GET('/v1/tenants')), (e) => e instanceof OperatorError && e.status === 403 && e.code === 'forbidden')
  await operatorResult(api.DELETE('/v1/tokens/{token}', { params: { path: { token: own.id } } }))
  await assert.rejects(operatorResult(inner.GET('/v1/me')), (e) => e instanceof OperatorError && e.code === 'unauthenticated')
  const usage = await operatorResult(api.GET('/v1/usage', { params: { query: { from: '2026-01-01', to: '2026-01-31' } } }))
  assert.ok(Array.isArray(usage.days))
  const log = await operatorResult(api.GET('/v1/tenants/{tenant}/audit', { params: { path } }))
  assert.ok(log.entries.some((e) => e.action === 'tenant create' && e.outcome === 'done'))
})
