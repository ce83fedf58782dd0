// Package auth turns credentials into callers. It mints and checks session tokens, rotates refresh tokens and checks
// the operator's password; handlers' gate asks it who is calling before a body is read.
//
// Every secret belongs to one tenant, and every token names its tenant's service DID, so a token of one tenant is
// nothing at another.
package auth

import (
	"errors"
	"time"

	"github.com/auroralocus/locus/internal/oauth/scope"
)

// Errors of this package. What each is answered with is the faces' to say.
var (
	// ErrMissing: there is no Authorization header.
	ErrMissing = errors.New("no authorization header")
	// ErrScheme: the header has no form this method takes.
	ErrScheme = errors.New("unexpected authorization scheme")
	// ErrExpired: ours, but past its time.
	ErrExpired = errors.New("token has expired")
	// ErrUnverified: broken, of another tenant, of another type, or signed by another key.
	ErrUnverified = errors.New("token could not be verified")
	// ErrMalformed: ours, but with claims that no session token has (lxm, cnf).
	ErrMalformed = errors.New("malformed token")
	// ErrScope: a good token that this method does not take.
	ErrScope = errors.New("bad token scope")
	// ErrRevoked: a refresh token that was signed out, or used longer ago than the grace.
	ErrRevoked = errors.New("token has been revoked")
	// ErrAccountNotFound: the token's account is gone.
	ErrAccountNotFound = errors.New("account not found")
	// ErrAccountTakedown: the token's account was taken down.
	ErrAccountTakedown = errors.New("account has been taken down")
	// ErrAccountDeactivated: the token's account is deactivated, and the method takes none that is.
	ErrAccountDeactivated = errors.New("account is deactivated")
	// ErrOperator: no operator's name and password or token.
	ErrOperator = errors.New("not an operator")
)

// Scope is what a session token may be used for, as in its scope claim.
type Scope string

// The scopes of session tokens.
const (
	ScopeAccess            Scope = "com.atproto.access"            // main password
	ScopeRefresh           Scope = "com.atproto.refresh"           // of every refresh token
	ScopeAppPass           Scope = "com.atproto.appPass"           // app password
	ScopeAppPassPrivileged Scope = "com.atproto.appPassPrivileged" // app password that may also read messages
	ScopeTakendown         Scope = "com.atproto.takendown"         // sign-in of a taken-down account, to appeal or leave
	ScopeSignupQueued      Scope = "com.atproto.signupQueued"      // of an account whose sign-up waits for approval
	// ScopeService is not a session's scope: a service calls this one method in the account's name, with a token that
	// the account's key signed.
	ScopeService Scope = "service"
)

// App says whether such tokens come from an app password.
func (s Scope) App() bool { return s == ScopeAppPass || s == ScopeAppPassPrivileged }

// Accept says which session tokens a method takes. The zero Accept takes none.
type Accept uint8

// The classes of BEHAVIOUR 1.1, and what may be added to or taken from them.
const (
	acceptAccess Accept = 1 << iota
	acceptPrivileged
	acceptAppPass
	acceptTakendown
	refuseTakendown
	refuseDeactivated
	guarded
	acceptQueued

	// Full takes the main password's tokens only.
	Full = acceptAccess
	// Priv also takes those of privileged app passwords.
	Priv = Full | acceptPrivileged
	// Std also takes those of ordinary app passwords.
	Std = Priv | acceptAppPass
	// OrTakendown also takes the token of a taken-down account: Full|OrTakendown.
	OrTakendown = acceptTakendown
	// OrQueued also takes the token of an account whose sign-up waits for approval.
	OrQueued = acceptQueued
	// NoTakedown refuses accounts taken down since the token was made: Full|NoTakedown.
	NoTakedown = refuseTakendown
	// NoDeactivated refuses deactivated accounts.
	NoDeactivated = refuseDeactivated
	// Guarded lets the look at the account's state be a minute old: only for methods whose write is refused by the
	// committer when that state was wrong.
	Guarded = guarded
)

