package locusclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Tokens are a session, as createAccount, createSession and refreshSession give it.
type Tokens struct {
	DID        string `json:"did"`
	AccessJwt  string `json:"accessJwt"`
	RefreshJwt string `json:"refreshJwt"`
}

// session holds the tokens of a client and refreshes them once for all calls that find them expired.
type session struct {
	refresh func(context.Context) (access, refresh string, err error)
	changed func(Tokens)

	mu       sync.Mutex
	tokens   Tokens
	underWay *refreshing // nil: none
}

// refreshing is a refresh that several calls wait for.
type refreshing struct {
	done chan struct{}
	err  error
}

// refreshTime bounds a refresh. It does not end with the call that began it: others wait for it.
const refreshTime = time.Minute

func (s *session) get() Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens
}

func (s *session) set(t Tokens) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = t
}

// renew replaces an access token that was refused. Whoever comes second waits for the first; a token that was replaced
// meanwhile needs nothing.
func (s *session) renew(ctx context.Context, refused string) error {
	s.mu.Lock()
	if s.tokens.AccessJwt != refused {
		s.mu.Unlock()
		return nil
	}
	r := s.underWay
	if r == nil {
		r = &refreshing{done: make(chan struct{})}
		s.underWay = r
		go s.run(context.WithoutCancel(ctx), r, s.tokens)
	}
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) run(ctx context.Context, r *refreshing, old Tokens) {
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	access, refresh, err := s.refresh(ctx)
	s.mu.Lock()
	t := Tokens{old.DID, access, refresh}
	fresh := err == nil && s.tokens == old // else somebody signed out or in meanwhile
	if fresh {
		s.tokens = t
	}
	r.err, s.underWay = err, nil
	s.mu.Unlock()
	if fresh && s.changed != nil {
		s.changed(t)
	}
	close(r.done)
}

// authorized sends calls in a session's name. A call that sets its own Authorization header keeps it.
type authorized struct {
	inner   HttpRequestDoer
	session *session
}

func (a *authorized) Do(req *http.Request) (*http.Response, error) {
	t := a.session.get()
	if req.Header.Get("Authorization") != "" || t.AccessJwt == "" {
		return a.inner.Do(req)
	}
	if path := req.URL.Path; strings.HasSuffix(path, "/com.atproto.server.refreshSession") || strings.HasSuffix(path, "/com.atproto.server.deleteSession") {
		req.Header.Set("Authorization", "Bearer "+t.RefreshJwt)
		return a.inner.Do(req)
	}
	again := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
	if !again && expires(t.AccessJwt).Before(time.Now().Add(time.Minute)) && t.RefreshJwt != "" {
		// A stream can be sent once only: better before than after.
		if err := a.session.renew(req.Context(), t.AccessJwt); err == nil {
			t = a.session.get()
		}
	}
	req.Header.Set("Authorization", "Bearer "+t.AccessJwt)
	resp, err := a.inner.Do(req)
	if err != nil || !again || t.RefreshJwt == "" || !expired(resp) {
		return resp, err
	}
	if a.session.renew(req.Context(), t.AccessJwt) != nil {
		return resp, nil // what the call itself was answered says more
	}
	second := req.Clone(req.Context())
	if req.GetBody != nil {
		if second.Body, err = req.GetBody(); err != nil {
			return resp, nil
		}
	}
	resp.Body.Close()
	second.Header.Set("Authorization", "Bearer "+a.session.get().AccessJwt)
	return a.inner.Do(second)
}

// maxError is how much of a refusal is read.
const maxError = 64 << 10

// expired tells whether a call was refused because of the token's age. The body can still be read.
func expired(resp *http.Response) bool {
	if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	rest := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(b), rest), rest}
	return err == nil && errorOf(resp.StatusCode, b).Name == string(ErrExpiredToken)
}

// expires is when a token says that it ends: in an hour when it does not say, so that it is sent.
func expires(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Now().Add(time.Hour)
	}
	var claims struct {
		Exp int64 `json:"exp"`
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(b, &claims) != nil || claims.Exp == 0 {
		return time.Now().Add(time.Hour)
	}
	return time.Unix(claims.Exp, 0)
}
