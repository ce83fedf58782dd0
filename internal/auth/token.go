package auth

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/tenant"
)

// Lifetimes of session tokens.
const (
	AccessLife  = 120 * time.Minute
	RefreshLife = 90 * 24 * time.Hour
	// RefreshGrace is how long a refresh token that was used goes on giving the same next one: two tabs that race, and a
	// client that lost the answer, stay on one chain.
	RefreshGrace = 2 * time.Hour
	// ProvenLife is how long a second factor that was shown counts for the access token that it was shown for.
	ProvenLife = 10 * time.Minute
)

const (
	typAccess  = "at+jwt"
	typRefresh = "refresh+jwt"
)

// The two headers that are ever written, encoded.
var (
	accessHead  = b64.EncodeToString([]byte(`{"typ":"at+jwt","alg":"HS256"}`))
	refreshHead = b64.EncodeToString([]byte(`{"typ":"refresh+jwt","alg":"HS256"}`))
)

// claims of a session token. Cnf and Lxm are read only to refuse tokens that are bound to something else.
type claims struct {
	Scope Scope  `json:"scope"`
	Aud   string `json:"aud"`
	Sub   string `json:"sub"`
	Iat   int64  `json:"iat"`
	Exp   int64  `json:"exp"`
	Jti   string `json:"jti,omitempty"`
	// Epoch, of access tokens: which of the account's sessions they belong to.
	Epoch int64 `json:"epoch,omitzero"`
	// Proven, of access tokens: when a second factor was proven for this very token. None that follows has it.
	Proven int64          `json:"proven,omitzero"`
	Cnf    jsontext.Value `json:"cnf,omitempty"`
	Lxm    jsontext.Value `json:"lxm,omitempty"`
}

// NewTokenID makes a refresh token's id: 32 random bytes.
func NewTokenID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return base64.RawStdEncoding.EncodeToString(b[:])
}

// Pair is a session as the client gets it.
type Pair struct {
	Access  string
	Refresh string
}

// Mint makes the two tokens of a session. refresh names the row that backs the refresh token; for [ScopeTakendown] no
// row is stored, so that the session cannot be prolonged. Neither token outlives the row's time. epochs are the account's as [Hold] gave them.
func (s *Sessions) Mint(t *tenant.Tenant, keys *Secrets, scope Scope, did string, epochs account.Epochs, refresh RefreshRow) (Pair, error) {
	return s.mint(t, keys, scope, did, epochs, refresh, 0)
}

// MintProven is Mint for who has just shown a second factor: see [Account.ProvenSince].
func (s *Sessions) MintProven(t *tenant.Tenant, keys *Secrets, scope Scope, did string, epochs account.Epochs, refresh RefreshRow) (Pair, error) {
	return s.mint(t, keys, scope, did, epochs, refresh, s.now().Unix())
}

// Confirm makes an access token beside those of a session of the main password, whose owner has just shown its second
// factor. It is good for as long as the factor counts as shown.
func (s *Sessions) Confirm(t *tenant.Tenant, keys *Secrets, did string, epochs account.Epochs) (access string, until time.Time, err error) {
	now := s.now()
	until = now.Add(ProvenLife).UTC().Truncate(time.Second)
	body, err := json.Marshal(claims{Scope: ScopeAccess, Aud: t.ServiceDID, Sub: did, Iat: now.Unix(), Exp: until.Unix(), Epoch: epochs.Of(false), Proven: now.Unix()})
	if err != nil {
		return "", until, fmt.Errorf("access token: %w", err)
	}
	return appendJWS(accessHead, body, keys.jwt.Sign), until, nil
}

func (s *Sessions) mint(t *tenant.Tenant, keys *Secrets, scope Scope, did string, epochs account.Epochs, refresh RefreshRow, proven int64) (Pair, error) {
	now := s.now()
	until := now.Add(AccessLife)
	if refresh.ExpiresAt.Before(until) {
		until = refresh.ExpiresAt
	}
	access, err := json.Marshal(claims{Scope: scope, Aud: t.ServiceDID, Sub: did, Iat: now.Unix(), Exp: until.Unix(), Epoch: epochs.Of(scope.App()), Proven: proven})
	if err != nil {
		return Pair{}, fmt.Errorf("access token: %w", err)
	}
	again, err := json.Marshal(claims{Scope: ScopeRefresh, Aud: t.ServiceDID, Sub: did, Iat: now.Unix(), Exp: refresh.ExpiresAt.Unix(), Jti: refresh.TokenID})
	if err != nil {
		return Pair{}, fmt.Errorf("refresh token: %w", err)
	}
	return Pair{
		Access:  appendJWS(accessHead, access, keys.jwt.Sign),
		Refresh: appendJWS(refreshHead, again, keys.jwt.Sign),
	}, nil
}

// verify checks a session token of the wanted type: form, algorithm, signature, tenant, and its time last, so that only
// a token that was good once is called expired.
func (s *Sessions) verify(t *tenant.Tenant, keys *Secrets, token, typ string) (c claims, err error) {
	j, ok := parseJWS(token)
	if ok && typ == typAccess && j.header.Alg != algHS256 && isBound(j) {
		return claims{}, ErrBound
	}
	if !ok || j.header.Alg != algHS256 || !keys.jwt.Verify(j.signed, j.sig) {
		return claims{}, ErrUnverified
	}
	if err := json.Unmarshal(j.payload, &c); err != nil {
		return claims{}, ErrUnverified
	}
	if j.header.Typ != typ || !t.IsService(c.Aud) {
		return claims{}, ErrUnverified
	}
	if c.Lxm != nil || c.Cnf != nil || c.Sub == "" || c.Exp == 0 {
		return claims{}, ErrMalformed
	}
	if c.Exp <= s.now().Unix() {
		return c, ErrExpired
	}
	return c, nil
}
