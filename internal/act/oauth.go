package act

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/tenant"
)

// OAuthCall is what a client sends to one of the authorization server's endpoints.
type OAuthCall struct {
	Param func(name string) string // "" when it is absent
	Proof auth.Proof
}

// asked is a client that was established, with its proof of possession.
type asked struct {
	client *client.Client
	key    client.Proved
	proof  dpop.Proof // the zero value: none was shown
	secret *auth.OAuth
}

func (a asked) holder() oauth.Holder {
	return oauth.Holder{Client: a.client, Key: a.key, JKT: a.proof.JKT}
}

// establish finds out which client calls, in the order that costs least: what is malformed first, then the proof with its
// nonce, then the client's document, then its key. proofNeeded says whether a call without proof is refused; known, that
// a document of yesterday will do. Errors: [oauth.Refusal], [dpop.ErrMissing], [dpop.ErrNonce], [dpop.ErrProof],
// [client.ErrUnavailable] and others of package client.
func (a *Acts) establish(ctx context.Context, t *tenant.Tenant, v Visitor, in OAuthCall, proofNeeded, known bool) (out asked, err error) {
	id := in.Param("client_id")
	if id == "" {
		return out, oauth.Refuse(oauth.InvalidRequest, "client_id is missing")
	}
	if out.secret, err = a.Sessions.OAuth(ctx, t); err != nil {
		return out, err
	}
	out.proof, err = dpop.Check(in.Proof.DPoP, in.Proof.Method, in.Proof.URL, out.secret.Nonces, "", a.Now())
	if errors.Is(err, dpop.ErrMissing) && !proofNeeded {
		err = nil // the key is bound when the code is redeemed
	}
	if err != nil {
		return out, err
	}
	if t.Settings.OAuthClientRefused(id) {
		return out, oauth.Refuse(oauth.InvalidClient, "this server does not take this client")
	}
	get := a.Clients.Get
	if known {
		get = a.Clients.GetKnown
	}
	if out.client, err = get(ctx, v.From, id); err != nil {
		return out, err
	}
	out.key, err = a.Clients.Authenticate(ctx, v.From, out.client, in.Param("client_assertion_type"), in.Param("client_assertion"), t.PublicURL)
	switch {
	case err != nil:
		return out, err
	case out.key.Any() && out.key.Thumbprint == out.proof.JKT:
		return out, oauth.Refuse(oauth.InvalidClient, "the client's key has to be another than the one of its DPoP proofs")
	case out.key.BoundTo != "" && out.key.BoundTo != out.proof.JKT:
		return out, oauth.Refuse(oauth.InvalidClient, "the client_assertion is bound to another DPoP key")
	}
	return out, nil
}

// useUp writes down that proof and assertion were used, inside the transaction of what they are for.
func (a *Acts) useUp(ctx context.Context, q *tenantdb.Queries, who asked) error {
	if who.proof.JKT != "" {
		if err := oauth.UseUpProof(ctx, q, who.proof.Digest(), a.Now().Add(dpop.Kept)); err != nil {
			return err
		}
	}
	return oauth.UseUpAssertion(ctx, q, who.key)
}

// PushAuthorization takes what a client asks for, and gives the name by which a browser then brings it.
// Errors: those of establish.
// spec: oauth#pushed-authorization-requests-par
func (a *Acts) PushAuthorization(ctx context.Context, t *tenant.Tenant, v Visitor, in OAuthCall) (pushed oauth.Pushed, err error) {
	if in.Param("request_uri") != "" {
		return pushed, oauth.Refuse(oauth.InvalidRequest, "request_uri cannot be pushed")
	}
	who, err := a.establish(ctx, t, v, in, false, false)
	if err != nil {
		return pushed, err
	}
	get, signed := in.Param, client.Proved{}
	if text := in.Param("request"); text != "" {
		var params map[string]string
		if params, signed, err = a.Clients.ParseRequest(ctx, v.From, who.client, text, t.PublicURL); err != nil {
			return pushed, err
		}
		get = func(name string) string { return params[name] }
	}
	p, err := oauth.ReadParams(get, who.client)
	if err != nil {
		return pushed, err
	}
	switch {
	case who.proof.JKT != "" && p.JKT != "" && p.JKT != who.proof.JKT:
		return pushed, oauth.Refuse(oauth.InvalidRequest, "dpop_jkt is not the key of the DPoP proof")
	case p.JKT == "":
		p.JKT = who.proof.JKT
	}
	if _, err := a.expand(ctx, t, scope.Parse(p.Scope)); err != nil {
		return pushed, err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		if err := a.useUp(ctx, q, who); err != nil {
			return err
		}
		if err := oauth.UseUpAssertion(ctx, q, signed); err != nil {
			return err
		}
		pushed, err = oauth.Push(ctx, q, who.client, p, who.key, a.Now().UTC())
		return err
	})
	if errors.Is(err, db.ErrUnknownOutcome) {
		// It may be there: what signs the request serves once, so the client could not ask for the same again.
		tdb := a.DB.Tenant(t.Schema)
		if _, lost := oauth.Open(ctx, tdb.Q(), who.client.ID, pushed.URI, a.Now().UTC()); lost == nil {
			err = tdb.Confirm(ctx)
		}
	}
	return pushed, err
}

// expand puts what permission sets list in their place. Errors: [oauth.Refusal] when one cannot be had.
func (a *Acts) expand(ctx context.Context, t *tenant.Tenant, s scope.Set) (scope.Set, error) {
	entries := map[scope.Include][]scope.Entry{}
	for _, i := range s.Includes() {
		if a.Sets == nil {
			return s, oauth.Refuse(oauth.InvalidScope, "permission sets cannot be looked up here: %s", i)
		}
		set, err := a.Sets(ctx, t, i.NSID)
		if err != nil {
			return s, fmt.Errorf("%w: %w", oauth.Refuse(oauth.InvalidScope, "the permission set %s cannot be had", i.NSID), err)
		}
		entries[i] = set.Entries
	}
	return s.Expand(func(i scope.Include) []scope.Entry { return entries[i] }), nil
}

// TrustedClient says whether the operator vouches for a client: its name and logo are shown.
func (a *Acts) TrustedClient(t *tenant.Tenant, id string) bool {
	return slices.Contains(t.Settings.OAuthTrustedClients, id)
}

// SetsOf are the permission sets that scopes ask for, for the page that shows them. One that cannot be had is left out.
func (a *Acts) SetsOf(ctx context.Context, t *tenant.Tenant, s scope.Set) map[scope.Include]*scope.PermissionSet {
	out := map[scope.Include]*scope.PermissionSet{}
	for _, i := range s.Includes() {
		if a.Sets == nil {
			break
		}
		if set, err := a.Sets(ctx, t, i.NSID); err == nil {
			out[i] = set
		}
	}
	return out
}
