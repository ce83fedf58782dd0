import { errorOf } from './errors.js'

/** What createAccount, createSession and refreshSession answer; any of the three answers can be assigned. */
export interface Session {
  did: string
  handle: string
  accessJwt: string
  refreshJwt: string
}

/** The methods that take the refresh token. */
const refreshing = ['com.atproto.server.refreshSession', 'com.atproto.server.deleteSession']

/** Sends calls in a session's name, and refreshes it once for all calls that find it expired. */
export class Sessions {
  session: Session | undefined
  private underWay: Promise<boolean> | undefined

  constructor(
    private readonly origin: string,
    private readonly inner: typeof fetch,
    private readonly adminPassword: string | undefined,
    private readonly onRefresh: ((session: Session) => void) | undefined,
  ) {}

  /** make gives the request, each time a new one. A stream can be sent once only: again is false. */
  async send(make: () => Request, again: boolean): Promise<Response> {
    const request = make()
    const s = this.session
    if (request.headers.has('authorization')) return this.inner(request)
    if (!s) {
      if (this.adminPassword !== undefined) request.headers.set('authorization', `Basic ${btoa(`admin:${this.adminPassword}`)}`)
      return this.inner(request)
    }
    if (refreshing.some((m) => new URL(request.url).pathname.endsWith(`/${m}`))) {
      request.headers.set('authorization', `Bearer ${s.refreshJwt}`)
      return this.inner(request)
    }
    if (!again && expires(s.accessJwt) < Date.now() + 60_000) await this.renew(s.accessJwt).catch(() => false)
    const token = (this.session ?? s).accessJwt
    request.headers.set('authorization', `Bearer ${token}`)
    const response = await this.inner(request)
    if (!again || (response.status !== 400 && response.status !== 401)) return response
    const body = (await response.clone().json().catch(() => null)) as { error?: unknown } | null
    if (body?.error !== 'ExpiredToken' || !(await this.renew(token).catch(() => false))) return response
    await response.body?.cancel()
    const second = make()
    second.headers.set('authorization', `Bearer ${this.session?.accessJwt ?? token}`)
    return this.inner(second)
  }

  /** Replaces an access token that was refused. Whoever comes second waits for the first. */
  private renew(refused: string): Promise<boolean> {
    if (this.session?.accessJwt !== refused) return Promise.resolve(this.session !== undefined)
    this.underWay ??= this.refresh(this.session).finally(() => (this.underWay = undefined))
    return this.underWay
  }

  private async refresh(old: Session): Promise<boolean> {
    const response = await this.inner(
      new Request(`${this.origin}/xrpc/com.atproto.server.refreshSession`, { method: 'POST', headers: { authorization: `Bearer ${old.refreshJwt}` } }),
    )
    if (!response.ok) throw await errorOf(response)
    const fresh = { ...old, ...((await response.json()) as Session) }
    if (this.session !== old) return this.session !== undefined // somebody signed out or in meanwhile
    this.session = fresh
    this.onRefresh?.(fresh)
    return true
  }
}

/** When a token says that it ends, in milliseconds; never when it does not say. */
function expires(token: string): number {
  try {
    const part = token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')
    const { exp } = JSON.parse(atob(part)) as { exp?: unknown }
    return typeof exp === 'number' ? exp * 1000 : Infinity
  } catch {
    return Infinity
  }
}
