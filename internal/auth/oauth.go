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
	Tokens oauth.MAC // of refresh tokens
	Nonces *dpop.Nonces
	keys   *ring[*oauthKey] // of access tokens
}

type oauthKey struct {
	*keyring.ES256
	id   string
	head string // of access tokens, encoded
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
	q, schema, now := s.db.Tenant(t.Schema).Q(), t.Schema.String(), s.now()
	tokens, held, err := s.openMACs(ctx, q, t, tenant.SecretDPoP)
	if err != nil {
		return nil, fmt.Errorf("nonce secret of %s: %w", t.Hostname, err)
	}
	o := &OAuth{Tokens: tokens}
	for i, h := range tokens.all {
		nonces := dpop.NewNonces(h.key.Sign([]byte("oauth nonces")))
		if o.Nonces != nil {
			nonces.After(o.Nonces, held[i].SignsFrom, held[i-1].GoodUntil)
		}
		o.Nonces = nonces
	}
	rows, err := tenant.SecretsOf(ctx, q, keyring.PurposeOAuth, now)
	if err == nil && len(rows) == 0 {
		rows, err = s.firstOAuthKey(ctx, q, schema, now)
	}
	if err == nil {
		o.keys, err = newRing(rows, s.now, func(sealed []byte) (*oauthKey, error) { return s.openOAuthKey(schema, sealed) })
	}
	if err != nil {
		return nil, fmt.Errorf("OAuth key of %s: %w", t.Hostname, err)
	}
	return o, nil
}

// openMACs opens a tenant's secrets of a purpose, which it has.
func (s *Sessions) openMACs(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, purpose string) (macs, []tenant.HeldSecret, error) {
	rows, err := tenant.SecretsOf(ctx, q, purpose, s.now())
	if err == nil && len(rows) == 0 {
		err = errors.New("it is not there")
	}
	if err != nil {
		return macs{}, nil, err
	}
	r, err := newRing(rows, s.now, func(sealed []byte) (signer, error) { return s.keys.MAC(t.Schema.String(), purpose, sealed) })
	return macs{r}, rows, err
}

func (s *Sessions) openOAuthKey(schema string, sealed []byte) (*oauthKey, error) {
	key, err := s.keys.ES256(schema, sealed)
	if err != nil {
		return nil, err
	}
	id := dpop.TokenHash(string(key.Public()))[:16]
	return &oauthKey{key, id, b64.EncodeToString([]byte(`{"typ":"at+jwt","alg":"ES256","kid":"` + id + `"}`))}, nil
}

// firstOAuthKey makes the key of a tenant that has none yet.
func (s *Sessions) firstOAuthKey(ctx context.Context, q *tenantdb.Queries, schema string, now time.Time) ([]tenant.HeldSecret, error) {
	sealed, err := s.keys.GenerateES256(schema)
	if err != nil {
		return nil, err
	}
	if err := q.InsertSecret(ctx, tenantdb.InsertSecretParams{Purpose: keyring.PurposeOAuth, Sealed: sealed, CreatedAt: now.UTC()}); err != nil {
		return nil, err
	}
	rows, err := tenant.SecretsOf(ctx, q, keyring.PurposeOAuth, now) // another process may have been first
	if err == nil && len(rows) == 0 {
		err = errors.New("it is not there")
	}
	return rows, err
}

// JWKs are the public keys as a JWK set has them: also of a key that does not sign yet, and of those that did and whose tokens
// are still good.
func (o *OAuth) JWKs() []map[string]string {
	var out []map[string]string
	for key := range o.keys.good {
		p := key.Public()
		out = append(out, map[string]string{"kty": "EC", "crv": "P-256", "x": b64.EncodeToString(p[1:33]), "y": b64.EncodeToString(p[33:]), "kid": key.id, "alg": "ES256", "use": "sig"})
	}
	return out
}

// takes says whether tokens of the key with that id are good.
func (o *OAuth) takes(id string) bool {
	for key := range o.keys.good {
		if key.id == id {
			return true
		}
	}
	return false
}

// verify is the id of the key that made a signature; "": none whose signatures are taken.
func (o *OAuth) verify(msg, sig []byte) string {
	for key := range o.keys.good {
		if key.Verify(msg, sig) {
			return key.id
		}
	}
	return ""
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
	key := o.keys.signs()
	access = appendJWS(key.head, body, func(signed []byte) []byte {
		var sig []byte
		sig, err = key.Sign(signed)
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
	key        string // that signed it
}

// readOAuth checks an access token, all but its time. Errors: [ErrUnverified].
func (s *Sessions) readOAuth(t *tenant.Tenant, o *OAuth, token string) (id tokenID, c oauthClaims, err error) {
	j, ok := parseJWS(token)
	if !ok || j.header.Alg != algES256 || j.header.Typ != typAccess {
		return id, c, ErrUnverified
	}
	if id.key = o.verify(j.signed, j.sig); id.key == "" {
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
	if had == nil || !o.takes(had.keyID) {
		j, c, err := s.readOAuth(t, o, token)
		if err != nil {
			return nil, fmt.Errorf("%w: it was not made here", ErrOAuthToken)
		}
		had = &seenToken{keyID: j.key, session: j.session, generation: j.generation, jkt: c.Cnf.JKT, until: time.Unix(c.Exp, 0)}
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
	if have != nil { // of whichever revision: what was given out before is still taken
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
