package xrpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Error is XRPC's error answer: {"error": name, "message": text}. It is what [Refuse] makes, what the table
// translates sentinel errors to, and the form of every error of this server.
// spec: xrpc#error-responses
type Error struct {
	status  int
	retry   int         // seconds after which it may go better; 0: nothing is said
	quiet   bool        // it is no failure of this server, whatever the status
	headers http.Header // more of the answer's
	Name    string      `json:"error" doc:"Name of the error, for programs."`
	Message string      `json:"message" doc:"What went wrong, for people."`
}

func (e *Error) Error() string  { return e.Name + ": " + e.Message }
func (e *Error) GetStatus() int { return e.status }

// Refuse is an error of a handler's own: status, XRPC name ("" takes the status's), message.
func Refuse(status int, name, format string, args ...any) *Error {
	if name == "" {
		name = nameOf(status)
	}
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	return &Error{status: status, Name: name, Message: message}
}

// Relayed is the error of another server that was asked in the caller's name: no failure of this one, whatever the status.
// headers go with it. An empty name takes the status's.
func Relayed(status int, name, message string, headers http.Header) *Error {
	if name == "" {
		name = nameOf(status)
	}
	return &Error{
		status: status, quiet: true, headers: headers,
		Name: strings.ToValidUTF8(name, "\ufffd"), Message: strings.ToValidUTF8(message, "\ufffd"),
	}
}

// Challenge has an answer's header WWW-Authenticate say the same: start is the scheme, perhaps with parameters; name and
// text are those of the error, and more are further parameters, a name and a value each.
// spec: RFC 6750 section 3, RFC 9449 section 7.1
func (e *Error) Challenge(start, name string, more ...string) *Error {
	params := []string{"error", name}
	if e.Message != "" {
		params = append(params, "error_description", e.Message)
	}
	return e.challenge(start, append(params, more...)...)
}

// challenge sets the header to these parameters, a name and a value each.
func (e *Error) challenge(start string, params ...string) *Error {
	header := start
	for i := 0; i+1 < len(params); i += 2 {
		if header != start || strings.ContainsRune(start, '=') {
			header += ","
		}
		header += " " + params[i] + `="` + Quotable(params[i+1]) + `"`
	}
	out := *e
	out.headers = e.headers.Clone()
	if out.headers == nil {
		out.headers = http.Header{}
	}
	out.headers["Www-Authenticate"] = []string{header}
	return &out
}

// Quotable is text as a quoted parameter of a challenge may have it, and an OAuth error's description.
// spec: RFC 6749 section 5.2
func Quotable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
}

// Invalid is 400 InvalidRequest, the commonest.
func Invalid(format string, args ...any) *Error {
	return Refuse(http.StatusBadRequest, "InvalidRequest", format, args...)
}

// nameOf is the error name a status has when nobody gave a better one.
func nameOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "InvalidRequest"
	case http.StatusUnauthorized:
		return "AuthenticationRequired"
	case http.StatusForbidden:
		return "Forbidden"
	case http.StatusNotFound:
		return "XRPCNotSupported"
	case http.StatusNotAcceptable:
		return "NotAcceptable"
	case http.StatusPreconditionFailed:
		return "PreconditionFailed"
	case http.StatusRequestedRangeNotSatisfiable:
		return "RangeNotSatisfiable"
	case http.StatusRequestEntityTooLarge:
		return "PayloadTooLarge"
	case http.StatusUnsupportedMediaType:
		return "UnsupportedMediaType"
	case http.StatusTooManyRequests:
		return "RateLimitExceeded"
	case http.StatusNotImplemented:
		return "MethodNotImplemented"
	case http.StatusBadGateway:
		return "UpstreamFailure"
	case http.StatusServiceUnavailable:
		return "NotEnoughResources"
	case http.StatusGatewayTimeout:
		return "UpstreamTimeout"
	}
	if status >= 500 {
		return "InternalServerError"
	}
	return "InvalidRequest"
}

// internalError says nothing: the cause is in the log, under the request's id.
func internalError() *Error {
	return Refuse(http.StatusInternalServerError, "InternalServerError", "Internal Server Error")
}

// ErrClientGone is logged, never seen: nobody is there to read an answer.
var ErrClientGone = Refuse(499, "ClientClosedRequest", "the client went away")

// Translation is the answer to one sentinel error. An empty message is the error's own text: only for sentinels that are
// never wrapped with anything a stranger should not read.
type Translation struct {
	sentinel error
	status   int
	name     string
	message  string
	retry    int // seconds; 0: nothing is said
	quiet    bool
	seldom   bool
	scheme   string // of WWW-Authenticate; "": there is none
}

// On begins a line of the table: the answer to a sentinel. For what is busy or away, the answer says when to try again.
func On(sentinel error, status int, name, message string) Translation {
	t := Translation{sentinel: sentinel, status: status, name: name, message: message}
	if status == http.StatusServiceUnavailable {
		t.retry = 5
	}
	return t
}

