package oauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/syntax"
)

// Params are what a client asks for.
type Params struct {
	Redirect  string `json:"redirect_uri"`
	Scope     string `json:"scope"` // as it was asked for, but for what nobody understands
	State     string `json:"state,omitempty"`
	HasState  bool   `json:"has_state,omitempty"`
	Challenge string `json:"code_challenge"`
	LoginHint string `json:"login_hint,omitempty"` // handle or DID, lower case; "": anybody
	Prompt    string `json:"prompt,omitempty"`
	Display   string `json:"display,omitempty"`
	Languages string `json:"ui_locales,omitempty"`
	Mode      string `json:"response_mode,omitempty"` // query, fragment or form_post
	JKT       string `json:"dpop_jkt,omitempty"`
	// HasRedirect: it was part of the request, so the token request has to repeat it.
	HasRedirect bool `json:"has_redirect,omitempty"`
}

// The prompts.
const (
	PromptNone    = "none"
	PromptLogin   = "login"
	PromptConsent = "consent"
	PromptSelect  = "select_account"
	PromptCreate  = "create"
)

// Bounds of what clients send.
const (
	maxState = 2000
	maxScope = 20_000
	maxParam = 2000
)

// ReadParams holds what a client asks for against the rules. get gives a parameter; "" when it is absent.
// Errors: a [Refusal].
// spec: oauth#authorization-requests
func ReadParams(get func(string) string, c *client.Client) (p Params, err error) {
	for _, name := range []string{"claims", "id_token_hint", "nonce", "authorization_details"} {
		if get(name) != "" {
			return p, Refuse(InvalidRequest, "%s is not supported", name)
		}
	}
	if get("response_type") != "code" {
		return p, Refuse(UnsupportedResponse, "response_type has to be code")
	}
	if p.Redirect, err = c.Redirect(get("redirect_uri")); err != nil {
		return p, Refuse(InvalidRedirectURI, "%s", detail(err, client.ErrRedirect))
	}
	p.HasRedirect = get("redirect_uri") != ""
	p.State, p.Challenge, p.JKT = get("state"), get("code_challenge"), get("dpop_jkt")
	p.HasState = p.State != ""
	p.Prompt, p.Display, p.Languages, p.Mode = get("prompt"), get("display"), get("ui_locales"), get("response_mode")
	switch {
	case len(p.State) > maxState:
		return p, Refuse(InvalidRequest, "state has more than %d bytes", maxState)
	case !isChallenge(p.Challenge):
		return p, Refuse(InvalidRequest, "code_challenge is required: 43 characters, the SHA-256 of the verifier as base64url")
	case get("code_challenge_method") != "S256":
		return p, Refuse(InvalidRequest, "code_challenge_method has to be S256")
	case p.JKT != "" && !isChallenge(p.JKT):
		return p, Refuse(InvalidRequest, "dpop_jkt is not a thumbprint")
	case !slices.Contains([]string{"", PromptNone, PromptLogin, PromptConsent, PromptSelect, PromptCreate}, p.Prompt):
		return p, Refuse(InvalidRequest, "prompt is none, login, consent, select_account or create")
	case !slices.Contains([]string{"", "page", "popup", "touch", "wap"}, p.Display):
		return p, Refuse(InvalidRequest, "display is page, popup or touch")
	case !slices.Contains([]string{"", "query", "fragment", "form_post"}, p.Mode):
		return p, Refuse(InvalidRequest, "response_mode is query, fragment or form_post")
	case len(p.Languages) > maxParam:
		return p, Refuse(InvalidRequest, "ui_locales is too long")
	}
	if p.LoginHint = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(get("login_hint")), "@")); p.LoginHint != "" && !syntax.AtIdentifier.Is(p.LoginHint) {
		return p, Refuse(InvalidRequest, "login_hint is a handle or a DID")
	}
	if p.Scope, err = readScope(get("scope"), c); err != nil {
		return p, err
	}
	return p, nil
}

// readScope is what the client may ask for of what it asks for. What it declares and nobody understands is left out.
func readScope(asked string, c *client.Client) (string, error) {
	switch {
	case asked == "":
		return "", Refuse(InvalidScope, "scope is missing")
	case len(asked) > maxScope:
		return "", Refuse(InvalidScope, "scope has more than %d bytes", maxScope)
	case !scope.WellFormed(asked):
		return "", Refuse(InvalidScope, "scope has to hold atproto, and nothing twice")
	}
	if extra := scope.Undeclared(asked, c.Scope); extra != "" {
		return "", Refuse(InvalidScope, "the client's metadata does not declare the scope %.200q", extra)
	}
	return scope.Parse(asked).String(), nil
}

func isChallenge(s string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}

