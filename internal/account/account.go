// Package account is an account's life: signing up, signing in, passwords, invite codes, and who an identifier means.
//
// Everything here works on queries that the caller hands in, inside the caller's transaction where it says so; it
// begins none itself. Rules for handles, mail addresses and passwords come from the tenant's settings.
package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Errors of sign-up and sign-in. The faces decide how each is answered.
var (
	// ErrNotFound: no such account here, or its sign-up has not finished. Each method decides what that means to its
	// caller.
	ErrNotFound = errors.New("no such account")

	// Package identity has the other errors of handles.

	// ErrHandleDomain: the tenant gives no handles in this domain.
	ErrHandleDomain = errors.New("not a handle domain of this tenant")
	// ErrHandleTaken: another account has it. Comes in a [TakenError].
	ErrHandleTaken = errors.New("handle already taken")

	// ErrEmailRequired: there is no address.
	ErrEmailRequired = errors.New("email is required")
	// ErrEmailUnsupported: not an address that mail can be sent to.
	ErrEmailUnsupported = errors.New("unsupported email address")
	// ErrEmailTaken: another account has it. Comes in a [TakenError].
	ErrEmailTaken = errors.New("email already taken")

	// ErrEmailOther: not the account's address.
	ErrEmailOther = errors.New("not the account's email address")

	// ErrPasswordLength: fewer than 8 or more than 256 characters. Comes in a [PasswordError].
	ErrPasswordLength = errors.New("password is too short or too long")
	// ErrPasswordTooLong: at sign-in, longer than any password may be.
	ErrPasswordTooLong = errors.New("password too long")
	// ErrCredentials: no such account, or another password. It does not say which.
	ErrCredentials = errors.New("invalid identifier or password")
	// ErrOAuthOnly: the account's owner lets no app in by the main password.
	ErrOAuthOnly = errors.New("the account takes no sign-in by its main password")
	// ErrBusy: too many sign-ins and sign-ups are waiting.
	ErrBusy = errors.New("too many password checks are waiting")

	// ErrDIDTaken: the DID has an account here.
	ErrDIDTaken = errors.New("the DID has an account here")
	// ErrSignupClosed: the tenant takes no new accounts.
	ErrSignupClosed = errors.New("sign-up is closed")
	// ErrInviteRequired: the tenant asks for an invite code, and there is none.
	ErrInviteRequired = errors.New("no invite code provided")
	// ErrInviteUnavailable: the invite code is unknown, used up or disabled.
	ErrInviteUnavailable = errors.New("invite code not available")
	// ErrRecoveryKey: the recovery key is no did:key.
	ErrRecoveryKey = errors.New("recovery key is not a did:key")
	// ErrSignupLost: the sign-up took so long that it was cleared away.
	ErrSignupLost = errors.New("sign-up was cleared away before it finished")
)

// TakenError says which handle or address is taken; it is [ErrHandleTaken] or [ErrEmailTaken].
type TakenError struct {
	Kind  error
	Value string
}

func (e *TakenError) Error() string { return e.Kind.Error() + ": " + e.Value }
func (e *TakenError) Unwrap() error { return e.Kind }

// Account is one account with what a session answer tells of it.
type Account struct {
	AID             int64
	DID             string
	Handle          string // "" when it has none that is valid: shown as handle.invalid
	Email           string // "": none
	EmailConfirmed  bool
	EmailFactor     bool // sign-ins need a mailed code; only with a confirmed address
	OAuthOnly       bool // the main password begins no session of an app
	InvitesDisabled bool
	TakenDown       bool
	Deactivated     bool
	CreatedAt       time.Time
	Epochs          Epochs

	passwordHash string // "": no password
}

// Epochs tell which access tokens count: those that carry the number of today. They only grow.
type Epochs struct{ Session, App int64 }

