package handlers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// errorKind is an error as clients tell it from others.
type errorKind struct {
	status int
	name   string
}

func (k errorKind) String() string { return fmt.Sprintf("%d %s", k.status, k.name) }

// generalErrors may come from every method, whatever it does: they are of the request, the server or what lies behind it.
// The tests hold what is declared here and below: a house's method answers nothing else, and each of it has been seen.
var generalErrors = []errorKind{
	{http.StatusBadRequest, "InvalidRequest"},
	{http.StatusNotFound, "NotFound"}, // no method is served under the name of a handle
	{http.StatusRequestTimeout, "RequestTimeout"},
	{http.StatusUnsupportedMediaType, "UnsupportedMediaType"},
	{http.StatusMisdirectedRequest, "UnknownHost"},
	{http.StatusTooManyRequests, "RateLimitExceeded"}, // of all calls together; see [operation.declared]
	{errClientGone.status, errClientGone.Name},
	{http.StatusInternalServerError, "InternalServerError"},
	{http.StatusBadGateway, "UpstreamFailure"},
	{http.StatusServiceUnavailable, "NotEnoughResources"},
	{http.StatusServiceUnavailable, "UnknownOutcome"},
	{http.StatusServiceUnavailable, "DatabaseFull"},
	{http.StatusServiceUnavailable, "DatabaseTimeout"},
	{http.StatusServiceUnavailable, "HostSuspended"},
}

// sessionErrors and serviceErrors are of tokens.
var (
	sessionErrors = []errorKind{
		{http.StatusUnauthorized, "AuthMissing"},
		{http.StatusBadRequest, "InvalidToken"},
		{http.StatusBadRequest, "ExpiredToken"},
		{http.StatusForbidden, "AccountNotFound"},
		{http.StatusUnauthorized, "AccountTakedown"},
		{http.StatusUnauthorized, "AccountDeactivated"},
	}
	serviceErrors = []errorKind{
		{http.StatusUnauthorized, "BadJwt"},
		{http.StatusUnauthorized, "BadJwtType"},
		{http.StatusUnauthorized, "JwtExpired"},
		{http.StatusUnauthorized, "BadJwtAudience"},
		{http.StatusUnauthorized, "BadJwtLexiconMethod"},
		{http.StatusUnauthorized, "BadJwtIss"},
		{http.StatusUnauthorized, "BadJwtSignature"},
	}
)

// gateErrors are what a credential may be refused with, by the class of the method.
var gateErrors = map[string][]errorKind{
	"account": sessionErrors,
	"viewer": {
		{http.StatusUnauthorized, "AuthenticationRequired"},
		{http.StatusBadRequest, "ExpiredToken"},
		{http.StatusForbidden, "AccountNotFound"},
		{http.StatusUnauthorized, "AccountTakedown"},
	},
	"refresh": {
		{http.StatusUnauthorized, "AuthMissing"},
		{http.StatusBadRequest, "InvalidToken"},
		{http.StatusBadRequest, "ExpiredToken"},
	},
	"operator": append([]errorKind{
		{http.StatusUnauthorized, "AuthenticationRequired"},
		{http.StatusForbidden, "Forbidden"},
		{http.StatusUnauthorized, "UntrustedIss"},
		{http.StatusUnauthorized, "MissingJwt"},
	}, serviceErrors...),
}

func refused400(names ...string) (kinds []errorKind) {
	for _, name := range names {
		kinds = append(kinds, errorKind{http.StatusBadRequest, name})
	}
	return kinds
}

func kinds(groups ...[]errorKind) []errorKind { return slices.Concat(groups...) }

