package handlers

import (
	"net/http"
	"slices"

	"github.com/auroralocus/locus/internal/xrpc"
)

// generalErrors may come from every method, whatever it does: they are of the request, the server or what lies behind it.
// The tests hold what is declared here and below: a house's method answers nothing else, and each of it has been seen.
var generalErrors = []xrpc.ErrorKind{
	xrpc.ErrorOf(http.StatusBadRequest, "InvalidRequest"),
	xrpc.ErrorOf(http.StatusNotFound, "NotFound"), // no method is served under the name of a handle
	xrpc.ErrorOf(http.StatusRequestTimeout, "RequestTimeout"),
	xrpc.ErrorOf(http.StatusUnsupportedMediaType, "UnsupportedMediaType"),
	xrpc.ErrorOf(http.StatusMisdirectedRequest, "UnknownHost"),
	xrpc.ErrorOf(http.StatusTooManyRequests, "RateLimitExceeded"), // of all calls together; a method with limits of its own declares it, too
	xrpc.ErrorOf(http.StatusForbidden, "ScopeMissingError"),       // of OAuth tokens
	xrpc.ErrorOf(http.StatusForbidden, "Forbidden"),
	xrpc.ErrorOf(xrpc.ErrClientGone.GetStatus(), xrpc.ErrClientGone.Name),
	xrpc.ErrorOf(http.StatusInternalServerError, "InternalServerError"),
	xrpc.ErrorOf(http.StatusBadGateway, "UpstreamFailure"),
	xrpc.ErrorOf(http.StatusServiceUnavailable, "NotEnoughResources"),
	xrpc.ErrorOf(http.StatusServiceUnavailable, "UnknownOutcome"),
	xrpc.ErrorOf(http.StatusServiceUnavailable, "DatabaseFull"),
	xrpc.ErrorOf(http.StatusServiceUnavailable, "DatabaseTimeout"),
	xrpc.ErrorOf(http.StatusServiceUnavailable, "HostSuspended"),
	xrpc.ErrorOf(http.StatusGone, "HostDeleted"),
}

// tokenErrors, sessionErrors and serviceErrors are of tokens.
var (
	tokenErrors = []xrpc.ErrorKind{
		xrpc.ErrorOf(http.StatusUnauthorized, "AuthMissing"),
		xrpc.ErrorOf(http.StatusBadRequest, "InvalidToken"),
		xrpc.ErrorOf(http.StatusBadRequest, "ExpiredToken"),
		xrpc.ErrorOf(http.StatusForbidden, "AccountNotFound"),
		xrpc.ErrorOf(http.StatusUnauthorized, "AccountTakedown"),
	}
	// oauthErrors are of tokens of clients, and of the proofs that belong to them.
	oauthErrors = []xrpc.ErrorKind{
		xrpc.ErrorOf(http.StatusUnauthorized, "use_dpop_nonce"),
		xrpc.ErrorOf(http.StatusUnauthorized, "invalid_dpop_proof"),
		xrpc.ErrorOf(http.StatusUnauthorized, "invalid_token"),
	}
	sessionErrors = kinds(oauthErrors, tokenErrors, []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusUnauthorized, "AccountDeactivated")})
	serviceErrors = []xrpc.ErrorKind{
		xrpc.ErrorOf(http.StatusUnauthorized, "BadJwt"),
		xrpc.ErrorOf(http.StatusUnauthorized, "BadJwtType"),
		xrpc.ErrorOf(http.StatusUnauthorized, "JwtExpired"),
		xrpc.ErrorOf(http.StatusUnauthorized, "BadJwtAudience"),
		xrpc.ErrorOf(http.StatusUnauthorized, "BadJwtLexiconMethod"),
		xrpc.ErrorOf(http.StatusUnauthorized, "BadJwtIss"),
		xrpc.ErrorOf(http.StatusUnauthorized, "BadJwtSignature"),
	}
)

// gateErrors are what a credential may be refused with, by the class of the method.
var gateErrors = map[string][]xrpc.ErrorKind{
	"account":  sessionErrors,
	"overseen": kinds(oauthErrors, tokenErrors), // deactivated accounts are served
	"viewer": kinds(oauthErrors, []xrpc.ErrorKind{
		xrpc.ErrorOf(http.StatusUnauthorized, "AuthenticationRequired"),
		xrpc.ErrorOf(http.StatusBadRequest, "ExpiredToken"),
		xrpc.ErrorOf(http.StatusForbidden, "AccountNotFound"),
		xrpc.ErrorOf(http.StatusUnauthorized, "AccountTakedown"),
	}),
	"refresh": {
		xrpc.ErrorOf(http.StatusUnauthorized, "AuthMissing"),
		xrpc.ErrorOf(http.StatusBadRequest, "InvalidToken"),
		xrpc.ErrorOf(http.StatusBadRequest, "ExpiredToken"),
	},
	"operator": append([]xrpc.ErrorKind{
		xrpc.ErrorOf(http.StatusUnauthorized, "AuthenticationRequired"),
		xrpc.ErrorOf(http.StatusForbidden, "Forbidden"),
		xrpc.ErrorOf(http.StatusUnauthorized, "UntrustedIss"),
		xrpc.ErrorOf(http.StatusUnauthorized, "MissingJwt"),
	}, serviceErrors...),
}

