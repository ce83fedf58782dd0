package handlers

import (
	"maps"
	"slices"

	"github.com/auroralocus/locus/internal/xrpc"
)

// documentWords are the sentences of the document; see [words].
var documentWords = xrpc.Words{
	Intro: intro,
	Tags: map[string]string{
		"app.bsky.actor":         "Private preferences of the Bluesky app, which are kept here.",
		"com.atproto.admin":      "For operators and the moderation service.",
		"com.atproto.identity":   "Handles, DIDs and their documents.",
		"com.atproto.label":      "Labels.",
		"com.atproto.lexicon":    "Lexicon documents.",
		"com.atproto.moderation": "Reports.",
		"com.atproto.repo":       "Records and files: reading and writing.",
		"com.atproto.server":     "Accounts, sessions, passwords and invite codes.",
		"com.atproto.sync":       "Whole repositories, files and the stream of changes, for services that follow this server.",
		"com.atproto.temp":       "Methods that may go away.",
		"org.auroralocus.admin":  "What Aurora Locus adds for operators.",
		"org.auroralocus.server": "What Aurora Locus adds for accounts: second factors, passkeys and usage.",
	},
	Always: slices.Concat(append(slices.Collect(maps.Values(gateErrors)), generalErrors)...),
	Errors: documentErrors,
	Fields: documentFields,
	Examples: map[string]any{
		"com.atproto.server.createAccount": map[string]any{
			"handle": exampleHandle, "email": exampleMail, "password": "correct horse battery staple",
		},
		"com.atproto.server.deactivateAccount":    map[string]any{"deleteAfter": exampleTime},
		"com.atproto.server.reserveSigningKey":    map[string]any{"did": exampleDID},
		"com.atproto.server.createAppPassword":    map[string]any{"name": "my phone", "privileged": false},
		"com.atproto.identity.signPlcOperation":   map[string]any{"token": "A2C4E-6GHJK", "alsoKnownAs": []any{"at://alice.example.com"}},
		"com.atproto.admin.disableInviteCodes":    map[string]any{"codes": []any{exampleInvite}},
		"com.atproto.admin.updateSubjectStatus":   map[string]any{"subject": exampleSubject, "takedown": map[string]any{"applied": true, "ref": "report 17"}},
		"org.auroralocus.admin.setBlobLimit":      map[string]any{"account": exampleHandle, "bytes": 1000000000},
		"org.auroralocus.admin.setRecordLimits":   map[string]any{"account": exampleHandle, "count": 100000, "bytes": 100000000},
		"com.atproto.sync.listHosts output":       map[string]any{"hosts": []any{map[string]any{"hostname": "pds.example", "seq": 4711, "accountCount": 12, "status": "active"}}},
		"com.atproto.server.createSession output": exampleSession,
		"com.atproto.server.getSession output":    exampleWithoutTokens,
		"com.atproto.server.refreshSession output": map[string]any{
			"accessJwt": exampleJWT, "refreshJwt": exampleJWT, "handle": exampleHandle, "did": exampleDID, "active": true,
		},
		"com.atproto.sync.getRepoStatus output": map[string]any{"did": exampleDID, "active": true, "rev": exampleRev},
		"com.atproto.sync.listRepos output": map[string]any{"cursor": "42", "repos": []any{
			map[string]any{"did": exampleDID, "head": exampleCID, "rev": exampleRev, "active": true},
		}},
	},
}

var (
	exampleSubject = map[string]any{"$type": "com.atproto.admin.defs#repoRef", "did": exampleDID}
	exampleSession = map[string]any{
		"accessJwt": exampleJWT, "refreshJwt": exampleJWT, "handle": exampleHandle, "did": exampleDID, "didDoc": exampleDocument,
		"email": exampleMail, "emailConfirmed": true, "emailAuthFactor": false, "active": true,
	}
	exampleWithoutTokens = map[string]any{
		"handle": exampleHandle, "did": exampleDID, "email": exampleMail, "emailConfirmed": true, "emailAuthFactor": false, "active": true,
	}
)

