package endpoint

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// failure is an error with all that an answer says of it.
type failure struct {
	status int
	name   string
	text   string
	wait   time.Duration // before the next try; 0: nothing is said
}

func (f *failure) Error() string { return f.name + ": " + f.text }

// problem is a request that is not one, whatever it asks for.
func problem(status int, text string) error {
	return &failure{status: status, name: oauth.InvalidRequest, text: text}
}

const invalidToken = "invalid_token"

var (
	errLarge     = problem(http.StatusRequestEntityTooLarge, "the body has more than "+strconv.Itoa(maxBody)+" bytes")
	errMethod    = problem(http.StatusMethodNotAllowed, "only POST is answered here")
	errLimit     = &failure{status: http.StatusTooManyRequests, name: oauth.TemporarilyAway, text: "too many requests: wait as long as Retry-After says"}
	errSuspended = &failure{http.StatusServiceUnavailable, oauth.TemporarilyAway, "this server is suspended", suspendedWait}
	errDeleted   = &failure{status: http.StatusGone, name: oauth.TemporarilyAway, text: "this server was deleted"}
	errAway      = &failure{http.StatusServiceUnavailable, oauth.TemporarilyAway, "try again in a moment", 5 * time.Second}
	errServer    = &failure{status: http.StatusInternalServerError, name: "server_error", text: "Server error"}
)

// passes are the faults that pass. After an unknown outcome, too, a client may ask again: a refresh that happened gives the
// same tokens once more.
var passes = []error{
	db.ErrUnavailable, db.ErrUnknownOutcome, db.ErrBusy, db.ErrSlow, db.ErrFull, fair.ErrNoBytes, context.DeadlineExceeded,
	tenant.ErrTenantSuspended, tenant.ErrTenantDeleted, tenant.ErrTooNew, tenant.ErrBehind, xrpc.ErrClientGone,
}

// asked is an error of a pushed request: a client that pushes is no browser, so what a person would be told is a bad
// request here.
func asked(err error) error {
	var r *oauth.Refusal
	if errors.As(err, &r) {
		switch r.Name {
		case oauth.AccessDenied, oauth.LoginRequired, oauth.ConsentRequired, oauth.SelectionRequired:
			return oauth.Refuse(oauth.InvalidRequest, "%s", r.Text)
		}
	}
	return err
}

// failureOf is the one table from what rooms refuse with to what clients are told. A fault that passes is never called by
// a name on which a client gives up its session. false: the answer hides the cause.
// spec: RFC 6749 section 5.2, RFC 9449 sections 5 and 8
func failureOf(err error) (f *failure, told bool) {
	var refused *oauth.Refusal
	bad := func(name string) (*failure, bool) {
		return &failure{status: http.StatusBadRequest, name: name, text: err.Error()}, true
	}
	switch {
	case errors.As(err, &f):
		return f, true
	case errors.As(err, &refused):
		return refusal(refused), true
	case errors.Is(err, dpop.ErrNonce):
		return bad(oauth.UseDPoPNonce)
	case errors.Is(err, dpop.ErrMissing), errors.Is(err, dpop.ErrProof):
		return &failure{status: http.StatusUnauthorized, name: oauth.InvalidDPoPProof, text: err.Error()}, true
	case errors.Is(err, client.ErrUnavailable):
		return &failure{http.StatusServiceUnavailable, oauth.TemporarilyAway, err.Error(), 30 * time.Second}, true
	case errors.Is(err, client.ErrID):
		return bad(oauth.InvalidClientID)
	case errors.Is(err, client.ErrMetadata):
		return bad(oauth.InvalidClientMetadata)
	case errors.Is(err, client.ErrRedirect):
		return bad(oauth.InvalidRedirectURI)
	case errors.Is(err, client.ErrAuthentication):
		return bad(oauth.InvalidClient)
	}
	for _, passing := range passes {
		if errors.Is(err, passing) {
			return errAway, true
		}
	}
	return errServer, false
}

// refusal gives an act's refusal its status.
func refusal(r *oauth.Refusal) *failure {
	f := &failure{status: http.StatusBadRequest, name: r.Name, text: r.Text}
	switch r.Name {
	case oauth.InvalidDPoPProof, invalidToken:
		f.status = http.StatusUnauthorized
	case oauth.TemporarilyAway:
		f.status, f.wait = http.StatusServiceUnavailable, errAway.wait
	}
	return f
}

// refuse answers with an error.
func refuse(v xrpc.Visitor, w http.ResponseWriter, err error) {
	f, told := failureOf(err)
	if !told {
		v.LogError(err)
	}
	h := w.Header()
	text := sayable(f.text)
	switch {
	case f.status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `DPoP algs="`+strings.Join(jose.Algorithms, " ")+`", error="`+f.name+`", error_description="`+text+`"`)
	case f.wait > 0:
		h.Set("Retry-After", strconv.FormatInt(seconds(f.wait), 10))
	}
	send(v, w, f.status, struct {
		Name string `json:"error"`
		Text string `json:"error_description"`
	}{f.name, text})
}

// sayable brings a text into the letters that a description may have.
// spec: RFC 6749 section 5.2
func sayable(text string) string {
	const most = 500
	if len(text) > most {
		text = text[:most]
	}
	return xrpc.Quotable(text)
}
