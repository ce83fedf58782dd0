/**
 * A typed client of an Aurora Locus server, and of the services that the server hands calls on to.
 *
 *     const pds = createClient({ baseUrl: 'https://pds.example' })
 *     await pds.signIn('alice.pds.example', password)
 *     const { uri } = await pds.post('com.atproto.repo.createRecord', { repo: pds.did, collection, record })
 *     for await (const { post } of pds.all('app.bsky.feed.getTimeline', 'feed')) console.log(post.uri)
 *
 * `get`, `post` and `all` take the names of the methods of com.atproto, app.bsky, chat.bsky and org.auroralocus, typed by their lexicons. `GET`
 * and `POST` are openapi-fetch over the server's own document. A session that has expired is refreshed once, by itself; calls that run at the
 * same time share the refresh. A refused call throws an XRPCError; `isError(e, 'InvalidSwap')` tells them apart.
 */
import createFetchClient, { type Client as FetchClient, type ClientOptions as FetchOptions } from 'openapi-fetch'
import { XRPCError, errorOf } from './errors.js'
import type { Procedures, Queries } from './lexicons.js'
import type { components, operations, paths } from './schema.js'
import { Sessions, type Session } from './session.js'

export { XRPCError, isError, type ErrorName, type ErrorsOf } from './errors.js'
export { is, type Procedures, type Queries, type Types } from './lexicons.js'
export type { Session } from './session.js'
export type { components, operations, paths }

/** The document's named types, such as Schemas['RepoCreateRecordInputBody']. */
export type Schemas = components['schemas']

export interface ClientOptions extends Omit<FetchOptions, 'baseUrl' | 'fetch'> {
  /** Origin of the server: its host decides which server answers. */
  baseUrl: string
  /** A session of before. */
  session?: Session
  /** Called with the new tokens after each refresh, to keep them. */
  onRefresh?: (session: Session) => void
  /** Used for methods of the operator while there is no session. */
  adminPassword?: string
  fetch?: typeof fetch
}

