package handlers

import (
	"net/http"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/auroralocus/locus/db"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/picture"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
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
	{tenant.ErrTooNew, http.StatusServiceUnavailable, "NotEnoughResources", "This server is being updated, try again later"},
	{tenant.ErrTenantSuspended, http.StatusServiceUnavailable, "HostSuspended", "This server is suspended"},

	// auth. Expired and invalid tokens are 400: clients refresh on the name ExpiredToken, and a 401 breaks that.
	{auth.ErrMissing, http.StatusUnauthorized, "AuthMissing", "Authentication Required"},
	{auth.ErrScheme, http.StatusBadRequest, "InvalidToken", "Unexpected authorization type"},
	{auth.ErrExpired, http.StatusBadRequest, "ExpiredToken", "Token has expired"},
	{auth.ErrUnverified, http.StatusBadRequest, "InvalidToken", "Token could not be verified"},
	{auth.ErrMalformed, http.StatusBadRequest, "InvalidToken", "Malformed token"},
	{auth.ErrScope, http.StatusBadRequest, "InvalidToken", "Bad token scope"},
	{auth.ErrRevoked, http.StatusBadRequest, "ExpiredToken", "Token has been revoked"},
	{auth.ErrServiceMissing, http.StatusUnauthorized, "MissingJwt", "missing jwt"},
	{auth.ErrServiceForm, http.StatusUnauthorized, "BadJwt", "poorly formatted jwt"},
	{auth.ErrServiceType, http.StatusUnauthorized, "BadJwtType", "Invalid jwt type"},
	{auth.ErrServiceExpired, http.StatusUnauthorized, "JwtExpired", "jwt expired"},
	{auth.ErrServiceAudience, http.StatusUnauthorized, "BadJwtAudience", "jwt audience does not match service did"},
	{auth.ErrServiceTime, http.StatusUnauthorized, "BadJwt", "jwt lives too long, or comes from the future"},
	{auth.ErrServiceUsed, http.StatusUnauthorized, "BadJwt", "jwt was used before"},
	{auth.ErrServiceMethod, http.StatusUnauthorized, "BadJwtLexiconMethod", "jwt lexicon method (lxm) does not match"},
	{auth.ErrServiceIssuer, http.StatusUnauthorized, "BadJwtIss", "jwt issuer cannot be resolved to a key"},
	{auth.ErrServiceSignature, http.StatusUnauthorized, "BadJwtSignature", "jwt signature does not match jwt issuer"},
	{auth.ErrAccountNotFound, http.StatusForbidden, "AccountNotFound", "Account not found"},
	{auth.ErrAccountTakedown, http.StatusUnauthorized, "AccountTakedown", "Account has been taken down"},
	{auth.ErrAccountDeactivated, http.StatusUnauthorized, "AccountDeactivated", "Account is deactivated"},
	{auth.ErrOperator, http.StatusUnauthorized, "AuthenticationRequired", "Authentication Required"},

	// account
	{identity.ErrHandleSyntax, http.StatusBadRequest, "InvalidHandle", "Input/handle must be a valid handle"},
	{identity.ErrHandleTLD, http.StatusBadRequest, "InvalidHandle", "Handle TLD is invalid or disallowed"},
	{identity.ErrHandleTooShort, http.StatusBadRequest, "InvalidHandle", "Handle too short"},
	{identity.ErrHandleTooLong, http.StatusBadRequest, "InvalidHandle", "Handle too long"},
	{identity.ErrHandleChars, http.StatusBadRequest, "InvalidHandle", "Invalid characters in handle"},
	{identity.ErrHandleRefused, http.StatusBadRequest, "InvalidHandle", "Inappropriate language in handle"},
	{identity.ErrHandleReserved, http.StatusBadRequest, "HandleNotAvailable", "Reserved handle"},
	{accounts.ErrHandleDomain, http.StatusBadRequest, "UnsupportedDomain", "Not a supported handle domain"},
	{accounts.ErrHandleTaken, http.StatusBadRequest, "HandleNotAvailable", ""},
	{accounts.ErrEmailRequired, http.StatusBadRequest, "InvalidRequest", "Email is required"},
	{accounts.ErrEmailUnsupported, http.StatusBadRequest, "InvalidRequest", "This email address is not supported, please use a different email."},
	{accounts.ErrEmailTaken, http.StatusBadRequest, "InvalidRequest", ""},
	{accounts.ErrPasswordLength, http.StatusBadRequest, "InvalidPassword", ""},
	{accounts.ErrPasswordTooLong, http.StatusUnauthorized, "AuthenticationRequired", "Password too long. Consider resetting your password."},
	{accounts.ErrCredentials, http.StatusUnauthorized, "AuthenticationRequired", "Invalid identifier or password"},
	{accounts.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many sign-ins at once, try again"},
	{accounts.ErrSignupClosed, http.StatusBadRequest, "InvalidRequest", "This server takes no new accounts"},
	{accounts.ErrInviteRequired, http.StatusBadRequest, "InvalidInviteCode", "No invite code provided"},
	{accounts.ErrInviteUnavailable, http.StatusBadRequest, "InvalidInviteCode", "Provided invite code not available"},
	{accounts.ErrInviteUses, http.StatusBadRequest, "InvalidRequest", "useCount must be at least 1"},
	{accounts.ErrTokenInvalid, http.StatusBadRequest, "InvalidToken", "Token is invalid"},
	{accounts.ErrTokenExpired, http.StatusBadRequest, "ExpiredToken", "Token is expired"},
	{accounts.ErrDIDTaken, http.StatusBadRequest, "AlreadyExists", "Repo already exists"},
	{accounts.ErrEmailOther, http.StatusBadRequest, "InvalidEmail", "invalid email"},
	{accounts.ErrAppPasswordName, http.StatusBadRequest, "InvalidRequest", "The name must have 1 to 256 characters"},
	{accounts.ErrAppPasswordTaken, http.StatusBadRequest, "InvalidRequest", "There is an app password of this name already"},
	{accounts.ErrAppPasswords, http.StatusBadRequest, "InvalidRequest", "Too many app passwords: revoke one first"},
	{accounts.ErrAppPasswordExpiry, http.StatusBadRequest, "InvalidRequest", "expiresAt must be in the future"},
	{accounts.ErrNoEmail, http.StatusBadRequest, "InvalidRequest", "account does not have an email address"},
	{accounts.ErrDIDDocument, http.StatusBadRequest, "InvalidRequest", ""},
	{accounts.ErrFactorMailed, http.StatusUnauthorized, "AuthFactorTokenRequired", "A sign in code has been sent to your email address"},
	{accounts.ErrFactorApp, http.StatusUnauthorized, "AuthFactorTokenRequired", "A code of your authenticator app is needed"},
	{accounts.ErrFactorOld, http.StatusBadRequest, "AuthFactorTokenRequired", "A second factor is on: sign in with a code, or call org.auroralocus.server.confirmSession, and do this within ten minutes"},
	{accounts.ErrEmailUnconfirmed, http.StatusBadRequest, "InvalidRequest", "The email address is not confirmed"},
	{accounts.ErrAuthenticatorOn, http.StatusBadRequest, "AuthenticatorExists", "An authenticator app is on: switch it off first"},
	{accounts.ErrNoAuthenticator, http.StatusBadRequest, "AuthenticatorNotFound", "There is no such authenticator app"},
	{accounts.ErrPreferenceType, http.StatusBadRequest, "InvalidRequest", "Preference is missing a $type"},
	{accounts.ErrPreferenceNamespace, http.StatusBadRequest, "InvalidRequest", "Some preferences are not in the app.bsky namespace"},
	{accounts.ErrPreferenceForbidden, http.StatusBadRequest, "InvalidRequest", ""},
	{accounts.ErrDeciding, http.StatusBadRequest, "InvalidRequest", "The sign-up is being approved: try again in a few minutes"},
	{accounts.ErrAwaiting, http.StatusBadRequest, "InvalidRequest", "The account waits for approval"},
	{accounts.ErrRecoveryKey, http.StatusBadRequest, "InvalidRequest", "Recovery key must be a did:key"},

	// act
	{act.ErrGone, http.StatusBadRequest, "AccountNotFound", "Account not found"},
	{act.ErrContradiction, http.StatusBadRequest, "InvalidRequest", act.ErrContradiction.Error()},
	{act.ErrTakedownRef, http.StatusBadRequest, "InvalidRequest", "takedown/ref must be text of at most 1000 bytes"},
	{act.ErrRecordURI, http.StatusBadRequest, "InvalidRequest", act.ErrRecordURI.Error()},
	{act.ErrBlobCID, http.StatusBadRequest, "InvalidRequest", act.ErrBlobCID.Error()},
	{act.ErrHandleElsewhere, http.StatusBadRequest, "InvalidRequest", ""},
	{act.ErrDocumentHandle, http.StatusBadRequest, "InvalidRequest", ""},
	{act.ErrDocumentKey, http.StatusBadRequest, "InvalidRequest", ""},
	{act.ErrKeyNotReserved, http.StatusBadRequest, "InvalidRequest", act.ErrKeyNotReserved.Error()},
	{act.ErrRecipient, http.StatusBadRequest, "InvalidRequest", ""},
	{act.ErrMessage, http.StatusBadRequest, "InvalidRequest", ""},
	{act.ErrInviteCount, http.StatusBadRequest, "InvalidRequest", act.ErrInviteCount.Error()},
	{act.ErrInviteNames, http.StatusBadRequest, "InvalidRequest", act.ErrInviteNames.Error()},
	{act.ErrInviteAdmin, http.StatusBadRequest, "InvalidRequest", act.ErrInviteAdmin.Error()},
	{act.ErrInviteNote, http.StatusBadRequest, "InvalidRequest", act.ErrInviteNote.Error()},
	{act.ErrOperation, http.StatusBadRequest, "InvalidRequest", ""},
	{act.ErrLimit, http.StatusBadRequest, "InvalidRequest", act.ErrLimit.Error()},

	// repo, repodb, lexicon
	{repo.ErrRecordExists, http.StatusBadRequest, "RecordAlreadyExists", "There is a record already at one of the paths"},
	{repo.ErrRecordMissing, http.StatusBadRequest, "RecordNotFound", "Could not locate a record that is to be changed"},
	{repo.ErrTooManyOps, http.StatusBadRequest, "InvalidRequest", "Too many writes. Max: 200"},
	{repo.ErrTooBig, http.StatusBadRequest, "InvalidRequest", "Too many writes. Max event size: 2MB"},
	{repo.ErrRecordTooBig, http.StatusBadRequest, "InvalidRequest", "A record may have at most 1000000 bytes"},
	{repodb.ErrSwapCommit, http.StatusBadRequest, "InvalidSwap", "The repository's newest commit is another one"},
	{repodb.ErrRepoNotFound, http.StatusBadRequest, "RepoNotFound", "Could not find repo"},
	{repodb.ErrRepoTakendown, http.StatusUnauthorized, "AccountTakedown", "Account has been taken down"},
	{repodb.ErrRepoDeactivated, http.StatusUnauthorized, "AccountDeactivated", "Account is deactivated"},
	{repodb.ErrContention, http.StatusServiceUnavailable, "NotEnoughResources", "The repository is being written to from many places, try again"},
	{repodb.ErrBlocksNotFound, http.StatusBadRequest, "BlockNotFound", "Could not find all of the blocks"},
	{repodb.ErrArchive, http.StatusBadRequest, "InvalidRequest", ""},
	{repodb.ErrImportsBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many repositories are being imported at once, try again"},
	{fair.ErrNoBytes, http.StatusServiceUnavailable, "NotEnoughResources", "Too many answers are being read at once, try again"},
	{repodb.ErrBlocksTooLarge, http.StatusBadRequest, "InvalidRequest", "The blocks are too large together: ask for fewer at once"},
	{repodb.ErrExportsBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many repositories are being read at once, try again"},
	{repodb.ErrAccountQuota, http.StatusBadRequest, "RecordQuotaExceeded", ""},
	{repodb.ErrTenantQuota, http.StatusInsufficientStorage, "InsufficientStorage", ""},
	{repodb.ErrClosed, http.StatusServiceUnavailable, "NotEnoughResources", "The server is shutting down, try again"},
	{repodb.ErrBlobNotFound, http.StatusBadRequest, "BlobNotFound", ""},
	{repodb.ErrBlobMimeType, http.StatusBadRequest, "InvalidMimeType", ""},
	{repodb.ErrBlobSize, http.StatusBadRequest, "InvalidSize", ""},

	// blob
	{blob.ErrNotFound, http.StatusBadRequest, "BlobNotFound", "Blob not found"},
	{blob.ErrTakendown, http.StatusBadRequest, "InvalidRequest", "Blob has been takendown, cannot re-upload"},
	{blob.ErrEmpty, http.StatusBadRequest, "InvalidRequest", "A request body is expected but none was provided"},
	{blob.ErrAccountQuota, http.StatusBadRequest, "BlobQuotaExceeded", ""},
	{blob.ErrTenantQuota, http.StatusInsufficientStorage, "InsufficientStorage", "This server takes no more files"},
	{blob.ErrNoAccount, http.StatusBadRequest, "RepoNotFound", "Could not find repo"},
	{blob.ErrAway, http.StatusServiceUnavailable, "NotEnoughResources", "The files of this server are not there at the moment, try again later"},
	{blob.ErrStoreFull, http.StatusInsufficientStorage, "InsufficientStorage", "This server has no room for files"},
	{blob.ErrStoreTimeout, http.StatusGatewayTimeout, "UpstreamTimeout", "The file store did not answer in time, try again"},
	{blob.ErrStore, http.StatusBadGateway, "UpstreamFailure", "The file store failed, try again"},
	{blob.ErrClosed, http.StatusServiceUnavailable, "NotEnoughResources", "The server is shutting down, try again"},

	// picture
	{picture.ErrFormat, http.StatusUnsupportedMediaType, "UnsupportedMediaType", "This file is no picture that can be read here"},
	{picture.ErrTooLarge, http.StatusUnsupportedMediaType, "PictureTooLarge", "This picture is too large to make copies of"},
	{picture.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many pictures at once, try again"},
	{picture.ErrTimeout, http.StatusServiceUnavailable, "NotEnoughResources", "This picture takes too long"},

	{lexicon.ErrUnknownType, http.StatusBadRequest, "InvalidRequest", ""},
	{lexicon.ErrInvalid, http.StatusBadRequest, "InvalidRequest", ""},

	// identity. The directory's own refusals are the client's to read, its failures are not.
	{identity.ErrOperation, http.StatusBadRequest, "InvalidRequest", ""},
	{identity.ErrOperationConflict, http.StatusBadRequest, "InvalidRequest", ""},
	{identity.ErrOperationRate, http.StatusTooManyRequests, "RateLimitExceeded", ""},
	{identity.ErrDIDTombstoned, http.StatusBadRequest, "DidDeactivated", "DID is tombstoned"},
	{identity.ErrDIDNotFound, http.StatusBadRequest, "DidNotFound", "DID not found"},
	{identity.ErrDIDSyntax, http.StatusBadRequest, "InvalidRequest", "This DID cannot be resolved"},
	{identity.ErrDIDMethod, http.StatusBadRequest, "InvalidRequest", "Unsupported DID method"},
	{identity.ErrDocument, http.StatusBadRequest, "InvalidRequest", "The DID document is malformed"},
	{identity.ErrHandleNotFound, http.StatusBadRequest, "HandleNotFound", "Unable to resolve handle"},
	{identity.ErrDIDUnavailable, http.StatusBadGateway, "UpstreamFailure", "The DID's directory or host does not answer"},

	// db. An unknown outcome must not be retried blindly, so it has a name of its own.
	{db.ErrUnknownOutcome, http.StatusServiceUnavailable, "UnknownOutcome", "The connection to the database broke before it answered: look whether the change was made before trying again"},
	{db.ErrFull, http.StatusServiceUnavailable, "DatabaseFull", "The database has no room left: nothing was changed. Try again later"},
	{db.ErrSlow, http.StatusServiceUnavailable, "DatabaseTimeout", "The database took too long: nothing was changed. Try again shortly"},
	{db.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many requests wait for the database, try again shortly"},
	{db.ErrUnavailable, http.StatusServiceUnavailable, "NotEnoughResources", "The database cannot be reached now, try again shortly"},
}