// Of is the number that a session's access tokens carry. Sessions of app passwords have one number, and sessions of the
// main password another.
func (e Epochs) Of(app bool) int64 {
	if app {
		return e.Session + e.App
	}
	return e.Session
}

// HasPassword says whether there is a main password: accounts may live by passkeys alone.
func (a *Account) HasPassword() bool { return a.passwordHash != "" }

// Active says whether the account is in use: neither taken down nor deactivated.
func (a *Account) Active() bool { return !a.TakenDown && !a.Deactivated }

// Status is the reason for not being active as getSession and getRepoStatus name it, "" for active accounts.
func (a *Account) Status() string {
	switch {
	case a.TakenDown:
		return "takendown"
	case a.Deactivated:
		return "deactivated"
	}
	return ""
}

// ByDID finds an account. Errors: [ErrNotFound].
func ByDID(ctx context.Context, q *tenantdb.Queries, did string) (*Account, error) {
	row, err := q.GetAccountByDID(ctx, did)
	return found(row, err)
}

// ByAID finds an account by its number. Errors: [ErrNotFound].
func ByAID(ctx context.Context, q *tenantdb.Queries, aid int64) (*Account, error) {
	row, err := q.GetAccountByAID(ctx, aid)
	return found(tenantdb.GetAccountByDIDRow(row), err)
}

// ByHandle finds an account by its handle in lower case. Errors: [ErrNotFound].
func ByHandle(ctx context.Context, q *tenantdb.Queries, handle string) (*Account, error) {
	row, err := q.GetAccountByHandle(ctx, handle)
	return found(tenantdb.GetAccountByDIDRow(row), err)
}

// ByEmail finds an account by its address in lower case. Errors: [ErrNotFound].
func ByEmail(ctx context.Context, q *tenantdb.Queries, email string) (*Account, error) {
	row, err := q.GetAccountByEmail(ctx, email)
	return found(tenantdb.GetAccountByDIDRow(row), err)
}

// Identifier is what a person types to name an account, as it is stored: an address or handle in lower case, a DID as
// it is, because its capitals mean something.
// spec: did#did-identifier-syntax
func Identifier(typed string) string {
	typed = strings.TrimSpace(typed)
	if strings.HasPrefix(typed, "did:") {
		return typed
	}
	return strings.ToLower(typed)
}

// ByIdentifier finds an account by what a person types to sign in: DID, address or handle. Errors: [ErrNotFound].
func ByIdentifier(ctx context.Context, q *tenantdb.Queries, identifier string) (*Account, error) {
	id := Identifier(identifier)
	switch {
	case id == "" || len(id) > maxIdentifier || !isText(id):
		return nil, ErrNotFound
	case strings.HasPrefix(id, "did:"):
		return ByDID(ctx, q, id)
	case strings.Contains(id, "@"):
		return ByEmail(ctx, q, id)
	}
	return ByHandle(ctx, q, id)
}

// maxIdentifier is the longest DID that atproto allows; handles and addresses are shorter.
const maxIdentifier = 2048

// isText says whether Postgres takes it as text: valid UTF-8 without NUL.
func isText(s string) bool { return strings.IndexByte(s, 0) < 0 && strings.ToValidUTF8(s, "") == s }

func found(row tenantdb.GetAccountByDIDRow, err error) (*Account, error) {
	if db.IsNoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("look for account: %w", err)
	}
	return &Account{
		AID: row.AID, DID: row.DID, Handle: text(row.Handle), Email: text(row.Email), EmailConfirmed: row.EmailConfirmedAt != nil,
		EmailFactor: row.EmailFactor && row.EmailConfirmedAt != nil, OAuthOnly: row.OauthOnly,
		InvitesDisabled: row.InvitesDisabled, TakenDown: row.TakedownRef != nil, Deactivated: row.DeactivatedAt != nil,
		CreatedAt: row.CreatedAt, Epochs: Epochs{row.SessionEpoch, row.AppEpoch}, passwordHash: text(row.PasswordHash),
	}, nil
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
