/**
 * Signs up, signs in and writes a record on the running server LOCUS_URL with the client that @hey-api/openapi-ts makes of ../openapi.yaml: a
 * generator that was not chosen, and that the document must still suit. check.sh makes ./build/hey.
 */
import { createClient } from './build/hey/client/index.js'
import {
  comAtprotoRepoCreateRecord,
  comAtprotoRepoListRecords,
  comAtprotoServerCreateAccount,
  comAtprotoServerCreateSession,
  comAtprotoServerDescribeServer,
} from './build/hey/sdk.gen.js'

let access: string | undefined
const client = createClient({ baseUrl: process.env['LOCUS_URL']!, auth: () => access })
const options = { client, throwOnError: true } as const

const server = (await comAtprotoServerDescribeServer(options)).data
const name = `hey${Date.now().toString(36)}`
const handle = name + server.availableUserDomains[0]
const password = `a password of ${name}`
await comAtprotoServerCreateAccount({ ...options, body: { handle, email: `${name}@example.com`, password } })
const session = (await comAtprotoServerCreateSession({ ...options, body: { identifier: handle, password } })).data
access = session.accessJwt
const record = { $type: 'app.bsky.feed.post', text: 'made with openapi-ts', createdAt: new Date().toISOString() }
const made = (await comAtprotoRepoCreateRecord({ ...options, body: { repo: session.did, collection: 'app.bsky.feed.post', record } })).data
const page = (await comAtprotoRepoListRecords({ ...options, query: { repo: handle, collection: 'app.bsky.feed.post' } })).data
if (page.records.length !== 1 || page.records[0]!.uri !== made.uri) throw new Error(`wrote ${made.uri}, listed ${JSON.stringify(page.records)}`)
console.log('openapi-ts:', made.uri)
