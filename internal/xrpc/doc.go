// Package xrpc is the engine under the methods: what is the same for all of them.
//
// A request goes through the layers of middleware.go (request id, CORS, tenant by Host, limits), the mux, and the gate:
// parameters, caller, body, rule, handler. A method is registered by exactly one of [Public], [Newcomer], [Viewer],
// [Account], [Overseen], [Refresh], [Operator] and [Subscribe]. Each hands its handler a caller of another Go type, so a
// method with too little protection does not compile.
//
// What the methods say of themselves in tables (limits, errors, summaries, types, what answers a sentinel error) is a
// value, [Tables], given when a server is made. The package knows no method by name, no row and no act.
//
// Where things belong that more kinds of tokens need:
//   - what a credential covers is part of the caller: [auth.Account], made by an [Authenticator] from the header
//     Authorization and from what else proves the caller: an [auth.Proof], with the request's verb and URL;
//   - what it may do with this input is asked of the [Rule], which sees both;
//   - a header that every answer has is set in Server.serve, beside those of CORS: DPoP-Nonce, for example; one that
//     belongs to a refusal, such as Retry-After and WWW-Authenticate, is set by Error.head, through which all refusals go.
package xrpc
