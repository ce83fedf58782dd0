// Package locusclient is a Go client of an Aurora Locus server.
//
// client.gen.go is generated from openapi/openapi.yaml; this file adds what XRPC has and OpenAPI cannot say: which of a session's two tokens
// a method takes, and errors with names. The methods of [ClientWithResponses] read whole answers; those of [Client] give the
// *http.Response, for archives and blobs that should be streamed.
//
//	var s locusclient.Session
//	c, err := locusclient.NewClientWithResponses("https://pds.example", locusclient.WithSession(&s))
//	r, err := c.ComAtprotoServerCreateSessionWithResponse(ctx, locusclient.ServerCreateSessionInputBody{Identifier: "alice.test", Password: pw})
//	if err := locusclient.Check(r, err); err != nil { … }
//	s.Set(r.JSON200.AccessJwt, r.JSON200.RefreshJwt)
package locusclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

//go:generate bash ../../../internal/gen/clients.sh

// A Session is what createAccount, createSession and refreshSession give. The zero value is nobody. It may be used by many calls at once.
type Session struct {
	mu              sync.Mutex
	access, refresh string
}

// Set replaces the tokens; two empty ones sign out.
func (s *Session) Set(access, refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access, s.refresh = access, refresh
}

// token is the one that the method of a path takes.
func (s *Session) token(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasSuffix(path, "/com.atproto.server.refreshSession") || strings.HasSuffix(path, "/com.atproto.server.deleteSession") {
		return s.refresh
	}
	return s.access
}

// WithSession makes every call in a session's name, while it has one. A call that sets its own Authorization header keeps it.
func WithSession(s *Session) ClientOption {
	return WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if t := s.token(r.URL.Path); t != "" && r.Header.Get("Authorization") == "" {
			r.Header.Set("Authorization", "Bearer "+t)
		}
		return nil
	})
}

// AsOperator makes one call (or, as [WithRequestEditorFn], every call) with a tenant's admin password.
func AsOperator(password string) RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.SetBasicAuth("admin", password)
		return nil
	}
}

// An XRPCError is an answer other than 2xx. spec: xrpc#error-responses
type XRPCError struct {
	Status  int
	Name    string // for programs; "Unknown" when the answer has another form
	Message string // for people
}

func (e *XRPCError) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Name, e.Message) }

// An Answer is any of the generated …Response types.
type Answer interface {
	StatusCode() int
	GetBody() []byte
}

// Check returns err if there is one, an *XRPCError for an answer other than 2xx, and nil for a good one.
func Check(a Answer, err error) error {
	if err != nil {
		return err
	}
	if s := a.StatusCode(); s >= 200 && s < 300 {
		return nil
	}
	e := &XRPCError{Status: a.StatusCode(), Name: "Unknown"}
	var body Error
	if json.Unmarshal(a.GetBody(), &body) == nil && body.Error != "" {
		e.Name, e.Message = body.Error, body.Message
	}
	return e
}
