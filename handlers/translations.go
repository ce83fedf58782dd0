package handlers

import (
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/picture"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/proxy/merge"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// byOAuth is a line for what proves a caller by OAuth.
// spec: RFC 9449 section 7.1
func byOAuth(sentinel error, name string) xrpc.Translation {
	return xrpc.On(sentinel, http.StatusUnauthorized, name, "").Challenge(`DPoP algs="` + strings.Join(jose.Algorithms, " ") + `"`)
}

// translations is the whole table, the first match counts. What is not in it is 500 and says nothing.
var translations = []xrpc.Translation{
	// tenant
	xrpc.On(tenant.ErrUnknownHost, http.StatusMisdirectedRequest, "UnknownHost", "No server of this name is hosted here"),
	xrpc.On(tenant.ErrTooNew, http.StatusServiceUnavailable, "NotEnoughResources", "This server is being updated, try again later").Untold(),
	xrpc.On(tenant.ErrBehind, http.StatusServiceUnavailable, "NotEnoughResources", "This server is being updated, try again later").Untold(),
	xrpc.On(tenant.ErrTenantSuspended, http.StatusServiceUnavailable, "HostSuspended", "This server is suspended").After(0).Untold(),
	xrpc.On(tenant.ErrTenantDeleted, http.StatusGone, "HostDeleted", "This server was deleted").Untold(),

	// auth. Expired and invalid tokens are 400: clients refresh on the name ExpiredToken, and a 401 breaks that.
	xrpc.On(auth.ErrMissing, http.StatusUnauthorized, "AuthMissing", "Authentication Required"),
	xrpc.On(auth.ErrScheme, http.StatusBadRequest, "InvalidToken", "Unexpected authorization type"),
	xrpc.On(auth.ErrExpired, http.StatusBadRequest, "ExpiredToken", "Token has expired"),
	xrpc.On(auth.ErrUnverified, http.StatusBadRequest, "InvalidToken", "Token could not be verified"),
	xrpc.On(auth.ErrMalformed, http.StatusBadRequest, "InvalidToken", "Malformed token"),
	xrpc.On(auth.ErrScope, http.StatusBadRequest, "InvalidToken", "Bad token scope"),
	xrpc.On(auth.ErrRevoked, http.StatusBadRequest, "ExpiredToken", "Token has been revoked"),

	// auth by OAuth. The names are OAuth's, and the header WWW-Authenticate says the same: clients read it there.
	byOAuth(dpop.ErrNonce, "use_dpop_nonce"), // before ErrProof: it is not the proof's fault
	byOAuth(dpop.ErrMissing, "invalid_dpop_proof"),
	byOAuth(dpop.ErrProof, "invalid_dpop_proof"),
	byOAuth(auth.ErrProofUsed, "invalid_dpop_proof"),
	byOAuth(auth.ErrOAuthToken, "invalid_token"),
	byOAuth(auth.ErrBound, "invalid_token"),

	xrpc.On(auth.ErrServiceMissing, http.StatusUnauthorized, "MissingJwt", "missing jwt"),
	xrpc.On(auth.ErrServiceForm, http.StatusUnauthorized, "BadJwt", "poorly formatted jwt"),
	xrpc.On(auth.ErrServiceType, http.StatusUnauthorized, "BadJwtType", "Invalid jwt type"),
	xrpc.On(auth.ErrServiceExpired, http.StatusUnauthorized, "JwtExpired", "jwt expired"),
	xrpc.On(auth.ErrServiceAudience, http.StatusUnauthorized, "BadJwtAudience", "jwt audience does not match service did"),
	xrpc.On(auth.ErrServiceTime, http.StatusUnauthorized, "BadJwt", "jwt lives too long, or comes from the future"),
	xrpc.On(auth.ErrServiceUsed, http.StatusUnauthorized, "BadJwt", "jwt was used before"),
	xrpc.On(auth.ErrServiceMethod, http.StatusUnauthorized, "BadJwtLexiconMethod", "jwt lexicon method (lxm) does not match"),
	xrpc.On(auth.ErrServiceIssuer, http.StatusUnauthorized, "BadJwtIss", "jwt issuer cannot be resolved to a key"),
	xrpc.On(auth.ErrServiceSignature, http.StatusUnauthorized, "BadJwtSignature", "jwt signature does not match jwt issuer"),
	xrpc.On(auth.ErrAccountNotFound, http.StatusForbidden, "AccountNotFound", "Account not found"),
	xrpc.On(auth.ErrAccountTakedown, http.StatusUnauthorized, "AccountTakedown", "Account has been taken down"),
	xrpc.On(auth.ErrAccountDeactivated, http.StatusUnauthorized, "AccountDeactivated", "Account is deactivated"),
	xrpc.On(auth.ErrOperator, http.StatusUnauthorized, "AuthenticationRequired", "Authentication Required"),

	// account
	xrpc.On(identity.ErrHandleSyntax, http.StatusBadRequest, "InvalidHandle", "Input/handle must be a valid handle"),
	xrpc.On(identity.ErrHandleTLD, http.StatusBadRequest, "InvalidHandle", "Handle TLD is invalid or disallowed"),
	xrpc.On(identity.ErrHandleTooShort, http.StatusBadRequest, "InvalidHandle", "Handle too short"),
	xrpc.On(identity.ErrHandleTooLong, http.StatusBadRequest, "InvalidHandle", "Handle too long"),
	xrpc.On(identity.ErrHandleChars, http.StatusBadRequest, "InvalidHandle", "Invalid characters in handle"),
	xrpc.On(identity.ErrHandleRefused, http.StatusBadRequest, "InvalidHandle", "Inappropriate language in handle"),
	xrpc.On(identity.ErrHandleReserved, http.StatusBadRequest, "HandleNotAvailable", "Reserved handle"),
	xrpc.On(account.ErrHandleDomain, http.StatusBadRequest, "UnsupportedDomain", "Not a supported handle domain"),
	xrpc.On(account.ErrHandleTaken, http.StatusBadRequest, "HandleNotAvailable", ""),
	xrpc.On(account.ErrEmailRequired, http.StatusBadRequest, "InvalidRequest", "Email is required"),
	xrpc.On(account.ErrEmailUnsupported, http.StatusBadRequest, "InvalidRequest", "This email address is not supported, please use a different email."),
	xrpc.On(account.ErrEmailTaken, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(account.ErrPasswordLength, http.StatusBadRequest, "InvalidPassword", ""),
	xrpc.On(account.ErrPasswordTooLong, http.StatusUnauthorized, "AuthenticationRequired", "Password too long. Consider resetting your password."),
	xrpc.On(account.ErrCredentials, http.StatusUnauthorized, "AuthenticationRequired", "Invalid identifier or password"),
	xrpc.On(account.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many sign-ins at once, try again").Untold(),
	xrpc.On(account.ErrSignupClosed, http.StatusBadRequest, "InvalidRequest", "This server takes no new accounts"),
	xrpc.On(account.ErrInviteRequired, http.StatusBadRequest, "InvalidInviteCode", "No invite code provided"),
	xrpc.On(account.ErrInviteUnavailable, http.StatusBadRequest, "InvalidInviteCode", "Provided invite code not available"),
	xrpc.On(account.ErrInviteUses, http.StatusBadRequest, "InvalidRequest", "useCount must be at least 1"),
	xrpc.On(account.ErrTokenInvalid, http.StatusBadRequest, "InvalidToken", "Token is invalid"),
	xrpc.On(account.ErrTokenExpired, http.StatusBadRequest, "ExpiredToken", "Token is expired"),
	xrpc.On(account.ErrDIDTaken, http.StatusBadRequest, "AlreadyExists", "Repo already exists"),
	xrpc.On(account.ErrEmailOther, http.StatusBadRequest, "InvalidEmail", "invalid email"),
	xrpc.On(account.ErrAppPasswordName, http.StatusBadRequest, "InvalidRequest", "The name must have 1 to 256 characters"),
	xrpc.On(account.ErrAppPasswordTaken, http.StatusBadRequest, "InvalidRequest", "There is an app password of this name already"),
	xrpc.On(account.ErrAppPasswords, http.StatusBadRequest, "InvalidRequest", "Too many app passwords: revoke one first"),
	xrpc.On(account.ErrAppPasswordExpiry, http.StatusBadRequest, "InvalidRequest", "expiresAt must be in the future"),
	xrpc.On(account.ErrNoEmail, http.StatusBadRequest, "InvalidRequest", "account does not have an email address"),
	xrpc.On(account.ErrDIDDocument, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(account.ErrFactorMailed, http.StatusUnauthorized, "AuthFactorTokenRequired", "A sign in code has been sent to your email address"),
	xrpc.On(account.ErrFactorApp, http.StatusUnauthorized, "AuthFactorTokenRequired", "A code of your authenticator app is needed"),
	xrpc.On(account.ErrOAuthOnly, http.StatusUnauthorized, "OAuthRequired", "This account takes no sign-in by its main password: sign in with OAuth, or with an app password"),
	xrpc.On(account.ErrFactorOld, http.StatusBadRequest, "AuthFactorTokenRequired", "A second factor is on: sign in with a code, or call org.auroralocus.server.confirmSession, and do this within ten minutes"),
	xrpc.On(account.ErrEmailUnconfirmed, http.StatusBadRequest, "InvalidRequest", "The email address is not confirmed"),
	xrpc.On(account.ErrAuthenticatorOn, http.StatusBadRequest, "AuthenticatorExists", "An authenticator app is on: switch it off first"),
	xrpc.On(passkey.ErrUnknown, http.StatusBadRequest, "PasskeyNotFound", "There is no such passkey"),
	xrpc.On(act.ErrLastWayIn, http.StatusBadRequest, "LastPasskey", "The account has no password: its last passkey stays"),
	xrpc.On(account.ErrNoAuthenticator, http.StatusBadRequest, "AuthenticatorNotFound", "There is no such authenticator app"),
	xrpc.On(account.ErrPreferenceType, http.StatusBadRequest, "InvalidRequest", "Preference is missing a $type"),
	xrpc.On(account.ErrPreferenceNamespace, http.StatusBadRequest, "InvalidRequest", "Some preferences are not in the app.bsky namespace"),
	xrpc.On(account.ErrPreferenceForbidden, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(account.ErrDeciding, http.StatusBadRequest, "InvalidRequest", "The sign-up is being approved: try again in a few minutes"),
	xrpc.On(account.ErrAwaiting, http.StatusBadRequest, "InvalidRequest", "The account waits for approval"),
	xrpc.On(account.ErrRecoveryKey, http.StatusBadRequest, "InvalidRequest", "Recovery key must be a did:key"),

	// act
	xrpc.On(act.ErrGone, http.StatusBadRequest, "AccountNotFound", "Account not found"),
	xrpc.On(act.ErrWait, http.StatusTooManyRequests, "RateLimitExceeded", "Rate Limit Exceeded"),
	xrpc.On(act.ErrPassword, http.StatusBadRequest, "WrongPassword", "The password is another one"), // not 401: the session is good, and clients end it on that
	xrpc.On(act.ErrTokenRequired, http.StatusBadRequest, "TokenRequired", act.ErrTokenRequired.Error()),
	xrpc.On(act.ErrBesideApp, http.StatusBadRequest, "InvalidRequest", "An authenticator app is on: org.auroralocus.server.setEmailFactor switches mailed codes on beside it"),
	xrpc.On(act.ErrContradiction, http.StatusBadRequest, "InvalidRequest", act.ErrContradiction.Error()),
	xrpc.On(act.ErrTakedownRef, http.StatusBadRequest, "InvalidRequest", "takedown/ref must be text of at most 1000 bytes"),
	xrpc.On(act.ErrRecordURI, http.StatusBadRequest, "InvalidRequest", act.ErrRecordURI.Error()),
	xrpc.On(act.ErrBlobCID, http.StatusBadRequest, "InvalidRequest", act.ErrBlobCID.Error()),
	xrpc.On(act.ErrHandleElsewhere, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(act.ErrDocumentHandle, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(act.ErrDocumentKey, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(act.ErrKeyNotReserved, http.StatusBadRequest, "InvalidRequest", act.ErrKeyNotReserved.Error()),
	xrpc.On(act.ErrRecipient, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(act.ErrMessage, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(act.ErrInviteCount, http.StatusBadRequest, "InvalidRequest", act.ErrInviteCount.Error()),
	xrpc.On(act.ErrInviteNames, http.StatusBadRequest, "InvalidRequest", act.ErrInviteNames.Error()),
	xrpc.On(act.ErrInviteAdmin, http.StatusBadRequest, "InvalidRequest", act.ErrInviteAdmin.Error()),
	xrpc.On(act.ErrInviteNote, http.StatusBadRequest, "InvalidRequest", act.ErrInviteNote.Error()),
	xrpc.On(act.ErrOperation, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(act.ErrLimit, http.StatusBadRequest, "InvalidRequest", act.ErrLimit.Error()),

	// repo, repodb, lexicon
	xrpc.On(repo.ErrRecordExists, http.StatusBadRequest, "RecordAlreadyExists", "There is a record already at one of the paths"),
	xrpc.On(repo.ErrRecordMissing, http.StatusBadRequest, "RecordNotFound", "Could not locate a record that is to be changed"),
	xrpc.On(repo.ErrTooManyOps, http.StatusBadRequest, "InvalidRequest", "Too many writes. Max: 200"),
	xrpc.On(repo.ErrTooBig, http.StatusBadRequest, "InvalidRequest", "Too many writes. Max event size: 2MB"),
	xrpc.On(repo.ErrRecordTooBig, http.StatusBadRequest, "InvalidRequest", "A record may have at most 1000000 bytes"),
	xrpc.On(repodb.ErrSwapCommit, http.StatusBadRequest, "InvalidSwap", "The repository's newest commit is another one"),
	xrpc.On(repodb.ErrRepoNotFound, http.StatusBadRequest, "RepoNotFound", "Could not find repo"),
	xrpc.On(repodb.ErrRepoTakendown, http.StatusUnauthorized, "AccountTakedown", "Account has been taken down"),
	xrpc.On(repodb.ErrRepoDeactivated, http.StatusUnauthorized, "AccountDeactivated", "Account is deactivated"),
	xrpc.On(repodb.ErrContention, http.StatusServiceUnavailable, "NotEnoughResources", "The repository is being written to from many places, try again").Untold(),
	xrpc.On(repodb.ErrBlocksNotFound, http.StatusBadRequest, "BlockNotFound", "Could not find all of the blocks"),
	xrpc.On(repodb.ErrArchive, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(repodb.ErrImportsBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many repositories are being imported at once, try again").Untold(),
	xrpc.On(fair.ErrNoBytes, http.StatusServiceUnavailable, "NotEnoughResources", "Too many answers are being read at once, try again").Untold(),
	xrpc.On(repodb.ErrBlocksTooLarge, http.StatusBadRequest, "InvalidRequest", "The blocks are too large together: ask for fewer at once"),
	xrpc.On(repodb.ErrExportsBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many repositories are being read at once, try again").Untold(),
	xrpc.On(fair.ErrNoPlace, http.StatusServiceUnavailable, "NotEnoughResources", "Too many requests wait for a processor, try again").Untold(), // below what wraps it
	xrpc.On(repodb.ErrAccountQuota, http.StatusBadRequest, "RecordQuotaExceeded", ""),
	xrpc.On(repodb.ErrTenantQuota, http.StatusInsufficientStorage, "InsufficientStorage", "").Untold(),
	xrpc.On(repodb.ErrClosed, http.StatusServiceUnavailable, "NotEnoughResources", "The server is shutting down, try again").Untold(),
	xrpc.On(repodb.ErrBlobNotFound, http.StatusBadRequest, "BlobNotFound", ""),
	xrpc.On(repodb.ErrBlobMimeType, http.StatusBadRequest, "InvalidMimeType", ""),
	xrpc.On(repodb.ErrBlobSize, http.StatusBadRequest, "InvalidSize", ""),

	// usage
	xrpc.On(usage.ErrRequestQuota, http.StatusTooManyRequests, "RateLimitExceeded", ""),
	xrpc.On(act.ErrAccountQuota, http.StatusInsufficientStorage, "InsufficientStorage", "").Untold(),

	// blob
	xrpc.On(blob.ErrNotFound, http.StatusBadRequest, "BlobNotFound", "Blob not found"),
	xrpc.On(blob.ErrTakendown, http.StatusBadRequest, "InvalidRequest", "Blob has been takendown, cannot re-upload"),
	xrpc.On(blob.ErrEmpty, http.StatusBadRequest, "InvalidRequest", "A request body is expected but none was provided"),
	xrpc.On(blob.ErrAccountQuota, http.StatusBadRequest, "BlobQuotaExceeded", ""),
	xrpc.On(blob.ErrTenantQuota, http.StatusInsufficientStorage, "InsufficientStorage", "This server takes no more files").Untold(),
	xrpc.On(blob.ErrNoAccount, http.StatusBadRequest, "RepoNotFound", "Could not find repo"),
	xrpc.On(blob.ErrAway, http.StatusServiceUnavailable, "NotEnoughResources", "The files of this server are not there at the moment, try again later").Untold(),
	xrpc.On(blob.ErrStoreFull, http.StatusInsufficientStorage, "InsufficientStorage", "This server has no room for files").Elsewhere(),
	xrpc.On(blob.ErrStoreTimeout, http.StatusGatewayTimeout, "UpstreamTimeout", "The file store did not answer in time, try again").Elsewhere(),
	xrpc.On(blob.ErrStore, http.StatusBadGateway, "UpstreamFailure", "The file store failed, try again").Elsewhere(),
	xrpc.On(blob.ErrClosed, http.StatusServiceUnavailable, "NotEnoughResources", "The server is shutting down, try again").Untold(),

	// picture
	xrpc.On(picture.ErrFormat, http.StatusUnsupportedMediaType, "UnsupportedMediaType", "This file is no picture that can be read here"),
	xrpc.On(picture.ErrTooLarge, http.StatusUnsupportedMediaType, "PictureTooLarge", "This picture is too large to make copies of"),
	xrpc.On(picture.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many pictures at once, try again").Untold(),
	xrpc.On(picture.ErrTimeout, http.StatusServiceUnavailable, "NotEnoughResources", "This picture takes too long").Untold(),

	xrpc.On(lexicon.ErrUnknownType, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(lexicon.ErrInvalid, http.StatusBadRequest, "InvalidRequest", ""),

	// proxy. Before identity: what is wrong with a header is told in words of its own.
	xrpc.On(proxy.ErrHeader, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(merge.ErrEncodings, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(merge.ErrNotAcceptable, http.StatusNotAcceptable, "NotAcceptable", "this service does not support any of the requested encodings"),
	xrpc.On(proxy.ErrNoService, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(proxy.ErrUnknownFeed, http.StatusBadRequest, "UnknownFeed", "could not resolve feed did"),
	xrpc.On(proxy.ErrBodyTooLarge, http.StatusRequestEntityTooLarge, "PayloadTooLarge", "request entity too large"),
	xrpc.On(proxy.ErrAccountBusy, http.StatusTooManyRequests, "RateLimitExceeded", "Too many requests at once").After(1),
	xrpc.On(proxy.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many requests for this service at once, try again").After(1).Untold(),
	xrpc.On(proxy.ErrAway, http.StatusBadGateway, "UpstreamFailure", "Upstream service unreachable").Untold(),
	xrpc.On(proxy.ErrUnreachable, http.StatusBadGateway, "UpstreamFailure", "Upstream service unreachable").Elsewhere(),
	xrpc.On(proxy.ErrTooLarge, http.StatusBadGateway, "UpstreamFailure", "Upstream answer is too large").Elsewhere(),
	xrpc.On(proxy.ErrCut, http.StatusBadGateway, "UpstreamFailure", "Upstream answer was cut").Elsewhere(),
	xrpc.On(proxy.ErrEncoding, http.StatusBadGateway, "UpstreamFailure", "Upstream answer cannot be decoded").Elsewhere(),

	// identity. The directory's own refusals are the client's to read, its failures are not.
	xrpc.On(identity.ErrOperation, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(identity.ErrOperationConflict, http.StatusBadRequest, "InvalidRequest", ""),
	xrpc.On(identity.ErrOperationRate, http.StatusTooManyRequests, "RateLimitExceeded", ""),
	xrpc.On(identity.ErrDIDTombstoned, http.StatusBadRequest, "DidDeactivated", "DID is tombstoned"),
	xrpc.On(identity.ErrDIDNotFound, http.StatusBadRequest, "DidNotFound", "DID not found"),
	xrpc.On(identity.ErrDIDSyntax, http.StatusBadRequest, "InvalidRequest", "This DID cannot be resolved"),
	xrpc.On(identity.ErrDIDMethod, http.StatusBadRequest, "InvalidRequest", "Unsupported DID method"),
	xrpc.On(identity.ErrDocument, http.StatusBadRequest, "InvalidRequest", "The DID document is malformed"),
	xrpc.On(identity.ErrHandleNotFound, http.StatusBadRequest, "HandleNotFound", "Unable to resolve handle"),
	xrpc.On(identity.ErrDIDUnavailable, http.StatusBadGateway, "UpstreamFailure", "The DID's directory or host does not answer").Elsewhere(),

	// db. An unknown outcome must not be retried blindly, so it has a name of its own.
	xrpc.On(db.ErrUnknownOutcome, http.StatusServiceUnavailable, "UnknownOutcome", "The connection to the database broke before it answered: look whether the change was made before trying again").After(0).Untold(),
	xrpc.On(db.ErrFull, http.StatusServiceUnavailable, "DatabaseFull", "The database has no room left: nothing was changed. Try again later").After(60).Untold(),
	xrpc.On(db.ErrSlow, http.StatusServiceUnavailable, "DatabaseTimeout", "The database took too long: nothing was changed. Try again shortly"),
	xrpc.On(db.ErrBusy, http.StatusServiceUnavailable, "NotEnoughResources", "Too many requests wait for the database, try again shortly").Untold(),
	xrpc.On(db.ErrUnavailable, http.StatusServiceUnavailable, "NotEnoughResources", "The database cannot be reached now, try again shortly").Untold(),
}