var (
	notTheOwn     = []errorKind{{http.StatusUnauthorized, "AuthenticationRequired"}} // somebody else's repository, a wrong password
	handleRefused = refused400("InvalidHandle", "HandleNotAvailable")
	noSuchThing   = refused400("NotFound") // the admin methods' word
	noSuchRepo    = refused400("RepoNotFound")
	storeFails    = []errorKind{{http.StatusBadGateway, "UpstreamFailure"}, {http.StatusGatewayTimeout, "UpstreamTimeout"}}
	quotaRefused  = []errorKind{{http.StatusBadRequest, "RecordQuotaExceeded"}, {http.StatusInsufficientStorage, "InsufficientStorage"}}
	recordRefused = kinds(notTheOwn, noSuchRepo, refused400("BlobNotFound", "InvalidMimeType", "InvalidSize"))
)

// moreErrors are the errors of methods that their lexicons do not name.
var moreErrors = map[string][]errorKind{
	"app.bsky.actor.getPreferences":             {{http.StatusUnauthorized, "UntrustedIss"}},
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
	"com.atproto.repo.uploadBlob":               kinds(serviceErrors, noSuchRepo, refused400("BlobQuotaExceeded"), storeFails, []errorKind{{http.StatusInsufficientStorage, "InsufficientStorage"}}),
	"com.atproto.server.activateAccount":        refused400("AccountNotFound"),
	"com.atproto.server.createAppPassword":      refused400("AuthFactorTokenRequired"),
	"com.atproto.server.updateEmail":            refused400("AuthFactorTokenRequired"),
	"com.atproto.server.createAccount":          kinds(notTheOwn, serviceErrors, refused400("AlreadyExists")),
	"com.atproto.server.createSession":          kinds(notTheOwn, refused400("InvalidToken", "ExpiredToken")),
	"com.atproto.server.deleteAccount":          notTheOwn,
	"com.atproto.server.resetPassword":          refused400("InvalidPassword"),
	"com.atproto.sync.getBlob":                  kinds(storeFails, []errorKind{{http.StatusPreconditionFailed, "PreconditionFailed"}, {http.StatusRequestedRangeNotSatisfiable, "RangeNotSatisfiable"}}),
	"com.atproto.sync.getCheckout":              refused400("RepoNotFound", "RepoTakendown", "RepoDeactivated"),
	"com.atproto.sync.subscribeRepos":           {{http.StatusUpgradeRequired, "UpgradeRequired"}},
}

// lexiconStatus is the status of the errors in lexicons that are not 400. An error of a stream has none.
func (op *operation) lexiconStatus(name string) int {
	switch {
	case op.kind == subscriptionKind:
		return 0
	case name == "AccountTakedown", name == "AuthFactorTokenRequired":
		return http.StatusUnauthorized
	case name == "AccountNotFound":
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// declared are a method's own errors: its lexicon's, those of [moreErrors], and what its limits refuse.
func (op *operation) declared() (out []errorKind) {
	for _, name := range op.errors {
		out = append(out, errorKind{op.lexiconStatus(name), name})
	}
	out = append(out, moreErrors[op.nsid]...)
	if op.limit > 0 || op.limitOf != nil {
		out = append(out, errorKind{http.StatusRequestEntityTooLarge, op.tooLarge()})
	}
	if op.limits.by != 0 {
		out = append(out, errorKind{http.StatusTooManyRequests, nameOf(http.StatusTooManyRequests)})
	}
	return out
}

// tooLarge is what a body over the limit is refused with; the reference has a name for JSON and one for the rest.
func (op *operation) tooLarge() string {
	if op.input == "application/json" {
		return "PayloadTooLargeError"
	}
	return nameOf(http.StatusRequestEntityTooLarge)
}

// errorsText is what the document says of a method's errors: those that are 400, and the others with their status.
func (op *operation) errorsText() (of400, others string) {
	var plain, rest []string
	for _, k := range op.declared() {
		switch k.status {
		case http.StatusBadRequest:
			plain = append(plain, k.name)
		case 0:
			rest = append(rest, k.name+" (a message of the stream)")
		default:
			rest = append(rest, k.String())
		}
	}
	return strings.Join(plain, ", "), strings.Join(rest, ", ")
}
