package handlers

import (
	"net/http"
	"slices"
)

// generalErrors may come from every method, whatever it does: they are of the request, the server or what lies behind it.
// The tests hold what is declared here and below: a house's method answers nothing else, and each of it has been seen.
var generalErrors = []errorKind{
	kindOf(http.StatusBadRequest, "InvalidRequest"),
	kindOf(http.StatusNotFound, "NotFound"), // no method is served under the name of a handle
	kindOf(http.StatusRequestTimeout, "RequestTimeout"),
	kindOf(http.StatusUnsupportedMediaType, "UnsupportedMediaType"),
	kindOf(http.StatusMisdirectedRequest, "UnknownHost"),
	kindOf(http.StatusTooManyRequests, "RateLimitExceeded"), // of all calls together; a method with limits of its own declares it, too
	kindOf(errClientGone.GetStatus(), errClientGone.Name),
	kindOf(http.StatusInternalServerError, "InternalServerError"),
	kindOf(http.StatusBadGateway, "UpstreamFailure"),
	kindOf(http.StatusServiceUnavailable, "NotEnoughResources"),
	kindOf(http.StatusServiceUnavailable, "UnknownOutcome"),
	kindOf(http.StatusServiceUnavailable, "DatabaseFull"),
	kindOf(http.StatusServiceUnavailable, "DatabaseTimeout"),
	kindOf(http.StatusServiceUnavailable, "HostSuspended"),
}

// sessionErrors and serviceErrors are of tokens.
var (
	sessionErrors = []errorKind{
		kindOf(http.StatusUnauthorized, "AuthMissing"),
		kindOf(http.StatusBadRequest, "InvalidToken"),
		kindOf(http.StatusBadRequest, "ExpiredToken"),
		kindOf(http.StatusForbidden, "AccountNotFound"),
		kindOf(http.StatusUnauthorized, "AccountTakedown"),
		kindOf(http.StatusUnauthorized, "AccountDeactivated"),
	}
	serviceErrors = []errorKind{
		kindOf(http.StatusUnauthorized, "BadJwt"),
		kindOf(http.StatusUnauthorized, "BadJwtType"),
		kindOf(http.StatusUnauthorized, "JwtExpired"),
		kindOf(http.StatusUnauthorized, "BadJwtAudience"),
		kindOf(http.StatusUnauthorized, "BadJwtLexiconMethod"),
		kindOf(http.StatusUnauthorized, "BadJwtIss"),
		kindOf(http.StatusUnauthorized, "BadJwtSignature"),
	}
)

// gateErrors are what a credential may be refused with, by the class of the method.
var gateErrors = map[string][]errorKind{
	"account":  sessionErrors,
	"overseen": sessionErrors,
	"viewer": {
		kindOf(http.StatusUnauthorized, "AuthenticationRequired"),
		kindOf(http.StatusBadRequest, "ExpiredToken"),
		kindOf(http.StatusForbidden, "AccountNotFound"),
		kindOf(http.StatusUnauthorized, "AccountTakedown"),
	},
	"refresh": {
		kindOf(http.StatusUnauthorized, "AuthMissing"),
		kindOf(http.StatusBadRequest, "InvalidToken"),
		kindOf(http.StatusBadRequest, "ExpiredToken"),
	},
	"operator": append([]errorKind{
		kindOf(http.StatusUnauthorized, "AuthenticationRequired"),
		kindOf(http.StatusForbidden, "Forbidden"),
		kindOf(http.StatusUnauthorized, "UntrustedIss"),
		kindOf(http.StatusUnauthorized, "MissingJwt"),
	}, serviceErrors...),
}

func refused400(names ...string) (kinds []errorKind) {
	for _, name := range names {
		kinds = append(kinds, kindOf(http.StatusBadRequest, name))
	}
	return kinds
}

func kinds(groups ...[]errorKind) []errorKind { return slices.Concat(groups...) }

var (
	notTheOwn     = []errorKind{kindOf(http.StatusUnauthorized, "AuthenticationRequired")} // somebody else's repository, a wrong password
	handleRefused = refused400("InvalidHandle", "HandleNotAvailable")
	noSuchThing   = refused400("NotFound") // the admin methods' word
	noSuchRepo    = refused400("RepoNotFound")
	storeFails    = []errorKind{kindOf(http.StatusBadGateway, "UpstreamFailure"), kindOf(http.StatusGatewayTimeout, "UpstreamTimeout")}
	quotaRefused  = []errorKind{kindOf(http.StatusBadRequest, "RecordQuotaExceeded"), kindOf(http.StatusInsufficientStorage, "InsufficientStorage")}
	recordRefused = kinds(notTheOwn, noSuchRepo, refused400("BlobNotFound", "InvalidMimeType", "InvalidSize"))
)

// moreErrors are the errors of methods that their lexicons do not name.
var moreErrors = map[string][]errorKind{
	"app.bsky.actor.getPreferences":             {kindOf(http.StatusUnauthorized, "UntrustedIss")},
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
	"com.atproto.repo.uploadBlob":               kinds(serviceErrors, noSuchRepo, refused400("BlobQuotaExceeded"), storeFails, []errorKind{kindOf(http.StatusInsufficientStorage, "InsufficientStorage")}),
	"com.atproto.server.activateAccount":        refused400("AccountNotFound"),
	"com.atproto.server.createAppPassword":      refused400("AuthFactorTokenRequired"),
	"com.atproto.server.updateEmail":            refused400("AuthFactorTokenRequired"),
	"com.atproto.server.createAccount":          kinds(notTheOwn, serviceErrors, refused400("AlreadyExists")),
	"com.atproto.server.createSession":          kinds(notTheOwn, refused400("InvalidToken", "ExpiredToken")),
	"com.atproto.server.deleteAccount":          notTheOwn,
	"com.atproto.server.resetPassword":          refused400("InvalidPassword"),
	"com.atproto.sync.getBlob":                  kinds(storeFails, []errorKind{kindOf(http.StatusPreconditionFailed, "PreconditionFailed"), kindOf(http.StatusRequestedRangeNotSatisfiable, "RangeNotSatisfiable")}),
	"com.atproto.sync.getCheckout":              refused400("RepoNotFound", "RepoTakendown", "RepoDeactivated"),
	"com.atproto.sync.subscribeRepos":           {kindOf(http.StatusUpgradeRequired, "UpgradeRequired")},
}
