import type { ErrorName, ErrorsOf } from './errors.gen.js'

export type { ErrorName, ErrorsOf }

/** An answer other than 2xx. `error` is its name, for programs; `message` is for people. */
export class XRPCError<N extends string = string> extends Error {
  override readonly name = 'XRPCError'
  constructor(
    readonly status: number,
    readonly error: N,
    message: string,
  ) {
    super(message)
  }
}

/** Tells whether something that was thrown is an answer with this name. ErrorsOf['com.atproto.repo.putRecord'] lists a method's own names. */
export function isError<N extends ErrorName | (string & {})>(e: unknown, name: N): e is XRPCError<N> {
  return e instanceof XRPCError && e.error === name
}

/** The error that an answer is. */
export async function errorOf(response: Response): Promise<XRPCError> {
  const body = (await response.json().catch(() => null)) as { error?: unknown; message?: unknown } | null
  const text = (v: unknown) => (typeof v === 'string' ? v : undefined)
  return new XRPCError(response.status, text(body?.error) ?? 'Unknown', text(body?.message) ?? response.statusText)
}
