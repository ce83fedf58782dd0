package handlers

import (
	"net/http"

	"github.com/auroralocus/locus/db"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// translation is the answer to one sentinel error. An empty message is the error's own text: only for
// sentinels that are never wrapped with anything a stranger should not read.
type translation struct {
	sentinel error
	status   int
	name     string
	message  string
}

// translations is the whole table, the first match counts. What is not in it is 500 and says nothing.
var translations = []translation{
	// tenant
	{tenant.ErrUnknownHost, http.StatusMisdirectedRequest, "UnknownHost", "No server of this name is hosted here"},
	{tenant.ErrTenantSuspended, http.StatusServiceUnavailable, "HostSuspended", "This server is suspended"},

	// auth. Expired and invalid tokens are 400: clients refresh on the name ExpiredToken, and a 401 breaks that.
	{auth.ErrMissing, http.StatusUnauthorized, "AuthMissing", "Authentication Required"},
	{auth.ErrScheme, http.StatusBadRequest, "InvalidToken", "Unexpected authorization type"},
	{auth.ErrExpired, http.StatusBadRequest, "ExpiredToken", "Token has expired"},
	{auth.ErrUnverified, http.StatusBadRequest, "InvalidToken", "Token could not be verified"},
	{auth.ErrMalformed, http.StatusBadRequest, "InvalidToken", "Malformed token"},
	{auth.ErrScope, http.StatusBadRequest, "InvalidToken", "Bad token scope"},
	{auth.ErrRevoked, http.StatusBadRequest, "ExpiredToken", "Token has been revoked"},
	{auth.ErrAccountNotFound, http.StatusForbidden, "AccountNotFound", "Account not found"},
	{auth.ErrAccountTakedown, http.StatusUnauthorized, "AccountTakedown", "Account has been taken down"},
	{auth.ErrAccountDeactivated, http.StatusUnauthorized, "AccountDeactivated", "Account is deactivated"},
	{auth.ErrOperator, http.StatusUnauthorized, "AuthenticationRequired", "Authentication Required"},

	// account
	{accounts.ErrHandleSyntax, http.StatusBadRequest, "InvalidHandle", "Input/handle must be a valid handle"},
	{accounts.ErrHandleTLD, http.StatusBadRequest, "InvalidHandle", "Handle TLD is invalid or disallowed"},
	{accounts.ErrHandleShort, http.StatusBadRequest, "InvalidHandle", "Handle too short"},
	{accounts.ErrHandleLong, http.StatusBadRequest, "InvalidHandle", "Handle too long"},
	{accounts.ErrHandleCharacters, http.StatusBadRequest, "InvalidHandle", "Invalid characters in handle"},
	{accounts.ErrHandleWord, http.StatusBadRequest, "InvalidHandle", "Inappropriate language in handle"},
	{accounts.ErrHandleReserved, http.StatusBadRequest, "HandleNotAvailable", "Reserved handle"},
	{accounts.ErrHandleDomain, http.StatusBadRequest, "UnsupportedDomain", "Not a supported handle domain"},
	{accounts.ErrHandleTaken, http.StatusBadRequest, "HandleNotAvailable", ""},
	{accounts.ErrEmailRequired, http.StatusBadRequest, "InvalidRequest", "Email is required"},
	{accounts.ErrEmailUnsupported, http.StatusBadRequest, "InvalidRequest", "This email address is not supported, please use a different email."},
	{accounts.ErrEmailTaken, http.StatusBadRequest, "InvalidRequest", ""},
	{accounts.ErrPasswordLength, http.StatusBadRequest, "InvalidPassword", "Password must have 1 to 256 characters"},
	{accounts.ErrPasswordTooLong, http.StatusUnauthorized, "AuthenticationRequired", "Password too long"},
	{accounts.ErrCredentials, http.StatusUnauthorized, "AuthenticationRequired", "Invalid identifier or password"},
	{accounts.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many sign-ins at once, try again"},
	{accounts.ErrSignupClosed, http.StatusBadRequest, "InvalidRequest", "This server takes no new accounts"},
	{accounts.ErrInviteRequired, http.StatusBadRequest, "InvalidInviteCode", "No invite code provided"},
	{accounts.ErrInviteUnavailable, http.StatusBadRequest, "InvalidInviteCode", "Provided invite code not available"},
	{accounts.ErrInviteUses, http.StatusBadRequest, "InvalidRequest", "useCount must be at least 1"},
	{accounts.ErrRecoveryKey, http.StatusBadRequest, "InvalidRequest", "Recovery key must be a did:key"},

	// identity. The directory's own refusals are the client's to read, its failures are not.
	{identity.ErrOperation, http.StatusBadRequest, "InvalidRequest", ""},
	{identity.ErrOperationConflict, http.StatusBadRequest, "InvalidRequest", ""},
	{identity.ErrOperationRate, http.StatusTooManyRequests, "RateLimitExceeded", ""},
	{identity.ErrDIDUnavailable, http.StatusBadGateway, "UpstreamFailure", "The DID's directory or host does not answer"},

	// db. An unknown outcome must not be retried blindly, so it has a name of its own.
	{db.ErrUnknownOutcome, http.StatusServiceUnavailable, "UnknownOutcome", "The connection to the database broke before it answered: look whether the change was made before trying again"},
	{db.ErrUnavailable, http.StatusServiceUnavailable, "NotEnoughResources", "The database cannot be reached now, try again shortly"},
}