func (a Accept) takes(s Scope) bool {
	switch s {
	case ScopeAccess:
		return a&acceptAccess != 0
	case ScopeAppPassPrivileged:
		return a&acceptPrivileged != 0
	case ScopeAppPass:
		return a&acceptAppPass != 0
	case ScopeTakendown:
		return a&acceptTakendown != 0
	case ScopeSignupQueued:
		return a&acceptQueued != 0
	}
	return false
}

// String is the class as the access table writes it: "std", "full+td", "full noTD".
func (a Accept) String() string {
	out := "none"
	switch {
	case a&acceptAppPass != 0:
		out = "std"
	case a&acceptPrivileged != 0:
		out = "priv"
	case a&acceptAccess != 0:
		out = "full"
	}
	if a&acceptTakendown != 0 {
		out += "+td"
	}
	if a&acceptQueued != 0 {
		out += "+queue"
	}
	if a&refuseTakendown != 0 {
		out += " noTD"
	}
	if a&refuseDeactivated != 0 {
		out += " noDeact"
	}
	return out
}

// Sentence says the same to people, for the document.
func (a Accept) Sentence() string {
	out := "For signed-in accounts"
	switch {
	case a&acceptAppPass != 0:
	case a&acceptPrivileged != 0:
		out += "; a session of an app password must be a privileged one"
	case a&acceptAccess != 0:
		out += "; a session of an app password does not do"
	}
	out += "."
	switch {
	case a&acceptTakendown != 0:
		out += " Taken-down accounts may call it too."
	case a&refuseTakendown != 0 && a&refuseDeactivated != 0:
		out += " Taken-down and deactivated accounts are refused."
	case a&refuseTakendown != 0:
		out += " Taken-down accounts are refused."
	}
	if a&acceptQueued != 0 {
		out += " Accounts that wait for approval may call it too."
	}
	return out
}

// Account is a caller with a session: an account of this tenant, established by its access token.
type Account struct {
	AID         int64
	DID         string
	Handle      string // "" when it has none that is valid
	Scope       Scope
	TakenDown   bool
	Deactivated bool

	OAuth *Granted // nil: the caller has a session token

	proven time.Time // when a second factor was shown for the token; zero: not
}

// Covers says whether what the caller was granted covers a need. Session tokens know no such grants: their class says what
// they open. An OAuth caller of whom it is not known what was granted is granted nothing.
func (a Account) Covers(n scope.Need) bool {
	if a.OAuth == nil {
		return a.Scope != ScopeOAuth
	}
	return a.OAuth.Scopes.Covers(n)
}

// IsApp says whether an app calls that does not have the main password.
func (a Account) IsApp() bool { return a.Scope.App() || a.ByOAuth() }

// ByOAuth says whether the caller has an OAuth token.
func (a Account) ByOAuth() bool { return a.Scope == ScopeOAuth || a.OAuth != nil }

// ProvenSince says whether a second factor was shown for the caller's token not earlier than that.
func (a Account) ProvenSince(at time.Time) bool { return !a.proven.IsZero() && !a.proven.Before(at) }

// Proving is the caller after its owner proved to be it at that time, with whatever the account asks for.
func (a Account) Proving(at time.Time) Account {
	a.proven = at
	return a
}

// Refresh is a caller with a refresh token that is ours and well-formed. [Rotate] finds out whether it still counts, in
// the transaction that uses it.
type Refresh struct {
	TokenID   string
	DID       string
	ExpiresAt time.Time
	Expired   bool // only where expired tokens are taken
}

// Service is another service that calls in an account's name, by a token that the account's own key signed.
type Service struct {
	Issuer string // DID, perhaps with #fragment
	Method string // the lxm claim

	nonce   [32]byte // see UseUp
	expires time.Time
}
