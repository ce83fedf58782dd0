package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/cache"
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
	id, c, err := s.readOAuth(t, o, token)
	if err == nil && c.Exp <= s.now().Unix() {
		err = ErrExpired
	}
	return id.session, id.generation, c.Cnf.JKT, err
}

// tokenID is which token of which session an access token is.
type tokenID struct {
	session    []byte
	generation int64
}

// readOAuth checks an access token, all but its time. Errors: [ErrUnverified].
func (s *Sessions) readOAuth(t *tenant.Tenant, o *OAuth, token string) (id tokenID, c oauthClaims, err error) {
	j, ok := parseJWS(token)
	if !ok || j.header.Alg != algES256 || j.header.Typ != typAccess || !o.Key.Verify(j.signed, j.sig) {
		return id, c, ErrUnverified
	}
	if json.Unmarshal(j.payload, &c) != nil || !t.IsAt(c.Iss) || !t.IsService(c.Aud) || c.Cnf.JKT == "" {
		return id, c, ErrUnverified
	}
	if id.session, id.generation, ok = oauth.ParseTokenID(c.Jti); !ok {
		return id, c, ErrUnverified
	}
	return id, c, nil
}

// Proof is what proves a caller besides its token: the request's DPoP headers, and what they must be about.
type Proof struct {
	DPoP   []string
	Method string
	URL    string // of the request at the tenant's public address
}

// Errors of callers by OAuth, besides those of package dpop.
var (
	// ErrOAuthToken: an access token that is not, or no longer, good.
	ErrOAuthToken = errors.New("the access token is not good")
	// ErrBound: a token that is bound to a key was shown without a proof.
	ErrBound = errors.New("the access token is bound to a key: send it with the scheme DPoP, and with a proof")
)

// seenToken is an access token whose signature was checked.
type seenToken struct {
	keyID      string
	session    []byte
	generation int64
	jkt        string
	until      time.Time
	// scopes are those of the session when the token was shown last.
	scopes atomic.Pointer[seenScopes]
}

type seenScopes struct {
	text string
	set  scope.Set
}

type tokenKey struct {
	tenant int64
	digest [sha256.Size]byte
}

// seenTokens remembers whose signature was checked. It is safe for concurrent use.
type seenTokens struct {
	mu   sync.Mutex
	kept *cache.Cache[tokenKey, *seenToken]
}

const (
	seenTokensBytes = 16 << 20
	seenTokenItself = 600
	seenKeysBytes   = 16 << 20
)

func (s *seenTokens) get(k tokenKey) *seenToken {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, _ := s.kept.Get(k)
	return t
}

func (s *seenTokens) put(in string, k tokenKey, t *seenToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.Put(in, k, t, seenTokenItself)
}

// seen is an access token, checked as far as it says itself. Errors: [ErrOAuthToken].
func (s *Sessions) seen(t *tenant.Tenant, o *OAuth, token string) (*seenToken, error) {
	key := tokenKey{t.ID, sha256.Sum256([]byte(token))}
	had := s.tokens.get(key)
	if had == nil || had.keyID != o.KeyID {
		j, c, err := s.readOAuth(t, o, token)
		if err != nil {
			return nil, fmt.Errorf("%w: it was not made here", ErrOAuthToken)
		}
		had = &seenToken{keyID: o.KeyID, session: j.session, generation: j.generation, jkt: c.Cnf.JKT, until: time.Unix(c.Exp, 0)}
		s.tokens.put(t.Schema.String(), key, had)
	}
	if !had.until.After(s.now()) {
		return nil, fmt.Errorf("%w: it has expired", ErrOAuthToken)
	}
	return had, nil
}

