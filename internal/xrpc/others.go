package xrpc

import (
	"net/http"
	"strings"
	"time"
)

// Others is what answers requests for methods that nobody registered.
type Others struct {
	Answer func(Visitor, http.ResponseWriter, *http.Request) error
	// Also says that a request for a registered method is answered by it this time.
	Also func(Visitor, *http.Request) bool
	// Access are its lines in the table, a column each.
	Access [][]string
}

// Elsewhere registers what answers all methods that are not registered. What it sends goes past the compressor. A request
// body is an [http.Request.Body] with a method Interrupt, which ends a Read that is under way in another goroutine.
func Elsewhere(g *Group, o Others) { *g.others = o }

// foreign says whether a request is for the others: it then goes past the mux, because an answer that comes from
// elsewhere is passed on as it is.
func (s *Server) foreign(st *state, r *http.Request) bool {
	name, ok := strings.CutPrefix(r.URL.Path, "/xrpc/")
	if !ok || s.others.Answer == nil {
		return false
	}
	if s.Operations[name] == nil {
		return r.URL.EscapedPath() == r.URL.Path && isMethodName(name)
	}
	return s.others.Also(st.visitor(), r)
}

// Exactly lets an answer's headers be sent as they are.
func (v Visitor) Exactly() { v.state.w.exact = true }

// BodyWithin lets the body be here within d, however it comes.
func (v Visitor) BodyWithin(d time.Duration) {
	if a := v.state.arrival; a != nil {
		a.whole(d)
	}
}

// Interrupt ends a Read that is under way in another goroutine, and with it the body.
func (a *arrival) Interrupt() { _ = a.ctl.SetReadDeadline(longAgo) }
