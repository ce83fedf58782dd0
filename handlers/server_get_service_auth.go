package handlers

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
)

// How long a service token lives: at most, at most without a method, and by default.
const (
	serviceLife        = time.Hour
	serviceLifeAnyUse  = time.Minute
	serviceLifeDefault = time.Minute
)

// getServiceAuth makes a token with which the account calls another service directly, signed by its repository key.
// spec: lexicon com.atproto.server.getServiceAuth
func (m serverMethods) getServiceAuth(ctx context.Context, c xrpc.AccountCaller, in *serverGetServiceAuthInput) (*serverGetServiceAuthOutput, error) {
	method := string(in.Lxm)
	if !isAudience(in.Aud) {
		return nil, xrpc.Invalid("aud must be a did:plc or did:web, optionally with #service")
	}
	now := m.now()
	exp := now.Add(serviceLifeDefault)
	if c.Has("exp") {
		exp = time.Unix(in.Exp, 0)
		switch life := exp.Sub(now); {
		case life <= 0:
			return nil, xrpc.Refuse(http.StatusBadRequest, "BadExpiration", "expiration is in past")
		case life > serviceLife:
			return nil, xrpc.Refuse(http.StatusBadRequest, "BadExpiration", "cannot request a token with an expiration more than an hour in the future")
		case method == "" && life > serviceLifeAnyUse:
			return nil, xrpc.Refuse(http.StatusBadRequest, "BadExpiration", "cannot request a method-less token with an expiration more than a minute in the future")
		}
	}
	switch {
	case c.Scope == auth.ScopeTakendown && !strings.EqualFold(method, methodCreateAccount):
		return nil, auth.ErrScope // somebody who was thrown out may leave, and nothing else
	case isProtected(method):
		return nil, xrpc.Invalid("cannot request a service auth token for the following protected method: %s", method)
	case c.Scope.App() && (needsMain(method) || moderates(c.Tenant, c.DID, in.Aud, method)),
		isPrivileged(method) && c.Scope == auth.ScopeAppPass:
		return nil, xrpc.Invalid("insufficient access to request a service auth token for the following method: %s", method)
	}
	key, err := account.Signer(ctx, m.db.Tenant(c.Tenant.Schema).Q(), m.keys, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, act.Gone(err)
	}
	token, err := auth.MintService(key, now, exp, c.DID, in.Aud, method)
	if err != nil {
		return nil, err
	}
	return &serverGetServiceAuthOutput{Body: serverGetServiceAuthOutputBody{Token: token}}, nil
}

var serviceFragment = regexp.MustCompile(`^[a-zA-Z0-9._:%-]+$`)

// isAudience says whether a text names a service: a DID of the two methods, perhaps with a fragment.
func isAudience(aud string) bool {
	did, fragment, has := strings.Cut(aud, "#")
	if has && !serviceFragment.MatchString(fragment) {
		return false
	}
	return identity.IsService(did)
}
