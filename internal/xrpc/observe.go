package xrpc

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
)

// What a request is called that is for none of the methods here.
const (
	observedOther = "other" // a name under /xrpc/ that no method here has
	observedPage  = "page"
)

// Answered is a request whose answer was given.
type Answered struct {
	Request *http.Request
	ID      string
	Tenant  *tenant.Tenant // nil: the host is nobody's
	Account string         // the DID of the caller, where one was established
	Addr    netip.Addr
	// Method is an NSID of this server, "other" or "page", and Class who may call it. What a stranger asks for is in
	// neither.
	Method, Class string
	Status        int // 0: the answer never began
	Bytes         int64
	Took          time.Duration
	Stream        bool // it took as long as somebody listened
	// Opened says that a stream has come about. It is told of again when it has ended.
	Opened bool
}

// seen tells Config.Observe of an answer.
func (s *Server) seen(st *state, r *http.Request) {
	if s.observe == nil {
		return
	}
	a := s.answered(st, r)
	s.observe(&a)
}

// opened tells it of a stream that begins.
func (s *Server) opened(st *state, r *http.Request) {
	if s.observe == nil {
		return
	}
	a := s.answered(st, r)
	a.Opened, a.Status = true, http.StatusSwitchingProtocols
	s.observe(&a)
}

func (s *Server) answered(st *state, r *http.Request) Answered {
	a := Answered{
		Request: r, ID: st.requestID(), Tenant: st.Tenant, Account: st.account, Addr: st.addr, Method: observedPage, Class: observedPage,
		Status: st.w.status, Bytes: st.w.bytes, Took: time.Since(st.start), Stream: r.Header["Upgrade"] != nil,
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/xrpc/"); ok {
		a.Method, a.Class = observedOther, observedOther
		if op := s.Operations[name]; op != nil {
			a.Method, a.Class = name, op.Class
		}
	}
	return a
}

// identified remembers which account calls; caller points to what a registering function hands out.
func (s *state) identified(caller any) {
	switch c := caller.(type) {
	case *AccountCaller:
		s.account = c.DID
	case *ViewerCaller:
		if c.Account != nil {
			s.account = c.Account.DID
		}
	case *accountOrModerator:
		if c.account != nil {
			s.account = c.account.DID
		}
	case *RefreshCaller:
		s.account = c.DID
	}
}

// Identified says which account a visitor has shown to be, where no registering function has.
func (v Visitor) Identified(did string) { v.state.account = did }

// RequestID is the id of the request whose context this is, or one that is made from it; "": of none.
func RequestID(ctx context.Context) string {
	if st, ok := ctx.Value(stateKey{}).(*state); ok {
		return st.requestID()
	}
	return ""
}