// byOAuth establishes a caller with an OAuth access token. Errors: [dpop.ErrMissing], [dpop.ErrNonce], [dpop.ErrProof],
// [ErrProofUsed], [ErrOAuthToken], and the account's.
// spec: RFC 9449 section 7
func (s *Sessions) byOAuth(ctx context.Context, t *tenant.Tenant, token string, p Proof, accept Accept) (Account, error) {
	o, err := s.OAuth(ctx, t)
	if err != nil {
		return Account{}, err
	}
	proof, err := s.proofKeys.Check(t.Schema.String(), p.DPoP, p.Method, p.URL, o.Nonces, token, s.now())
	if err != nil {
		return Account{}, err
	}
	had, err := s.seen(t, o, token)
	if err != nil {
		return Account{}, err
	}
	if had.jkt != proof.JKT {
		return Account{}, fmt.Errorf("%w: it is bound to another key than the proof's", ErrOAuthToken)
	}
	row, err := s.proofs.use(ctx, t.Schema, proof, had.session)
	switch {
	case errors.Is(err, errNoSession):
		return Account{}, fmt.Errorf("%w: its session has ended", ErrOAuthToken)
	case err != nil:
		return Account{}, err
	case row.TakenDown:
		return Account{}, ErrAccountTakedown // no OAuth session outlives a takedown
	case row.Epoch != row.SessionEpoch, !row.ExpiresAt.After(s.now()):
		return Account{}, fmt.Errorf("%w: its session has ended", ErrOAuthToken)
	case row.Generation != had.generation, row.Jkt != proof.JKT:
		return Account{}, fmt.Errorf("%w: its session was refreshed since, or it was revoked", ErrOAuthToken)
	case row.Deactivated && accept&refuseDeactivated != 0:
		return Account{}, ErrAccountDeactivated
	case accept&acceptAccess == 0:
		return Account{}, ErrScope
	}
	out := Account{
		AID: row.AID, DID: row.DID, Scope: ScopeOAuth, Deactivated: row.Deactivated,
		OAuth: &Granted{Session: had.session, ClientID: row.ClientID, Scopes: had.covered(row.Scope)},
	}
	if row.Handle != nil {
		out.Handle = *row.Handle
	}
	return out, nil
}

// covered are the scopes of the token's session, parsed once.
func (t *seenToken) covered(text string) scope.Set {
	if s := t.scopes.Load(); s != nil && s.text == text {
		return s.set
	}
	s := &seenScopes{text, scope.Parse(text)}
	t.scopes.Store(s)
	return s.set
}

// dpopToken takes the token out of a header with the scheme DPoP; ok is false for other schemes.
func dpopToken(authorization string) (token string, ok bool, err error) {
	scheme, token, found := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "dpop") {
		return "", false, nil
	}
	if !found || token == "" || strings.ContainsAny(token, " \t") {
		return "", true, ErrScheme
	}
	return token, true, nil
}

// ProofOf is the proof of a request to a tenant, whose origin the client knows as at.
func ProofOf(at string, r *http.Request) Proof {
	shown := r.Header["Dpop"]
	if len(shown) == 0 {
		return Proof{} // most have none
	}
	return Proof{DPoP: shown, Method: r.Method, URL: at + r.URL.EscapedPath()}
}

// Nonce is the header DPoP-Nonce of a tenant's answers now. It is nil while the tenant's secret cannot be read: an answer
// must not wait for it long, or fail.
func (s *Sessions) Nonce(ctx context.Context, t *tenant.Tenant) []string {
	s.mu.Lock()
	have, failed := s.secrets[t.ID], s.nonceFailed[t.ID]
	s.mu.Unlock()
	now := s.now()
	if have != nil { // of whichever revision: the secret stays
		return have.oauth.Nonces.Header(now)
	}
	if wait := now.Sub(failed); wait >= 0 && wait < nonceAgain {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, nonceWait)
	defer cancel()
	secrets, err := s.Secrets(ctx, t)
	if err != nil {
		s.mu.Lock()
		s.nonceFailed[t.ID] = now
		s.mu.Unlock()
		return nil
	}
	return secrets.oauth.Nonces.Header(now)
}

// How long an answer waits for the first nonce of a tenant, and how soon that is tried again.
const (
	nonceWait  = time.Second
	nonceAgain = 5 * time.Second
)

// isBound says whether a token, which nobody has checked, says that it is bound to a key.
func isBound(j jws) bool {
	var c struct {
		Cnf jsontext.Value `json:"cnf"`
	}
	return json.Unmarshal(j.payload, &c) == nil && c.Cnf != nil
}
