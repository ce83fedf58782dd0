package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/tenant"
)

// ScopeOAuth is of callers with an OAuth access token: what they may do, [Account.OAuth] says.
const ScopeOAuth Scope = "oauth"

// Granted is what a caller by OAuth was granted.
type Granted struct {
	Session  []byte
	ClientID string
	Scopes   scope.Set // permission sets expanded
}

// OAuth are a tenant's opened secrets of the authorization server.
type OAuth struct {
	Key    *keyring.ES256 // of access tokens
	Tokens *keyring.MAC   // of refresh tokens
	Nonces *dpop.Nonces
	head   string // of access tokens, encoded
	KeyID  string
}

// OAuth opens the authorization server's secrets of a tenant, from memory unless the tenant changed.
func (s *Sessions) OAuth(ctx context.Context, t *tenant.Tenant) (*OAuth, error) {
	all, err := s.Secrets(ctx, t)
	if err != nil {
		return nil, err
	}
	return all.oauth, nil
}

func (s *Sessions) openOAuth(ctx context.Context, t *tenant.Tenant) (*OAuth, error) {
	q := s.db.Tenant(t.Schema).Q()
	row, err := q.GetSecret(ctx, tenant.SecretDPoP)
	if err != nil {
		return nil, fmt.Errorf("nonce secret of %s: %w", t.Hostname, err)
	}
	o := &OAuth{}
	if o.Tokens, err = s.keys.MAC(t.Schema.String(), tenant.SecretDPoP, row.Sealed); err != nil {
		return nil, fmt.Errorf("nonce secret of %s: %w", t.Hostname, err)
	}
	o.Nonces = dpop.NewNonces(o.Tokens.Sign([]byte("oauth nonces")))
	sealed, err := s.oauthKey(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("OAuth key of %s: %w", t.Hostname, err)
	}
	if o.Key, err = s.keys.ES256(t.Schema.String(), sealed); err != nil {
		return nil, fmt.Errorf("OAuth key of %s: %w", t.Hostname, err)
	}
	o.KeyID = dpop.TokenHash(string(o.Key.Public()))[:16]
	o.head = b64.EncodeToString([]byte(`{"typ":"at+jwt","alg":"ES256","kid":"` + o.KeyID + `"}`))
	return o, nil
}

// oauthKey is the tenant's sealed key. A tenant that has none yet gets one.
func (s *Sessions) oauthKey(ctx context.Context, t *tenant.Tenant) ([]byte, error) {
	q := s.db.Tenant(t.Schema).Q()
	row, err := q.GetSecret(ctx, keyring.PurposeOAuth)
	if db.IsNoRows(err) {
		sealed, err := s.keys.GenerateES256(t.Schema.String())
		if err != nil {
			return nil, err
		}
		if err := q.InsertSecret(ctx, tenantdb.InsertSecretParams{Purpose: keyring.PurposeOAuth, Sealed: sealed, CreatedAt: s.now().UTC()}); err != nil {
			return nil, err
		}
		row, err = q.GetSecret(ctx, keyring.PurposeOAuth) // another process may have been first
		return row.Sealed, err
	}
	return row.Sealed, err
}

// JWK is the public key as a JWK set has it.
func (o *OAuth) JWK() map[string]string {
	p := o.Key.Public()
	return map[string]string{"kty": "EC", "crv": "P-256", "x": b64.EncodeToString(p[1:33]), "y": b64.EncodeToString(p[33:]), "kid": o.KeyID, "alg": "ES256", "use": "sig"}
}

// oauthClaims are those of an OAuth access token. What it covers is not in it: the database says.
// spec: RFC 9068
type oauthClaims struct {
	Iss      string  `json:"iss"`
	Sub      string  `json:"sub"`
	Aud      string  `json:"aud"`
	Jti      string  `json:"jti"`
	Iat      int64   `json:"iat"`
	Exp      int64   `json:"exp"`
	ClientID string  `json:"client_id"`
	Cnf      oauthCn `json:"cnf"`
}

type oauthCn struct {
	JKT string `json:"jkt"`
}

// MintOAuth makes the access token of a session's newest generation.
func (s *Sessions) MintOAuth(t *tenant.Tenant, o *OAuth, did string, session *oauth.Session) (access string, expires time.Duration, err error) {
	now := s.now()
	until := session.AccessUntil(now)
	body, err := json.Marshal(oauthClaims{
		Iss: t.PublicURL, Sub: did, Aud: t.ServiceDID, Jti: oauth.TokenID(session.ID, session.Generation), Iat: now.Unix(), Exp: until.Unix(),
		ClientID: session.ClientID, Cnf: oauthCn{session.JKT},
	})
	if err != nil {
		return "", 0, fmt.Errorf("access token: %w", err)
	}
	access = appendJWS(o.head, body, func(signed []byte) []byte {
		var sig []byte
		sig, err = o.Key.Sign(signed)
		return sig
	})
	return access, until.Sub(now), err
}

