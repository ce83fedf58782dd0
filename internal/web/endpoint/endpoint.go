// Package endpoint is the authorization server's face to programs: what it says of itself, its keys, and the three
// requests that clients make without a person: pushing what they ask for, getting tokens, giving them back.
//
// It reads a request, calls one act and writes what came of it. Every address that it names, it makes of the tenant's
// record and never of the request.
// spec: RFC 6749, RFC 8414, RFC 9126, RFC 9449, RFC 9728, RFC 7009
package endpoint

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// Where things are, below the tenant's public URL.
const (
	pathServer    = "/.well-known/oauth-authorization-server"
	pathResource  = "/.well-known/oauth-protected-resource"
	pathKeys      = "/oauth/jwks"
	pathAuthorize = "/oauth/authorize" // a page's
	pathPush      = "/oauth/par"
	pathToken     = "/oauth/token"
	pathRevoke    = "/oauth/revoke"
)

// calls bounds what one address asks of a tenant's three endpoints, of each.
// Its points are those of XRPC calls: a client asks no more often here than there.
func calls(path string) limit.Bucket {
	return limit.Bucket{Name: "oauth" + path[len("/oauth"):], Points: 3000, Window: 5 * time.Minute}
}

// suspendedWait is when a client of a tenant that was switched off may look again.
const suspendedWait = time.Hour

// Acts are what the endpoints do.
type Acts interface {
	PushAuthorization(ctx context.Context, t *tenant.Tenant, v act.Visitor, in act.OAuthCall) (oauth.Pushed, error)
	OAuthToken(ctx context.Context, t *tenant.Tenant, v act.Visitor, in act.OAuthCall) (act.OAuthTokens, error)
	OAuthRevoke(ctx context.Context, t *tenant.Tenant, v act.Visitor, in act.OAuthCall) error
}

// Config is what the face works with.
type Config struct {
	Acts Acts
	// Secrets are a tenant's: of its keys, only the public one is shown.
	Secrets func(context.Context, *tenant.Tenant) (*auth.OAuth, error)
	// Languages are those that the pages speak.
	Languages []string
	Now       func() time.Time
}

type endpoints struct{ Config }

// Register puts everything on a server.
func Register(g *xrpc.Group, c Config) {
	e := endpoints{c}
	e.show(g, pathServer, e.server)
	e.show(g, pathResource, e.resource)
	e.show(g, pathKeys, e.keys)
	e.take(g, pathPush, e.push)
	e.take(g, pathToken, e.token)
	e.take(g, pathRevoke, e.revoke)
}

// show serves a document that anybody may read, also while the tenant is suspended: the sessions that clients keep are to
// outlast that.
func (e endpoints) show(g *xrpc.Group, path string, of func(context.Context, xrpc.Visitor) (any, error)) {
	xrpc.Stands(g, xrpc.Standing{Path: path, Suspended: xrpc.Serves, Why: "clients of OAuth keep their sessions"})
	xrpc.Page(g, "GET "+path, func(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
		doc, err := of(r.Context(), v)
		if err != nil {
			return err
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		send(v, w, http.StatusOK, doc)
		return nil
	})
}

// answer is what an endpoint says when all went well.
type answer struct {
	status int
	body   any
}

// take serves an endpoint that clients post to.
func (e endpoints) take(g *xrpc.Group, path string, do func(context.Context, *tenant.Tenant, act.Visitor, act.OAuthCall) (answer, error)) {
	xrpc.SaysAway(g, path)
	bucket := calls(path)
	xrpc.Page(g, path, func(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Pragma", "no-cache")
		a, err := e.answer(v, w, r, path, bucket, do)
		if err != nil {
			refuse(v, w, err)
			return nil
		}
		send(v, w, a.status, a.body)
		return nil
	})
}

// answer does it, what is cheap first.
func (e endpoints) answer(v xrpc.Visitor, w http.ResponseWriter, r *http.Request, path string, bucket limit.Bucket, do func(context.Context, *tenant.Tenant, act.Visitor, act.OAuthCall) (answer, error)) (answer, error) {
	switch {
	case v.Tenant.State == tenant.Suspended:
		return answer{}, errSuspended
	case v.Tenant.State == tenant.Deleting:
		return answer{}, errDeleted
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST, OPTIONS")
		return answer{}, errMethod
	case !v.Charge(bucket):
		return answer{}, errLimit // the headers say until when
	}
	secrets, err := e.Secrets(r.Context(), v.Tenant)
	if err != nil {
		return answer{}, err
	}
	w.Header().Set("DPoP-Nonce", secrets.Nonces.Next(e.Now()))
	params, err := read(v, r)
	if err != nil {
		return answer{}, err
	}
	t, err := called(v, path)
	if err != nil {
		return answer{}, err
	}
	by := act.Visitor{From: v.Path(), Asks: v.Asker(), Counted: v.Limited()}
	return do(r.Context(), t, by, act.OAuthCall{
		Param: func(name string) string { return params[name] },
		Proof: auth.Proof{DPoP: r.Header.Values("DPoP"), Method: r.Method, URL: t.PublicURL + path},
	})
}

// called is the tenant under the name that the client knows it by. Under a former name sessions are ended only: who signs
// in does it under the new one. A client that is refused a refresh like this gives its session up, and asks again.
func called(v xrpc.Visitor, path string) (*tenant.Tenant, error) {
	if _, former := v.Former(); former && path != pathRevoke {
		name := oauth.InvalidRequest
		if path == pathToken {
			name = oauth.InvalidGrant
		}
		return nil, oauth.Refuse(name, "this server is called %s now: sign in there", v.Tenant.PublicURL)
	}
	return v.Called(), nil
}

// send writes JSON.
func send(v xrpc.Visitor, w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		v.LogError(err)
		status, text = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	v.Exactly() // some clients compare the type as text
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func (e endpoints) push(ctx context.Context, t *tenant.Tenant, by act.Visitor, in act.OAuthCall) (answer, error) {
	pushed, err := e.Acts.PushAuthorization(ctx, t, by, in)
	if err != nil {
		return answer{}, asked(err)
	}
	return answer{http.StatusCreated, struct {
		RequestURI string `json:"request_uri"`
		ExpiresIn  int64  `json:"expires_in"`
	}{pushed.URI, seconds(pushed.Expires)}}, nil
}

func (e endpoints) token(ctx context.Context, t *tenant.Tenant, by act.Visitor, in act.OAuthCall) (answer, error) {
	got, err := e.Acts.OAuthToken(ctx, t, by, in)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, struct {
		Access    string `json:"access_token"`
		Type      string `json:"token_type"`
		Refresh   string `json:"refresh_token,omitzero"`
		Scope     string `json:"scope"`
		ExpiresIn int64  `json:"expires_in"`
		Subject   string `json:"sub"`
	}{got.Access, "DPoP", got.Refresh, got.Scope, seconds(got.Expires), got.Subject}}, nil
}

func (e endpoints) revoke(ctx context.Context, t *tenant.Tenant, by act.Visitor, in act.OAuthCall) (answer, error) {
	return answer{http.StatusOK, struct{}{}}, e.Acts.OAuthRevoke(ctx, t, by, in)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