// detail is what an error says behind its sentinel.
func detail(err, sentinel error) string {
	return strings.TrimPrefix(err.Error(), sentinel.Error()+": ")
}

// Request is a pushed request, while it is open.
type Request struct {
	ID        []byte
	ClientID  string
	Params    Params
	Key       client.Proved // that the client proved itself with
	Device    []byte        // of the browser that acted first; nil: none yet
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Scopes is what it asks for.
func (r *Request) Scopes() scope.Set { return scope.Parse(r.Params.Scope) }

// Pushed is what the client gets for its request.
type Pushed struct {
	URI     string
	Expires time.Duration
}

// Push stores a request. Its challenge may have been pushed before: programs try which scopes are taken. It serves one
// code only ([TakeCode]).
func Push(ctx context.Context, q *tenantdb.Queries, c *client.Client, p Params, key client.Proved, now time.Time) (Pushed, error) {
	params, err := json.Marshal(p)
	if err != nil {
		return Pushed{}, fmt.Errorf("authorization request: %w", err)
	}
	uri := drawn(requestPrefix)
	err = q.InsertOAuthRequest(ctx, tenantdb.InsertOAuthRequestParams{
		ID: stored(uri), ClientID: c.ID, Params: string(params), ClientKey: keyText(key), CreatedAt: now, ExpiresAt: now.Add(RequestLife),
	})
	if err != nil {
		return Pushed{}, fmt.Errorf("store authorization request: %w", err)
	}
	return Pushed{uri, RequestLife}, nil
}

// useUp writes down that something was used that is good once. false: it was used before.
func useUp(ctx context.Context, q *tenantdb.Queries, digest [32]byte, until time.Time) (bool, error) {
	n, err := q.InsertServiceNonce(ctx, tenantdb.InsertServiceNonceParams{Digest: digest[:], ExpiresAt: until})
	if err != nil {
		return false, fmt.Errorf("use up: %w", err)
	}
	return n > 0, nil
}

// UseUpProof writes down that a proof of possession was shown. Errors: a [Refusal] when it was shown before.
func UseUpProof(ctx context.Context, q *tenantdb.Queries, digest [32]byte, until time.Time) error {
	fresh, err := useUp(ctx, q, digest, until)
	if err == nil && !fresh {
		return Refuse(InvalidDPoPProof, "the DPoP proof was used before")
	}
	return err
}

// UseUpAssertion does the same for what a client proved itself with.
func UseUpAssertion(ctx context.Context, q *tenantdb.Queries, p client.Proved) error {
	if !p.Any() {
		return nil
	}
	fresh, err := useUp(ctx, q, p.Once, p.Until)
	if err == nil && !fresh {
		return Refuse(InvalidClient, "the client_assertion was used before")
	}
	return err
}

// storedKey is the key of a confidential client as rows have it.
type storedKey struct {
	ID         string `json:"kid"`
	Alg        string `json:"alg"`
	Thumbprint string `json:"jkt"`
}

func keyText(p client.Proved) string {
	if !p.Any() {
		return ""
	}
	b, err := json.Marshal(storedKey{p.KeyID, p.Alg, p.Thumbprint})
	if err != nil {
		return ""
	}
	return string(b)
}

func keyOf(text string) (p client.Proved) {
	var k storedKey
	if text != "" && json.Unmarshal([]byte(text), &k) == nil {
		p.KeyID, p.Alg, p.Thumbprint = k.ID, k.Alg, k.Thumbprint
	}
	return p
}

// Open reads a request that somebody looks at, and lets it live for another while. Looking binds it to nobody: programs
// look at links, too. Errors: [ErrRequest].
func Open(ctx context.Context, q *tenantdb.Queries, clientID, uri string, now time.Time) (*Request, error) {
	if !strings.HasPrefix(uri, requestPrefix) {
		return nil, ErrRequest
	}
	row, err := q.GetOAuthRequest(ctx, stored(uri))
	if db.IsNoRows(err) {
		return nil, ErrRequest
	}
	if err != nil {
		return nil, fmt.Errorf("authorization request: %w", err)
	}
	r, err := requestOf(tenantdb.LockOAuthRequestRow(row))
	if err != nil {
		return nil, err
	}
	if !r.ExpiresAt.After(now) || r.ClientID != clientID {
		return nil, ErrRequest
	}
	if until := now.Add(RequestLife); until.Sub(r.ExpiresAt) > 15*time.Second {
		if err := q.UpdateOAuthRequestSeen(ctx, tenantdb.UpdateOAuthRequestSeenParams{ID: r.ID, Now: now, ExpiresAt: until}); err != nil {
			return nil, fmt.Errorf("prolong authorization request: %w", err)
		}
		r.ExpiresAt = until
	}
	return r, nil
}

func requestOf(row tenantdb.LockOAuthRequestRow) (*Request, error) {
	r := &Request{ID: row.ID, ClientID: row.ClientID, Key: keyOf(row.ClientKey), Device: row.Device, CreatedAt: row.CreatedAt, ExpiresAt: row.ExpiresAt}
	if err := json.Unmarshal([]byte(row.Params), &r.Params); err != nil {
		return nil, fmt.Errorf("authorization request: %w", err)
	}
	return r, nil
}

// Hold locks a request that a browser acts on. The first that acts owns it: when another one comes the request is over,
// for one of the two is not where its owner thinks. Errors: [ErrRequest], [ErrDevice] after which the caller commits.
func Hold(ctx context.Context, q *tenantdb.Queries, clientID, uri string, device []byte, now time.Time) (*Request, error) {
	row, err := q.LockOAuthRequest(ctx, stored(uri))
	if db.IsNoRows(err) {
		return nil, ErrRequest
	}
	if err != nil {
		return nil, fmt.Errorf("lock authorization request: %w", err)
	}
	r, err := requestOf(row)
	switch {
	case err != nil:
		return nil, err
	case !r.ExpiresAt.After(now) || r.ClientID != clientID:
		return nil, ErrRequest
	case r.Device == nil && len(device) > 0:
		r.Device = device
		return r, q.UpdateOAuthRequestDevice(ctx, tenantdb.UpdateOAuthRequestDeviceParams{ID: r.ID, Device: device})
	case r.Device != nil && !bytes.Equal(r.Device, device):
		_, err := q.DeleteOAuthRequest(ctx, r.ID)
		return r, errors.Join(err, ErrDevice)
	}
	return r, nil
}

// Close ends a request that was refused.
func Close(ctx context.Context, q *tenantdb.Queries, r *Request) error {
	if _, err := q.DeleteOAuthRequest(ctx, r.ID); err != nil {
		return fmt.Errorf("delete authorization request: %w", err)
	}
	return nil
}

// Grant gives a code for a request that somebody said yes to, and remembers what was granted: not what was asked for.
func Grant(ctx context.Context, q *tenantdb.Queries, r *Request, aid int64, granted scope.Set, remember bool, now time.Time) (code string, err error) {
	code = drawn("cod-")
	err = q.UpdateOAuthRequestGranted(ctx, tenantdb.UpdateOAuthRequestGrantedParams{
		ID: r.ID, AID: aid, Granted: granted.String(), Code: stored(code), Device: r.Device, ExpiresAt: now.Add(CodeLife),
	})
	if err == nil && remember {
		err = q.UpsertOAuthConsent(ctx, tenantdb.UpsertOAuthConsentParams{AID: aid, ClientID: r.ClientID, Granted: granted.String(), Now: now})
	}
	if err != nil {
		return "", fmt.Errorf("grant: %w", err)
	}
	return code, nil
}

// Consent is what an account granted to a client before; false: nothing.
func Consent(ctx context.Context, q *tenantdb.Queries, aid int64, clientID string) (scope.Set, bool, error) {
	granted, err := q.GetOAuthConsent(ctx, tenantdb.GetOAuthConsentParams{AID: aid, ClientID: clientID})
	if db.IsNoRows(err) {
		return scope.Set{}, false, nil
	}
	if err != nil {
		return scope.Set{}, false, fmt.Errorf("consent: %w", err)
	}
	return scope.Parse(granted), true, nil
}

// Redirect is where a browser is sent with an answer.
type Redirect struct {
	URI    string
	Mode   string // query, fragment or form_post
	Params [][2]string
}

// Answer is the way back to the client, with more parameters beside iss and state.
// spec: RFC 9207
func (r *Request) Answer(issuer string, more ...[2]string) Redirect {
	out := Redirect{URI: r.Params.Redirect, Mode: r.Params.Mode, Params: [][2]string{{"iss", issuer}}}
	if out.Mode == "" {
		out.Mode = "query"
	}
	if r.Params.HasState {
		out.Params = append(out.Params, [2]string{"state", r.Params.State})
	}
	out.Params = append(out.Params, more...)
	return out
}

// Refused is the way back to the client with an error.
func (r *Request) Refused(issuer, name, text string) Redirect {
	return r.Answer(issuer, [2]string{"error", name}, [2]string{"error_description", text})
}

// URL is the address to go to, when the mode is query or fragment.
func (r Redirect) URL() string {
	values := url.Values{}
	for _, p := range r.Params {
		values.Set(p[0], p[1])
	}
	if r.Mode == "fragment" {
		return r.URI + "#" + values.Encode()
	}
	base, query, had := strings.Cut(r.URI, "?")
	if had && query != "" {
		return base + "?" + query + "&" + values.Encode()
	}
	return base + "?" + values.Encode()
}