func refused400(names ...string) (kinds []xrpc.ErrorKind) {
	for _, name := range names {
		kinds = append(kinds, xrpc.ErrorOf(http.StatusBadRequest, name))
	}
	return kinds
}

func kinds(groups ...[]xrpc.ErrorKind) []xrpc.ErrorKind { return slices.Concat(groups...) }

var (
	notTheOwn     = []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusUnauthorized, "AuthenticationRequired")} // somebody else's repository, a wrong password
	handleRefused = refused400("InvalidHandle", "HandleNotAvailable")
	noSuchThing   = refused400("NotFound") // the admin methods' word
	noSuchRepo    = refused400("RepoNotFound")
	storeFails    = []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusBadGateway, "UpstreamFailure"), xrpc.ErrorOf(http.StatusGatewayTimeout, "UpstreamTimeout")}
	quotaRefused  = []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusBadRequest, "RecordQuotaExceeded"), xrpc.ErrorOf(http.StatusInsufficientStorage, "InsufficientStorage")}
	recordRefused = kinds(notTheOwn, noSuchRepo, refused400("BlobNotFound", "InvalidMimeType", "InvalidSize"))
)

// moreErrors are the errors of methods that their lexicons do not name.
var moreErrors = map[string][]xrpc.ErrorKind{
	"app.bsky.actor.getPreferences":             {xrpc.ErrorOf(http.StatusUnauthorized, "UntrustedIss")},
	"com.atproto.admin.deleteAccount":           noSuchThing,
	"com.atproto.admin.disableAccountInvites":   noSuchThing,
	"com.atproto.admin.enableAccountInvites":    noSuchThing,
	"com.atproto.admin.getAccountInfo":          noSuchThing,
	"com.atproto.admin.getSubjectStatus":        noSuchThing,
	"com.atproto.admin.updateAccountEmail":      noSuchThing,
	"com.atproto.admin.updateAccountHandle":     kinds(noSuchThing, handleRefused),
	"com.atproto.admin.updateAccountPassword":   kinds(noSuchThing, refused400("InvalidPassword")),
	"com.atproto.admin.updateAccountSigningKey": noSuchThing,
	"com.atproto.admin.updateSubjectStatus":     kinds(noSuchThing, refused400("AccountNotFound")),
	"com.atproto.identity.signPlcOperation":     refused400("InvalidToken", "ExpiredToken"),
	"com.atproto.identity.updateHandle":         handleRefused,
	"com.atproto.repo.applyWrites":              kinds(recordRefused, quotaRefused, refused400("RecordAlreadyExists", "RecordNotFound")),
	"com.atproto.repo.createRecord":             kinds(recordRefused, quotaRefused, refused400("RecordAlreadyExists")),
	"com.atproto.repo.deleteRecord":             kinds(notTheOwn, noSuchRepo),
	"com.atproto.repo.describeRepo":             refused400("RepoNotFound", "RepoTakendown", "RepoDeactivated"),
	"com.atproto.repo.importRepo":               quotaRefused,
	"com.atproto.repo.putRecord":                kinds(recordRefused, quotaRefused),
	"com.atproto.repo.uploadBlob":               kinds(serviceErrors, noSuchRepo, refused400("BlobQuotaExceeded"), storeFails, []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusInsufficientStorage, "InsufficientStorage")}),
	"com.atproto.server.activateAccount":        refused400("AccountNotFound"),
	"com.atproto.server.createAppPassword":      refused400("AuthFactorTokenRequired"),
	"com.atproto.server.updateEmail":            refused400("AuthFactorTokenRequired"),
	"com.atproto.server.createAccount":          kinds(notTheOwn, serviceErrors, refused400("AlreadyExists"), []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusInsufficientStorage, "InsufficientStorage")}),
	"com.atproto.server.createSession":          kinds(notTheOwn, refused400("InvalidToken", "ExpiredToken"), []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusUnauthorized, "OAuthRequired")}),
	"com.atproto.server.deleteAccount":          notTheOwn,
	"com.atproto.server.resetPassword":          refused400("InvalidPassword"),
	"com.atproto.sync.getBlob":                  kinds(storeFails, []xrpc.ErrorKind{xrpc.ErrorOf(http.StatusPreconditionFailed, "PreconditionFailed"), xrpc.ErrorOf(http.StatusRequestedRangeNotSatisfiable, "RangeNotSatisfiable")}),
	"com.atproto.sync.getCheckout":              refused400("RepoNotFound", "RepoTakendown", "RepoDeactivated"),
	"com.atproto.sync.subscribeRepos":           {xrpc.ErrorOf(http.StatusUpgradeRequired, "UpgradeRequired")},
}