export interface CallOptions {
  /** The service to hand the call to, did:web:api.bsky.app#bsky_appview, instead of the one that the server is set up with. */
  via?: string
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** What can be sent as a file or an archive. A ReadableStream is sent as it comes. */
export type Upload = Blob | ArrayBuffer | Uint8Array | ReadableStream<Uint8Array>

type Item<L> = NonNullable<L> extends readonly (infer T)[] ? T : never

export interface Client extends FetchClient<paths> {
  /** Whose calls these are; assign undefined to be anybody. */
  session: Session | undefined
  /** DID of the signed-in account. */
  readonly did: string
  /** Opens a session by handle, DID or e-mail address and a password or app password. */
  signIn(identifier: string, password: string, code?: string): Promise<Session>
  /** Ends the session, here and on the server. */
  signOut(): Promise<void>
  /** Makes a query by its name. */
  get<N extends keyof Queries>(nsid: N, params?: Queries[N]['params'], options?: CallOptions): Promise<Queries[N]['output']>
  /** Calls a procedure by its name. */
  post<N extends keyof Procedures>(nsid: N, input?: Procedures[N]['input'], options?: CallOptions): Promise<Procedures[N]['output']>
  /** Makes a call that no lexicon here knows. */
  call<T = unknown>(verb: 'GET' | 'POST', nsid: string, input?: object, options?: CallOptions): Promise<T>
  /** Goes through every page of a query; member names the list in the answer. */
  all<N extends keyof Queries, M extends keyof Queries[N]['output'] & string>(
    nsid: N,
    member: M,
    params?: Queries[N]['params'],
    options?: CallOptions,
  ): AsyncGenerator<Item<Queries[N]['output'][M]>, void, undefined>
  /** Makes a query and gives its body to be read as it comes. */
  stream(nsid: string, params?: object, options?: CallOptions): Promise<ReadableStream<Uint8Array>>
  /** Sends a file up and gives the reference for a record. */
  upload(file: Upload, mimeType?: string): Promise<Schemas['Blob']>
  /** An account's repository as an archive (CAR). */
  repo(did: string): Promise<ReadableStream<Uint8Array>>
  /** A file of an account. */
  blob(did: string, cid: string): Promise<ReadableStream<Uint8Array>>
  /** Sends an archive up, which replaces the repository of an account that moves here. */
  importRepo(archive: Upload): Promise<void>
}

export function createClient(options: ClientOptions): Client {
  const { session, adminPassword, onRefresh, fetch: inner = fetch, ...rest } = options
  const origin = options.baseUrl.replace(/\/+$/, '')
  const sessions = new Sessions(origin, inner, adminPassword, onRefresh)
  sessions.session = session

  /** A call that throws what is refused. */
  async function send(verb: string, nsid: string, query: object | undefined, body: RequestInit['body'], type: string | undefined, o: CallOptions = {}) {
    const url = new URL(`${origin}/xrpc/${encodeURIComponent(nsid)}`)
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) url.searchParams.append(name, String(one))
    }
    const headers = new Headers(o.headers)
    if (type) headers.set('content-type', type)
    if (o.via) headers.set('atproto-proxy', o.via)
    const init: RequestInit = { method: verb, headers, ...(body == null ? {} : { body }), ...(o.signal ? { signal: o.signal } : {}) }
    if (body instanceof ReadableStream) Object.assign(init, { duplex: 'half' })
    const response = await sessions.send(() => new Request(url, init), !(body instanceof ReadableStream))
    if (!response.ok) throw await errorOf(response)
    return response
  }
  async function json(response: Response): Promise<unknown> {
    const text = await response.text()
    return text === '' ? undefined : JSON.parse(text)
  }
  const stream = async (nsid: string, params?: object, o?: CallOptions) => {
    const { body } = await send('GET', nsid, params, null, undefined, o)
    return body ?? new ReadableStream<Uint8Array>({ start: (c) => c.close() })
  }
  const call = async (verb: 'GET' | 'POST', nsid: string, input?: object, o?: CallOptions) =>
    json(
      await (verb === 'GET' || input === undefined
        ? send(verb, nsid, input, null, undefined, o)
        : send(verb, nsid, undefined, JSON.stringify(input), 'application/json', o)),
    )

  const client = createFetchClient<paths>({
    ...rest,
    baseUrl: origin,
    fetch: (request: Request) => {
      const spare = request.clone() // its body is JSON: small
      let first = true
      return sessions.send(() => (first ? ((first = false), request) : spare), true)
    },
  })
  const methods = {
    async signIn(identifier: string, password: string, code?: string) {
      const input = { identifier, password, ...(code === undefined ? {} : { authFactorToken: code }) }
      sessions.session = undefined
      sessions.session = (await call('POST', 'com.atproto.server.createSession', input)) as Session
      return sessions.session
    },
    async signOut() {
      if (!sessions.session) return
      try {
        await call('POST', 'com.atproto.server.deleteSession')
      } finally {
        sessions.session = undefined
      }
    },
    get: (nsid: string, params?: object, o?: CallOptions) => call('GET', nsid, params, o),
    post: (nsid: string, input?: object, o?: CallOptions) => call('POST', nsid, input, o),
    call,
    async *all(nsid: string, member: string, params?: object, o?: CallOptions) {
      const query: Record<string, unknown> = { ...params }
      for (;;) {
        const page = (await call('GET', nsid, query, o)) as Record<string, unknown>
        yield* (page[member] as unknown[] | undefined) ?? []
        const { cursor } = page
        if (typeof cursor !== 'string' || cursor === '' || cursor === query['cursor']) return
        query['cursor'] = cursor
      }
    },
    stream,
    async upload(file: Upload, mimeType?: string) {
      const type = mimeType ?? (file instanceof Blob && file.type !== '' ? file.type : 'application/octet-stream')
      const answer = await json(await send('POST', 'com.atproto.repo.uploadBlob', undefined, file as RequestInit['body'], type))
      return (answer as Schemas['RepoUploadBlobOutputBody']).blob
    },
    repo: (did: string) => stream('com.atproto.sync.getRepo', { did }),
    blob: (did: string, cid: string) => stream('com.atproto.sync.getBlob', { did, cid }),
    async importRepo(archive: Upload) {
      await send('POST', 'com.atproto.repo.importRepo', undefined, archive as RequestInit['body'], 'application/vnd.ipld.car')
    },
  }
  return Object.defineProperties(Object.assign(client, methods), {
    session: { get: () => sessions.session, set: (s: Session | undefined) => void (sessions.session = s), enumerable: true },
    did: { get: () => sessions.session?.did ?? '', enumerable: true },
  }) as unknown as Client
}

/** Waits for a call of GET or POST and returns its data, or throws an XRPCError. */
export async function result<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  const e = (typeof error === 'object' && error !== null ? error : {}) as { error?: unknown; message?: unknown }
  throw new XRPCError(response.status, typeof e.error === 'string' ? e.error : 'Unknown', typeof e.message === 'string' ? e.message : response.statusText)
}
