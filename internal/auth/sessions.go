package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/tenant"
)

// Sessions establishes callers. It is safe for concurrent use.
type Sessions struct {
	db     *db.DB
	keys   *keyring.Keyring
	actors *account.Cache
	now    func() time.Time

	proofs    *proofs
	proofKeys *dpop.Keys
	tokens    seenTokens // by OAuth

	mu      sync.Mutex
	secrets map[int64]*Secrets // by tenant id: as many as there are tenants
	// nonceFailed is when a tenant's secrets could not be read for a nonce.
	nonceFailed map[int64]time.Time
}

// NewSessions makes the part that establishes callers. actors answers what state an account is in.
func NewSessions(d *db.DB, keys *keyring.Keyring, actors *account.Cache, now func() time.Time) *Sessions {
	return &Sessions{
		db: d, keys: keys, actors: actors, now: now, secrets: map[int64]*Secrets{}, nonceFailed: map[int64]time.Time{},
		proofs: newProofs(d, now), proofKeys: dpop.NewKeys(seenKeysBytes, now), tokens: seenTokens{kept: cache.New[tokenKey, *seenToken](seenTokensBytes, now)},
	}
}

// Secrets are one tenant's opened secrets at one revision of the tenant.
type Secrets struct {
	revision int64
	jwt      macs
	typed    *keyring.MAC
	oauth    *OAuth
	admin    []byte // SHA-256 of the operator's password; nil: Basic is off
}

// Typed is the key of what people are given to type: mailed tokens and app passwords.
func (s *Secrets) Typed() *keyring.MAC { return s.typed }

// Secrets opens the tenant's secrets, from memory unless the tenant changed. Fetch them before a transaction begins:
// opening asks the database.
func (s *Sessions) Secrets(ctx context.Context, t *tenant.Tenant) (*Secrets, error) {
	s.mu.Lock()
	have := s.secrets[t.ID]
	s.mu.Unlock()
	if have != nil && have.revision == t.Revision {
		return have, nil
	}
	fresh, err := s.open(ctx, t)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A request that still holds the tenant as it was must not put old secrets back.
	if now := s.secrets[t.ID]; now == nil || now.revision < fresh.revision {
		s.secrets[t.ID] = fresh
	}
	return fresh, nil
}

func (s *Sessions) open(ctx context.Context, t *tenant.Tenant) (*Secrets, error) {
	q := s.db.Tenant(t.Schema).Q()
	tokens, _, err := s.openMACs(ctx, q, t, tenant.SecretJWT)
	if err != nil {
		return nil, fmt.Errorf("token secret of %s: %w", t.Hostname, err)
	}
	out := &Secrets{revision: t.Revision, jwt: tokens}
	if out.typed, err = tenant.CredentialsKey(ctx, s.db, s.keys, t.Schema, s.now()); err != nil {
		return nil, fmt.Errorf("secrets of %s: %w", t.Hostname, err)
	}
	if out.oauth, err = s.openOAuth(ctx, t); err != nil {
		return nil, err
	}
	admin, err := q.GetSecret(ctx, tenant.SecretAdminPassword)
	switch {
	case db.IsNoRows(err):
		return out, nil
	case err != nil:
		return nil, fmt.Errorf("admin password of %s: %w", t.Hostname, err)
	}
	if out.admin, err = s.keys.Open(tenant.AdminPasswordBinding(t.Schema), admin.Sealed); err != nil {
		return nil, fmt.Errorf("admin password of %s: %w", t.Hostname, err)
	}
	return out, nil
}

// Account establishes the caller of a method that takes the given class of session tokens. authorization is the whole
// header, proof what an OAuth token is shown with. Errors: [ErrMissing], [ErrScheme], [ErrUnverified], [ErrMalformed],
// [ErrExpired], [ErrScope], [ErrAccountNotFound], [ErrAccountTakedown], [ErrAccountDeactivated]; by OAuth [ErrOAuthToken],
// [ErrBound], [ErrProofUsed] and those of package dpop.
func (s *Sessions) Account(ctx context.Context, t *tenant.Tenant, authorization string, proof Proof, accept Accept) (Account, error) {
	if token, ok, err := dpopToken(authorization); err != nil {
		return Account{}, err
	} else if ok {
		return s.byOAuth(ctx, t, token, proof, accept)
	}
	token, err := bearer(authorization)
	if err != nil {
		return Account{}, err
	}
	keys, err := s.Secrets(ctx, t)
	if err != nil {
		return Account{}, err
	}
	c, err := s.verify(t, keys, token, typAccess)
	if err != nil {
		return Account{}, err
	}
	if !accept.takes(c.Scope) {
		return Account{}, ErrScope
	}
	maxAge := account.Fresh
	if accept&guarded != 0 {
		maxAge = account.Guarded
	}
	a, err := s.actors.ByDID(ctx, t.Schema, c.Sub, maxAge)
	if err == nil && c.Epoch > a.Epochs.Of(c.Scope.App()) {
		a, err = s.actors.ByDID(ctx, t.Schema, c.Sub, 0) // made by another process, after what is known here
	}
	ended := a.Epochs.Of(c.Scope.App()) != c.Epoch
	switch {
	case errors.Is(err, account.ErrNotFound):
		return Account{}, ErrAccountNotFound
	case err != nil:
		return Account{}, err
	case a.TakenDown && accept&refuseTakendown != 0:
		return Account{}, ErrAccountTakedown
	case ended && a.TakenDown:
		return Account{}, ErrAccountTakedown // the session ended with the takedown: what comes after it has its own token
	case ended:
		return Account{}, ErrExpired // clients that may go on refresh on this name
	case a.Deactivated && accept&refuseDeactivated != 0:
		return Account{}, ErrAccountDeactivated
	}
	out := Account{AID: a.AID, DID: a.DID, Handle: a.Handle, Scope: c.Scope, TakenDown: a.TakenDown, Deactivated: a.Deactivated}
	if c.Proven > 0 {
		out.proven = time.Unix(c.Proven, 0)
	}
	return out, nil
}

// Refresh establishes the caller of refreshSession and, with expiredToo, of deleteSession. Errors: those of
// [Sessions.Account], except the account's. [Rotate] looks at the token's row, which decides.
func (s *Sessions) Refresh(ctx context.Context, t *tenant.Tenant, authorization string, expiredToo bool) (Refresh, error) {
	token, err := bearer(authorization)
	if err != nil {
		return Refresh{}, err
	}
	keys, err := s.Secrets(ctx, t)
	if err != nil {
		return Refresh{}, err
	}
	c, err := s.verify(t, keys, token, typRefresh)
	expired := errors.Is(err, ErrExpired)
	if err != nil && !(expired && expiredToo) {
		return Refresh{}, err
	}
	if c.Scope != ScopeRefresh {
		return Refresh{}, ErrScope
	}
	if c.Jti == "" {
		return Refresh{}, ErrMalformed
	}
	return Refresh{TokenID: c.Jti, DID: c.Sub, ExpiresAt: time.Unix(c.Exp, 0), Expired: expired}, nil
}

func bearer(authorization string) (string, error) {
	if authorization == "" {
		return "", ErrMissing
	}
	scheme, token, ok := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "bearer") || token == "" || strings.ContainsRune(token, ' ') {
		return "", ErrScheme
	}
	return token, nil
}