// ParseOAuth checks an access token of this tenant, as far as it says itself. Errors: [ErrUnverified], [ErrExpired].
func (s *Sessions) ParseOAuth(t *tenant.Tenant, o *OAuth, token string) (session []byte, generation int64, jkt string, err error) {
	j, ok := parseJWS(token)
	if !ok || j.header.Alg != "ES256" || j.header.Typ != typAccess || !o.Key.Verify(j.signed, j.sig) {
		return nil, 0, "", ErrUnverified
	}
	var c oauthClaims
	if json.Unmarshal(j.payload, &c) != nil || c.Iss != t.PublicURL || c.Aud != t.ServiceDID || c.Cnf.JKT == "" {
		return nil, 0, "", ErrUnverified
	}
	session, generation, ok = oauth.ParseTokenID(c.Jti)
	switch {
	case !ok:
		return nil, 0, "", ErrUnverified
	case c.Exp <= s.now().Unix():
		return session, generation, c.Cnf.JKT, ErrExpired
	}
	return session, generation, c.Cnf.JKT, nil
}

// Proof is what proves a caller besides its token: the request's DPoP headers, and what they must be about.
type Proof struct {
	DPoP   []string
	Method string
	URL    string // of the request at the tenant's public address
}

// ErrProofUsed: the proof of possession was shown before.
var ErrProofUsed = errors.New("the DPoP proof was used before")

// byOAuth establishes a caller with an OAuth access token. Errors: [dpop.ErrMissing], [dpop.ErrNonce], [dpop.ErrProof],
// [ErrProofUsed], [ErrUnverified], [ErrExpired], and the account's.
// spec: RFC 9449 section 7
func (s *Sessions) byOAuth(ctx context.Context, t *tenant.Tenant, token string, p Proof, accept Accept) (Account, error) {
	o, err := s.OAuth(ctx, t)
	if err != nil {
		return Account{}, err
	}
	proof, err := dpop.Check(p.DPoP, p.Method, p.URL, o.Nonces, token, s.now())
	if err != nil {
		return Account{}, err
	}
	id, generation, jkt, err := s.ParseOAuth(t, o, token)
	if err != nil {
		return Account{}, err
	}
	if jkt != proof.JKT {
		return Account{}, ErrUnverified
	}
	q := s.db.Tenant(t.Schema).Q()
	row, err := q.GetOAuthSession(ctx, id)
	switch {
	case db.IsNoRows(err):
		return Account{}, ErrUnverified
	case err != nil:
		return Account{}, fmt.Errorf("session: %w", err)
	case row.Generation != generation || row.Jkt != proof.JKT || !row.ExpiresAt.After(s.now()):
		return Account{}, ErrUnverified
	}
	if err := s.seenProofs.use(ctx, q, t, proof, s.now()); err != nil {
		return Account{}, err
	}
	maxAge := account.Fresh
	if accept&guarded != 0 {
		maxAge = account.Guarded
	}
	a, err := s.actors.ByDID(ctx, t.Schema, row.DID, maxAge)
	if err == nil && row.Epoch > a.Epochs.Session {
		a, err = s.actors.ByDID(ctx, t.Schema, row.DID, 0)
	}
	switch {
	case errors.Is(err, account.ErrNotFound):
		return Account{}, ErrUnverified
	case err != nil:
		return Account{}, err
	case a.TakenDown:
		return Account{}, ErrAccountTakedown // no OAuth session outlives a takedown
	case row.Epoch != a.Epochs.Session:
		return Account{}, ErrUnverified
	case a.Deactivated && accept&refuseDeactivated != 0:
		return Account{}, ErrAccountDeactivated
	}
	return Account{
		AID: a.AID, DID: a.DID, Handle: a.Handle, Scope: ScopeOAuth, Deactivated: a.Deactivated,
		OAuth: &Granted{Session: id, ClientID: row.ClientID, Scopes: scope.Parse(row.Scope)},
	}, nil
}

// dpopToken takes the token out of a header with the scheme DPoP; ok is false for other schemes.
func dpopToken(authorization string) (token string, ok bool, err error) {
	scheme, token, found := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "dpop") {
		return "", false, nil
	}
	if !found || token == "" || strings.ContainsRune(token, ' ') {
		return "", true, ErrScheme
	}
	return token, true, nil
}

// ProofOf is the proof of a request to a tenant.
func ProofOf(t *tenant.Tenant, r *http.Request) Proof {
	return Proof{DPoP: r.Header.Values("DPoP"), Method: r.Method, URL: t.PublicURL + r.URL.EscapedPath()}
}
