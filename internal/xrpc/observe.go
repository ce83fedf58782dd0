package xrpc

import (
	"net/http"
	"strings"
	"time"
)

// What a request is called that is for none of the methods here.
const (
	observedOther = "other" // a name under /xrpc/ that no method here has
	observedPage  = "page"
)

// seen tells Config.Observe of an answer. The name it gives is one of ours: what a stranger asks for is not repeated.
func (s *Server) seen(st *state, r *http.Request) {
	if s.observe == nil {
		return
	}
	method, took := observedPage, time.Since(st.start)
	if name, ok := strings.CutPrefix(r.URL.Path, "/xrpc/"); ok {
		method = observedOther
		if op := s.Operations[name]; op != nil {
			method = name
		}
	}
	if r.Header["Upgrade"] != nil { // a stream takes as long as somebody listens
		took = -1
	}
	s.observe(method, st.w.status, took)
}