// intro is Markdown: the start page of /docs.
const intro = `Aurora Locus is a personal data server (PDS) of the [AT Protocol](https://atproto.com): it keeps accounts, their records and their files. Each method has a name, such as ` + "`com.atproto.repo.createRecord`" + `, and is called at ` + "`/xrpc/`" + ` and its name.

# First call

` + "```sh" + `
curl https://pds.example/xrpc/com.atproto.server.describeServer
` + "```" + `

A query is a GET with its parameters in the address; a list is the parameter said several times. A procedure is a POST with a JSON body. Unknown members are left alone. There are clients for [Go](https://github.com/auroralocus/locus/tree/main/openapi/clients/go) and [TypeScript](https://github.com/auroralocus/locus/tree/main/openapi/clients/typescript), and this document is at [/openapi.json](/openapi.json) and [/openapi.yaml](/openapi.yaml) for generators.

# Hosts

One program serves many servers. The host of the address decides which one a call is for: accounts, tokens and files of one are unknown to the others. A host that is not served here is answered 421 ` + "`UnknownHost`" + `. Below a handle's own name, such as ` + "`alice.pds.example`" + `, only what resolves the handle is served.

# Sessions

` + "`com.atproto.server.createSession`" + ` takes a handle and a password and gives two tokens. Send the access token with each call:

` + "```sh" + `
curl -X POST https://pds.example/xrpc/com.atproto.repo.createRecord \
  -H "Authorization: Bearer $ACCESS" -H 'Content-Type: application/json' \
  -d '{"repo":"alice.pds.example","collection":"app.bsky.feed.post","record":{"$type":"app.bsky.feed.post","text":"Hello","createdAt":"2026-11-28T12:00:00Z"}}'
` + "```" + `

The access token lives two hours. When a call is refused with ` + "`ExpiredToken`" + `, send the refresh token to ` + "`com.atproto.server.refreshSession`" + ` once, keep both new tokens, and make the call again. Each refresh ends the tokens before it after a short while, so calls that run at the same time should share one. Apps should ask for an app password, which cannot change the account.

# Calls to other services

A method that is not in this document is handed on in the account's name: to the app view that the server is set up with, or to the service that the header names by DID and id. The server signs a short-lived token for it; the other service never sees the session.

` + "```sh" + `
curl 'https://pds.example/xrpc/app.bsky.feed.getTimeline?limit=20' \
  -H "Authorization: Bearer $ACCESS" -H 'atproto-proxy: did:web:api.bsky.app#bsky_appview'
` + "```" + `

Without a service to hand it to, such a call is refused. ` + "`com.atproto.server.getServiceAuth`" + ` gives a token for calling a service yourself.

# Errors

Every error has a status and a JSON body, ` + "`{\"error\": name, \"message\": text}`" + `. Programs go by the name; the text is for people and may change. Every method may answer with these, and each names its own:

- ` + "`400 InvalidRequest`" + `: a parameter or the body is not as declared.
- ` + "`401 AuthMissing`, `400 InvalidToken`, `400 ExpiredToken`" + `: the token is missing, wrong, or at its end.
- ` + "`401 use_dpop_nonce`, `401 invalid_dpop_proof`, `401 invalid_token`" + `: of OAuth tokens, and of the proofs in the header ` + "`DPoP`" + ` that belong to them. ` + "`WWW-Authenticate`" + ` says the same, and ` + "`DPoP-Nonce`" + ` has the nonce for the next proof.
- ` + "`403 ScopeMissingError`" + `: the token was not granted what the call needs; ` + "`WWW-Authenticate`" + ` names it.
- ` + "`401 AccountTakedown`, `401 AccountDeactivated`" + `: the account may not do this now.
- ` + "`429 RateLimitExceeded`" + `: there were too many calls; wait for ` + "`retry-after`" + ` seconds.
- ` + "`500 InternalServerError`" + `: something broke here.
- ` + "`502 UpstreamFailure`" + `: a service that was asked failed.
- ` + "`503 NotEnoughResources`, `503 DatabaseTimeout`" + `: nothing was changed, try again after ` + "`retry-after`" + `.
- ` + "`503 UnknownOutcome`" + `: nobody knows whether the change was made; look before trying again.

# Limits

Calls are counted by address and, where a method says so, by account. Answers carry ` + "`ratelimit-limit`, `ratelimit-remaining`, `ratelimit-reset`" + ` and ` + "`ratelimit-policy`" + `. A JSON body may have 150 kB, a record 1 MB, one call of ` + "`applyWrites`" + ` 200 changes. How large a file may be is in ` + "`describeServer`" + `.

# Paging

Lists come in pages. Send ` + "`limit`" + ` for their size, and the ` + "`cursor`" + ` of an answer to get the next one. A cursor is a text without meaning. An answer without a cursor is the last page; a page may have fewer entries than asked for.
`
