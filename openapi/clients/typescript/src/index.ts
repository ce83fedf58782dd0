/**
 * A typed client of an Aurora Locus server: openapi-fetch over the types that openapi-typescript makes of the server's own document.
 * It adds what XRPC has and OpenAPI cannot say: which of a session's two tokens a method takes, and errors with names.
 *
 *     const pds = createClient({ baseUrl: 'https://pds.example' })
 *     pds.session = await result(pds.POST('/xrpc/com.atproto.server.createSession', { body: { identifier, password } }))
 *     const made = await result(pds.POST('/xrpc/com.atproto.repo.createRecord', { body: { repo: pds.session.did, collection, record } }))
 */
import createFetchClient, { type Client as FetchClient, type ClientOptions as FetchOptions, type Middleware } from 'openapi-fetch'
import type { components, operations, paths } from './schema.js'

export type { components, operations, paths }

/** The document's named types, such as Schemas['RepoCreateRecordInputBody']. */
export type Schemas = components['schemas']

/** What createAccount, createSession and refreshSession answer; any of the three answers can be assigned. */
export interface Session {
  did: string
  handle: string
  accessJwt: string
  refreshJwt: string
}

export interface ClientOptions extends Omit<FetchOptions, 'baseUrl'> {
  /** Origin of the server: its host decides which tenant answers. */
  baseUrl: string
  session?: Session
  /** Used for methods of the operator while there is no session. */
  adminPassword?: string
}

export interface Client extends FetchClient<paths> {
  /** Whose calls these are; assign undefined to be anybody. */
  session: Session | undefined
}

/** The methods that take the refresh token. */
const refreshing = ['/xrpc/com.atproto.server.refreshSession', '/xrpc/com.atproto.server.deleteSession']

export function createClient(options: ClientOptions): Client {
  const { session, adminPassword, ...rest } = options
  const client: Client = Object.assign(createFetchClient<paths>(rest), { session })
  const authorize: Middleware = {
    onRequest({ request, schemaPath }) {
      if (request.headers.has('authorization')) return undefined
      const s = client.session
      if (s) request.headers.set('authorization', `Bearer ${refreshing.includes(schemaPath) ? s.refreshJwt : s.accessJwt}`)
      else if (adminPassword !== undefined) request.headers.set('authorization', `Basic ${btoa(`admin:${adminPassword}`)}`)
      return request
    },
  }
  client.use(authorize)
  return client
}

/** An answer other than 2xx. `error` is its name, for programs; `message` is for people. */
export class XRPCError extends Error {
  override readonly name = 'XRPCError'
  constructor(
    readonly status: number,
    readonly error: string,
    message: string,
  ) {
    super(message)
  }
}

/** Waits for a call and returns its data, or throws an XRPCError. */
export async function result<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  const e = (typeof error === 'object' && error !== null ? error : {}) as { error?: unknown; message?: unknown }
  throw new XRPCError(response.status, typeof e.error === 'string' ? e.error : 'Unknown', typeof e.message === 'string' ? e.message : response.statusText)
}
