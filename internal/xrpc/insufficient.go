package xrpc

import "net/http"

// Insufficient is the refusal of a caller by OAuth that was not granted what its call needs. scopes is what to ask for.
// spec: RFC 6750 section 3.1
func Insufficient(scopes string) *Error {
	return Refuse(http.StatusForbidden, "ScopeMissingError", "Missing required scope %q", scopes).challenge("DPoP", "error", "insufficient_scope", "scope", scopes)
}
