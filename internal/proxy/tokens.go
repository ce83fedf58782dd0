package proxy

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// tokenLife is how long a token is good for, tokenReuse how long one is given to calls of GET. A service may refuse to
	// see a token twice where something changes, so every other call has one of its own.
	tokenLife  = time.Minute
	tokenReuse = 30 * time.Second
	// keyFresh is how old the knowledge of an account's key may be: what another process does to it is seen that much
	// later.
	keyFresh = 2 * time.Second

	tokenBytes = 8 << 20
	keyBytes   = 4 << 20
)

// tokens makes service tokens.
type tokens struct {
	signer func(context.Context, db.Schema, int64) (Signer, error)
	now    func() time.Time

	mu   sync.Mutex
	keys *cache.Cache[keyOf, keyAt]
	kept *cache.Cache[tokenKey, tokenAt]
}

type keyOf struct {
	schema db.Schema
	aid    int64
}

type keyAt struct {
	signer Signer
	asked  time.Time
}

// tokenKey is all that a token depends on.
type tokenKey struct {
	schema            db.Schema
	issuer, aud, nsid string
	key               string // the public half of what signs
}

type tokenAt struct {
	token string
	made  time.Time
}

func newTokens(signer func(context.Context, db.Schema, int64) (Signer, error), now func() time.Time) *tokens {
	return &tokens{signer: signer, now: now, keys: cache.New[keyOf, keyAt](keyBytes, now), kept: cache.New[tokenKey, tokenAt](tokenBytes, now)}
}

// of is the token for a call.
// spec: xrpc#inter-service-authentication-jwt
func (s *tokens) of(ctx context.Context, c *Call) (string, error) {
	signer, err := s.key(ctx, keyOf{c.Caller.Tenant.Schema, c.Caller.AID})
	if err != nil {
		return "", err
	}
	service, nsid := c.Target.Service, c.NSID
	if c.As != nil {
		service, nsid = c.As.Service, c.As.NSID
	}
	key := tokenKey{c.Caller.Tenant.Schema, c.Caller.DID, audience(c.Caller.Tenant, service), nsid, signer.PublicDIDKey()}
	now := s.now()
	reuse := c.Method == http.MethodGet || c.Method == http.MethodHead
	if reuse {
		s.mu.Lock()
		hit, ok := s.kept.Get(key)
		s.mu.Unlock()
		if age := now.Sub(hit.made); ok && age >= 0 && age < tokenReuse {
			return hit.token, nil
		}
	}
	token, err := auth.MintService(signer, now, now.Add(tokenLife), key.issuer, key.aud, key.nsid)
	if err != nil {
		return "", fmt.Errorf("call of %s for %s: %w", key.nsid, key.issuer, err)
	}
	if reuse {
		s.mu.Lock()
		s.kept.Put(key.schema.String(), key, tokenAt{token, now}, int64(len(token)+len(key.issuer)+len(key.aud)+len(key.nsid)+len(key.key)))
		s.mu.Unlock()
	}
	return token, nil
}

// audience is what the token names: the service's DID, or the whole reference where the tenant's operator has chosen it.
func audience(t *tenant.Tenant, s tenant.Service) string {
	if t.Settings.ServiceTokenAudience == tenant.AudienceReference && s.ID != "" {
		return s.Reference()
	}
	return s.DID
}

func (s *tokens) key(ctx context.Context, of keyOf) (Signer, error) {
	s.mu.Lock()
	hit, ok := s.keys.Get(of)
	s.mu.Unlock()
	now := s.now()
	if age := now.Sub(hit.asked); ok && age >= 0 && age < keyFresh {
		return hit.signer, nil
	}
	signer, err := s.signer(ctx, of.schema, of.aid)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.Put(of.schema.String(), of, keyAt{signer, now}, 500)
	return signer, nil
}