// After says when a client may try again, in seconds. 0 says nothing: after an unknown outcome a client must look
// first, and a suspended server stays suspended for long.
func (t Translation) After(seconds int) Translation { t.retry = seconds; return t }

// Challenge has the answer's header WWW-Authenticate say the same: [Error.Challenge].
func (t Translation) Challenge(start string) Translation { t.scheme = start; return t }

// Untold keeps a failure out of the log. Nothing broke, the answer says everything, and a line for each request would
// let strangers fill the log.
func (t Translation) Untold() Translation { t.quiet = true; return t }

// Elsewhere says that it is a failure of others: a host that a stranger named and that does not answer, a file store.
// The log has one line about each a minute.
func (t Translation) Elsewhere() Translation { t.seldom = true; return t }

// Translate gives the answer to an error that a handler or the establishing of a caller returned. logged is
// true when the answer hides the cause, which then belongs in the log.
func (of *Tables) Translate(ctx context.Context, err error) (answer *Error, logged bool) {
	if errors.As(err, &answer) {
		return answer, answer.status >= 500 && !answer.quiet
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ErrClientGone, false
	}
	for i := range of.Translations {
		if t := &of.Translations[i]; errors.Is(err, t.sentinel) {
			message := t.message
			var own interface{ Said() string }
			switch {
			case message == "" && errors.As(err, &own):
				message = own.Said()
			case message == "":
				message = Said(err, t.sentinel)
			}
			answer = Refuse(t.status, t.name, "%s", message)
			answer.retry = t.retry
			if t.scheme != "" {
				answer = answer.Challenge(t.scheme, t.name)
			}
			var must interface{ RetryAfter() time.Duration }
			if errors.As(err, &must) {
				answer.retry = seconds(must.RetryAfter())
			}
			return answer, t.status >= 500 && !t.quiet
		}
	}
	return internalError(), true
}

// seconds are whole ones, as Retry-After has them.
func seconds(wait time.Duration) int { return int((wait + time.Second - 1) / time.Second) }

// head writes what of an error belongs in the answer's header.
func (e *Error) head(h http.Header) {
	for name, values := range e.headers {
		h[name] = values
	}
	if e.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(e.retry))
	}
}

// Said is an error's own text as a sentence.
func Said(err, sentinel error) string {
	s := Plain(err, sentinel)
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Plain is an error's own text as a client may see it: from the sentinel on, so that what was being done here, and to which
// row of which schema, stays in the log; and without the names of packages in front of their errors.
func Plain(err, sentinel error) string {
	s := err.Error()
	if sentinel != nil {
		if at := strings.Index(s, sentinel.Error()); at > 0 {
			s = s[at:]
		}
	}
	s = ofPackages.ReplaceAllString(s, "$1")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

// ofPackages finds the packages of ours whose errors a client may read, as their errors begin.
var ofPackages = regexp.MustCompile(`(^|: )(?:car|repo|mst|dagcbor): `)

// fromHuma is what Huma calls for errors of its own: a body that does not fit. The caller's refusal, which is in the call,
// comes before it.
func fromHuma(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
	var c *call
	if ctx != nil {
		if form, ok := ctx.Context().Value(errorFormKey{}).(ErrorForm); ok {
			return form(status, message, errs...)
		}
		c = callOf(ctx)
	}
	first := ""
	for _, err := range errs {
		var d *huma.ErrorDetail
		if first == "" && errors.As(err, &d) {
			first = d.Message // ours: jsonBodies made it
		}
	}
	if c != nil && c.refusal != nil {
		return c.refusal
	}
	switch {
	case first != "":
		return Invalid("%s", first)
	case status == http.StatusInternalServerError:
		return internalError()
	case status == http.StatusRequestTimeout:
		return Refuse(status, "RequestTimeout", "%s", message)
	case status == http.StatusUnprocessableEntity || status == http.StatusUnsupportedMediaType:
		status = http.StatusBadRequest
	}
	return Refuse(status, "", "%s", message)
}

// ErrorForm makes errors of Huma's own into those of another interface.
type ErrorForm func(status int, message string, errs ...error) huma.StatusError

type errorFormKey struct{}

// WithErrorForm gives a request's errors another form than XRPC's: Huma knows one for all interfaces of a process.
func WithErrorForm(ctx context.Context, form ErrorForm) context.Context {
	return context.WithValue(ctx, errorFormKey{}, form)
}

func init() {
	// Huma keeps these in package variables; its own defaults would answer in another form, tell Go's error
	// texts and repeat the body, passwords included.
	huma.NewErrorWithContext = fromHuma
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return fromHuma(nil, status, message, errs...)
	}
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true // else "DID" would count as the required "did", which then stays empty
}
