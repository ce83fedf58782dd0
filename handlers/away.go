package handlers

import "github.com/auroralocus/locus/internal/xrpc"

// standings is what is answered of a tenant that is suspended, or deleted and not yet removed: the server obeys this
// table, and docs/tenants.md shows it. Everything else refuses, whoever asks: methods, pages, exports, files, calls to
// other services, operators' methods. Relays go on reading the stream, because its events say what became of the
// accounts. What says who somebody is stays up while a tenant is suspended: a handle that stops resolving breaks the
// identity, which is not the tenant's alone. The endpoints of OAuth and the pages add their own lines
// (xrpc.Stands, xrpc.SaysAway): they refuse in their own form.
var standings = []xrpc.Standing{
	{Path: "/xrpc/com.atproto.sync.subscribeRepos", Suspended: xrpc.Serves, Deleted: xrpc.Serves, Why: "relays learn by it that the accounts are suspended, deleted, back"},
	{Path: "/xrpc/com.atproto.sync.getRepoStatus", Suspended: xrpc.Serves, Deleted: xrpc.Serves, Why: "each account is suspended, or deleted; relays ask it"},
	{Path: "/xrpc/com.atproto.sync.listRepos", Suspended: xrpc.Serves, Deleted: xrpc.Serves, Why: "the same of all accounts"},
	{Path: "/xrpc/com.atproto.sync.getHostStatus", Suspended: xrpc.Serves, Deleted: xrpc.Serves, Why: "the host is offline"},
	{Path: "/.well-known/atproto-did", Suspended: xrpc.Serves, Why: "handles go on resolving"},
	{Path: "/.well-known/did.json", Suspended: xrpc.Serves, Why: "the server's own DID goes on resolving"},
	{Path: "/robots.txt", Suspended: xrpc.Serves, Deleted: xrpc.Serves, Why: "crawlers go on as they were told"},
}
