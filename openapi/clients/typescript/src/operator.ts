/**
 * A typed client of the operator API of an Aurora Locus deployment, which creates, configures, watches and bills its tenants.
 *
 *     const api = createOperatorClient({ baseUrl: 'http://127.0.0.1:2584', token })
 *     const made = await operatorResult(api.POST('/v1/tenants', { headers: once(), body: { hostname: 'pds.example.com' } }))
 *
 * `GET`, `POST` and so on are openapi-fetch over the API's own document. A refused call throws an OperatorError, by whose code programs go.
 */
import createFetchClient, { type Client, type ClientOptions } from 'openapi-fetch'
import type { components, paths } from './operator-schema.js'

export type { components as OperatorComponents, paths as OperatorPaths }

/** The document's named types, such as OperatorSchemas['TenantDetail']. */
export type OperatorSchemas = components['schemas']

export interface OperatorOptions extends Omit<ClientOptions, 'baseUrl'> {
  /** Origin of the API. */
  baseUrl: string
  /** A token of the deployment. */
  token: string
}

export function createOperatorClient(options: OperatorOptions): Client<paths> {
  const { token, ...rest } = options
  const client = createFetchClient<paths>(rest)
  client.use({
    onRequest({ request }) {
      request.headers.set('authorization', `Bearer ${token}`)
      return request
    },
  })
  return client
}

/** Headers that name a POST: repeated under the same name within a day it is done once, and answered the same. */
export function once(key: string = crypto.randomUUID()): { 'Idempotency-Key': string } {
  return { 'Idempotency-Key': key }
}

/** An answer other than 2xx. `code` is for programs, `message` for people. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError'
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly problem: Partial<OperatorSchemas['Problem']>,
  ) {
    super(message)
  }
}

/** Waits for a call and returns its data, or throws an OperatorError. */
export async function operatorResult<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  const problem = (typeof error === 'object' && error !== null ? error : {}) as Partial<OperatorSchemas['Problem']>
  throw new OperatorError(response.status, problem.code ?? 'unknown', problem.detail ?? response.statusText, problem)
}
