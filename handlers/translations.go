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

// translations is the whole table, the first match counts. What is not in it is 500 and says nothing.
var translations = []translation{
	// tenant
	on(tenant.ErrUnknownHost, http.StatusMisdirectedRequest, "UnknownHost", "No server of this name is hosted here"),
	on(tenant.ErrTooNew, http.StatusServiceUnavailable, "NotEnoughResources", "This server is being updated, try again later").untold(),
	on(tenant.ErrTenantSuspended, http.StatusServiceUnavailable, "HostSuspended", "This server is suspended").after(0).untold(),

	// auth. Expired and invalid tokens are 400: clients refresh on the name ExpiredToken, and a 401 breaks that.
	on(auth.ErrMissing, http.StatusUnauthorized, "AuthMissing", "Authentication Required"),
	on(auth.ErrScheme, http.StatusBadRequest, "InvalidToken", "Unexpected authorization type"),
	on(auth.ErrExpired, http.StatusBadRequest, "ExpiredToken", "Token has expired"),
	on(auth.ErrUnverified, http.StatusBadRequest, "InvalidToken", "Token could not be verified"),
	on(auth.ErrMalformed, http.StatusBadRequest, "InvalidToken", "Malformed token"),
	on(auth.ErrScope, http.StatusBadRequest, "InvalidToken", "Bad token scope"),
	on(auth.ErrRevoked, http.StatusBadRequest, "ExpiredToken", "Token has been revoked"),
	on(auth.ErrServiceMissing, http.StatusUnauthorized, "MissingJwt", "missing jwt"),
	on(auth.ErrServiceForm, http.StatusUnauthorized, "BadJwt", "poorly formatted jwt"),
	on(auth.ErrServiceType, http.StatusUnauthorized, "BadJwtType", "Invalid jwt type"),
	on(auth.ErrServiceExpired, http.StatusUnauthorized, "JwtExpired", "jwt expired"),
	on(auth.ErrServiceAudience, http.StatusUnauthorized, "BadJwtAudience", "jwt audience does not match service did"),
	on(auth.ErrServiceTime, http.StatusUnauthorized, "BadJwt", "jwt lives too long, or comes from the future"),
	on(auth.ErrServiceUsed, http.StatusUnauthorized, "BadJwt", "jwt was used before"),
	on(auth.ErrServiceMethod, http.StatusUnauthorized, "BadJwtLexiconMethod", "jwt lexicon method (lxm) does not match"),
	on(auth.ErrServiceIssuer, http.StatusUnauthorized, "BadJwtIss", "jwt issuer cannot be resolved to a key"),
	on(auth.ErrServiceSignature, http.StatusUnauthorized, "BadJwtSignature", "jwt signature does not match jwt issuer"),
	on(auth.ErrAccountNotFound, http.StatusForbidden, "AccountNotFound", "Account not found"),
	on(auth.ErrAccountTakedown, http.StatusUnauthorized, "AccountTakedown", "Account has been taken down"),
	on(auth.ErrAccountDeactivated, http.StatusUnauthorized, "AccountDeactivated", "Account is deactivated"),
	on(auth.ErrOperator, http.StatusUnauthorized, "AuthenticationRequired", "Authentication Required"),

	// account
	on(identity.ErrHandleSyntax, http.StatusBadRequest, "InvalidHandle", "Input/handle must be a valid handle"),
	on(identity.ErrHandleTLD, http.StatusBadRequest, "InvalidHandle", "Handle TLD is invalid or disallowed"),
	on(identity.ErrHandleTooShort, http.StatusBadRequest, "InvalidHandle", "Handle too short"),
	on(identity.ErrHandleTooLong, http.StatusBadRequest, "InvalidHandle", "Handle too long"),
	on(identity.ErrHandleChars, http.StatusBadRequest, "InvalidHandle", "Invalid characters in handle"),
	on(identity.ErrHandleRefused, http.StatusBadRequest, "InvalidHandle", "Inappropriate language in handle"),
	on(identity.ErrHandleReserved, http.StatusBadRequest, "HandleNotAvailable", "Reserved handle"),
	on(accounts.ErrHandleDomain, http.StatusBadRequest, "UnsupportedDomain", "Not a supported handle domain"),
	on(accounts.ErrHandleTaken, http.StatusBadRequest, "HandleNotAvailable", ""),
	on(accounts.ErrEmailRequired, http.StatusBadRequest, "InvalidRequest", "Email is required"),
	on(accounts.ErrEmailUnsupported, http.StatusBadRequest, "InvalidRequest", "This email address is not supported, please use a different email."),
	on(accounts.ErrEmailTaken, http.StatusBadRequest, "InvalidRequest", ""),
	on(accounts.ErrPasswordLength, http.StatusBadRequest, "InvalidPassword", ""),
	on(accounts.ErrPasswordTooLong, http.StatusUnauthorized, "AuthenticationRequired", "Password too long. Consider resetting your password."),
	on(accounts.ErrCredentials, http.StatusUnauthorized, "AuthenticationRequired", "Invalid identifier or password"),
	on(accounts.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many sign-ins at once, try again").untold(),
	on(accounts.ErrSignupClosed, http.StatusBadRequest, "InvalidRequest", "This server takes no new accounts"),
	on(accounts.ErrInviteRequired, http.StatusBadRequest, "InvalidInviteCode", "No invite code provided"),
	on(accounts.ErrInviteUnavailable, http.StatusBadRequest, "InvalidInviteCode", "Provided invite code not available"),
	on(accounts.ErrInviteUses, http.StatusBadRequest, "InvalidRequest", "useCount must be at least 1"),
	on(accounts.ErrTokenInvalid, http.StatusBadRequest, "InvalidToken", "Token is invalid"),
	on(accounts.ErrTokenExpired, http.StatusBadRequest, "ExpiredToken", "Token is expired"),
	on(accounts.ErrDIDTaken, http.StatusBadRequest, "AlreadyExists", "Repo already exists"),
	on(accounts.ErrEmailOther, http.StatusBadRequest, "InvalidEmail", "invalid email"),
	on(accounts.ErrAppPasswordName, http.StatusBadRequest, "InvalidRequest", "The name must have 1 to 256 characters"),
	on(accounts.ErrAppPasswordTaken, http.StatusBadRequest, "InvalidRequest", "There is an app password of this name already"),
	on(accounts.ErrAppPasswords, http.StatusBadRequest, "InvalidRequest", "Too many app passwords: revoke one first"),
	on(accounts.ErrAppPasswordExpiry, http.StatusBadRequest, "InvalidRequest", "expiresAt must be in the future"),
	on(accounts.ErrNoEmail, http.StatusBadRequest, "InvalidRequest", "account does not have an email address"),
	on(accounts.ErrDIDDocument, http.StatusBadRequest, "InvalidRequest", ""),
	on(accounts.ErrFactorMailed, http.StatusUnauthorized, "AuthFactorTokenRequired", "A sign in code has been sent to your email address"),
	on(accounts.ErrFactorApp, http.StatusUnauthorized, "AuthFactorTokenRequired", "A code of your authenticator app is needed"),
	on(accounts.ErrFactorOld, http.StatusBadRequest, "AuthFactorTokenRequired", "A second factor is on: sign in with a code, or call org.auroralocus.server.confirmSession, and do this within ten minutes"),
	on(accounts.ErrEmailUnconfirmed, http.StatusBadRequest, "InvalidRequest", "The email address is not confirmed"),
	on(accounts.ErrAuthenticatorOn, http.StatusBadRequest, "AuthenticatorExists", "An authenticator app is on: switch it off first"),
	on(accounts.ErrNoAuthenticator, http.StatusBadRequest, "AuthenticatorNotFound", "There is no such authenticator app"),
	on(accounts.ErrPreferenceType, http.StatusBadRequest, "InvalidRequest", "Preference is missing a $type"),
	on(accounts.ErrPreferenceNamespace, http.StatusBadRequest, "InvalidRequest", "Some preferences are not in the app.bsky namespace"),
	on(accounts.ErrPreferenceForbidden, http.StatusBadRequest, "InvalidRequest", ""),
	on(accounts.ErrDeciding, http.StatusBadRequest, "InvalidRequest", "The sign-up is being approved: try again in a few minutes"),
	on(accounts.ErrAwaiting, http.StatusBadRequest, "InvalidRequest", "The account waits for approval"),
	on(accounts.ErrRecoveryKey, http.StatusBadRequest, "InvalidRequest", "Recovery key must be a did:key"),

	// act
	on(act.ErrGone, http.StatusBadRequest, "AccountNotFound", "Account not found"),
	on(act.ErrWait, http.StatusTooManyRequests, "RateLimitExceeded", "Rate Limit Exceeded"),
	on(act.ErrPassword, http.StatusBadRequest, "WrongPassword", "The password is another one"), // not 401: the session is good, and clients end it on that
	on(act.ErrTokenRequired, http.StatusBadRequest, "TokenRequired", act.ErrTokenRequired.Error()),
	on(act.ErrBesideApp, http.StatusBadRequest, "InvalidRequest", "An authenticator app is on: org.auroralocus.server.setEmailFactor switches mailed codes on beside it"),
	on(act.ErrContradiction, http.StatusBadRequest, "InvalidRequest", act.ErrContradiction.Error()),
	on(act.ErrTakedownRef, http.StatusBadRequest, "InvalidRequest", "takedown/ref must be text of at most 1000 bytes"),
	on(act.ErrRecordURI, http.StatusBadRequest, "InvalidRequest", act.ErrRecordURI.Error()),
	on(act.ErrBlobCID, http.StatusBadRequest, "InvalidRequest", act.ErrBlobCID.Error()),
	on(act.ErrHandleElsewhere, http.StatusBadRequest, "InvalidRequest", ""),
	on(act.ErrDocumentHandle, http.StatusBadRequest, "InvalidRequest", ""),
	on(act.ErrDocumentKey, http.StatusBadRequest, "InvalidRequest", ""),
	on(act.ErrKeyNotReserved, http.StatusBadRequest, "InvalidRequest", act.ErrKeyNotReserved.Error()),
	on(act.ErrRecipient, http.StatusBadRequest, "InvalidRequest", ""),
	on(act.ErrMessage, http.StatusBadRequest, "InvalidRequest", ""),
	on(act.ErrInviteCount, http.StatusBadRequest, "InvalidRequest", act.ErrInviteCount.Error()),
	on(act.ErrInviteNames, http.StatusBadRequest, "InvalidRequest", act.ErrInviteNames.Error()),
	on(act.ErrInviteAdmin, http.StatusBadRequest, "InvalidRequest", act.ErrInviteAdmin.Error()),
	on(act.ErrInviteNote, http.StatusBadRequest, "InvalidRequest", act.ErrInviteNote.Error()),
	on(act.ErrOperation, http.StatusBadRequest, "InvalidRequest", ""),
	on(act.ErrLimit, http.StatusBadRequest, "InvalidRequest", act.ErrLimit.Error()),

	// repo, repodb, lexicon
	on(repo.ErrRecordExists, http.StatusBadRequest, "RecordAlreadyExists", "There is a record already at one of the paths"),
	on(repo.ErrRecordMissing, http.StatusBadRequest, "RecordNotFound", "Could not locate a record that is to be changed"),
	on(repo.ErrTooManyOps, http.StatusBadRequest, "InvalidRequest", "Too many writes. Max: 200"),
	on(repo.ErrTooBig, http.StatusBadRequest, "InvalidRequest", "Too many writes. Max event size: 2MB"),
	on(repo.ErrRecordTooBig, http.StatusBadRequest, "InvalidRequest", "A record may have at most 1000000 bytes"),
	on(repodb.ErrSwapCommit, http.StatusBadRequest, "InvalidSwap", "The repository's newest commit is another one"),
	on(repodb.ErrRepoNotFound, http.StatusBadRequest, "RepoNotFound", "Could not find repo"),
	on(repodb.ErrRepoTakendown, http.StatusUnauthorized, "AccountTakedown", "Account has been taken down"),
	on(repodb.ErrRepoDeactivated, http.StatusUnauthorized, "AccountDeactivated", "Account is deactivated"),
	on(repodb.ErrContention, http.StatusServiceUnavailable, "NotEnoughResources", "The repository is being written to from many places, try again").untold(),
	on(repodb.ErrBlocksNotFound, http.StatusBadRequest, "BlockNotFound", "Could not find all of the blocks"),
	on(repodb.ErrArchive, http.StatusBadRequest, "InvalidRequest", ""),
	on(repodb.ErrImportsBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many repositories are being imported at once, try again").untold(),
	on(fair.ErrNoBytes, http.StatusServiceUnavailable, "NotEnoughResources", "Too many answers are being read at once, try again").untold(),
	on(repodb.ErrBlocksTooLarge, http.StatusBadRequest, "InvalidRequest", "The blocks are too large together: ask for fewer at once"),
	on(repodb.ErrExportsBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many repositories are being read at once, try again").untold(),
	on(repodb.ErrAccountQuota, http.StatusBadRequest, "RecordQuotaExceeded", ""),
	on(repodb.ErrTenantQuota, http.StatusInsufficientStorage, "InsufficientStorage", "").untold(),
	on(repodb.ErrClosed, http.StatusServiceUnavailable, "NotEnoughResources", "The server is shutting down, try again").untold(),
	on(repodb.ErrBlobNotFound, http.StatusBadRequest, "BlobNotFound", ""),
	on(repodb.ErrBlobMimeType, http.StatusBadRequest, "InvalidMimeType", ""),
	on(repodb.ErrBlobSize, http.StatusBadRequest, "InvalidSize", ""),

	// blob
	on(blob.ErrNotFound, http.StatusBadRequest, "BlobNotFound", "Blob not found"),
	on(blob.ErrTakendown, http.StatusBadRequest, "InvalidRequest", "Blob has been takendown, cannot re-upload"),
	on(blob.ErrEmpty, http.StatusBadRequest, "InvalidRequest", "A request body is expected but none was provided"),
	on(blob.ErrAccountQuota, http.StatusBadRequest, "BlobQuotaExceeded", ""),
	on(blob.ErrTenantQuota, http.StatusInsufficientStorage, "InsufficientStorage", "This server takes no more files").untold(),
	on(blob.ErrNoAccount, http.StatusBadRequest, "RepoNotFound", "Could not find repo"),
	on(blob.ErrAway, http.StatusServiceUnavailable, "NotEnoughResources", "The files of this server are not there at the moment, try again later").untold(),
	on(blob.ErrStoreFull, http.StatusInsufficientStorage, "InsufficientStorage", "This server has no room for files").elsewhere(),
	on(blob.ErrStoreTimeout, http.StatusGatewayTimeout, "UpstreamTimeout", "The file store did not answer in time, try again").elsewhere(),
	on(blob.ErrStore, http.StatusBadGateway, "UpstreamFailure", "The file store failed, try again").elsewhere(),
	on(blob.ErrClosed, http.StatusServiceUnavailable, "NotEnoughResources", "The server is shutting down, try again").untold(),

	// picture
	on(picture.ErrFormat, http.StatusUnsupportedMediaType, "UnsupportedMediaType", "This file is no picture that can be read here"),
	on(picture.ErrTooLarge, http.StatusUnsupportedMediaType, "PictureTooLarge", "This picture is too large to make copies of"),
	on(picture.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many pictures at once, try again").untold(),
	on(picture.ErrTimeout, http.StatusServiceUnavailable, "NotEnoughResources", "This picture takes too long").untold(),

	on(lexicon.ErrUnknownType, http.StatusBadRequest, "InvalidRequest", ""),
	on(lexicon.ErrInvalid, http.StatusBadRequest, "InvalidRequest", ""),

	// identity. The directory's own refusals are the client's to read, its failures are not.
	on(identity.ErrOperation, http.StatusBadRequest, "InvalidRequest", ""),
	on(identity.ErrOperationConflict, http.StatusBadRequest, "InvalidRequest", ""),
	on(identity.ErrOperationRate, http.StatusTooManyRequests, "RateLimitExceeded", ""),
	on(identity.ErrDIDTombstoned, http.StatusBadRequest, "DidDeactivated", "DID is tombstoned"),
	on(identity.ErrDIDNotFound, http.StatusBadRequest, "DidNotFound", "DID not found"),
	on(identity.ErrDIDSyntax, http.StatusBadRequest, "InvalidRequest", "This DID cannot be resolved"),
	on(identity.ErrDIDMethod, http.StatusBadRequest, "InvalidRequest", "Unsupported DID method"),
	on(identity.ErrDocument, http.StatusBadRequest, "InvalidRequest", "The DID document is malformed"),
	on(identity.ErrHandleNotFound, http.StatusBadRequest, "HandleNotFound", "Unable to resolve handle"),
	on(identity.ErrDIDUnavailable, http.StatusBadGateway, "UpstreamFailure", "The DID's directory or host does not answer").elsewhere(),

	// db. An unknown outcome must not be retried blindly, so it has a name of its own.
	on(db.ErrUnknownOutcome, http.StatusServiceUnavailable, "UnknownOutcome", "The connection to the database broke before it answered: look whether the change was made before trying again").after(0).untold(),
	on(db.ErrFull, http.StatusServiceUnavailable, "DatabaseFull", "The database has no room left: nothing was changed. Try again later").after(60).untold(),
	on(db.ErrSlow, http.StatusServiceUnavailable, "DatabaseTimeout", "The database took too long: nothing was changed. Try again shortly"),
	on(db.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many requests wait for the database, try again shortly").untold(),
	on(db.ErrUnavailable, http.StatusServiceUnavailable, "NotEnoughResources", "The database cannot be reached now, try again shortly").untold(),
}
