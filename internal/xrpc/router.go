package xrpc

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/syntax"
)

// unrouted answers what no method's own route took: the wrong verb, a method that is not here, a path that is
// no method's name.
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/xrpc/")
	if op := s.Operations[name]; op != nil {
		WriteError(w, Invalid("Incorrect HTTP method (%s) expected %s", r.Method, op.Kind.Verb()))
		return
	}
	if !isMethodName(name) {
		WriteError(w, Invalid("invalid xrpc path"))
		return
	}
	if s.others.Answer != nil { // its path was written in another way
		WriteError(w, Invalid("invalid xrpc path"))
		return
	}
	WriteError(w, Refuse(http.StatusNotImplemented, "MethodNotImplemented", "Method Not Implemented"))
}

func isMethodName(name string) bool { return syntax.NSID.Is(name) }

func notFound(w http.ResponseWriter, _ *http.Request) {
	WriteError(w, Refuse(http.StatusNotFound, "NotFound", "nothing is served here"))
}

// clean tells whether the mux will take a path as it is, without redirecting to a tidier one: a redirect of an
// API call helps nobody.
func clean(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.Contains(path, "//") &&
		!strings.Contains(path+"/", "/./") && !strings.Contains(path+"/", "/../")
}

// WriteError sends an error outside Huma.
func WriteError(w http.ResponseWriter, e *Error) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	e.head(h)
	w.WriteHeader(e.status)
	b, err := json.Marshal(e)
	if err != nil {
		return // two strings: only invalid UTF-8 could fail, and refuse's texts are ours
	}
	_, _ = w.Write(b)
}
