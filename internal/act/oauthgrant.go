package act

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/tenant"
)

// OpenAuthorization reads a request that a browser brings, and its client. Nothing is bound to the browser yet.
// Errors: [oauth.ErrRequest], those of package client.
func (a *Acts) OpenAuthorization(ctx context.Context, t *tenant.Tenant, v Visitor, clientID, requestURI string) (*oauth.Request, *client.Client, error) {
	r, err := oauth.Open(ctx, a.DB.Tenant(t.Schema).Q(), clientID, requestURI, a.Now().UTC())
	if err != nil {
		return nil, nil, err
	}
	c, err := a.Clients.GetKnown(ctx, v.From, clientID)
	return r, c, err
}

// HoldAuthorization binds a request to the browser that acts on it first. Errors: [oauth.ErrRequest], [oauth.ErrDevice].
func (a *Acts) HoldAuthorization(ctx context.Context, t *tenant.Tenant, deviceKey []byte, clientID, requestURI string) (r *oauth.Request, err error) {
	err = a.onRequest(ctx, t, deviceKey, clientID, requestURI, func(_ *tenantdb.Queries, held *oauth.Request) error {
		r = held
		return nil
	})
	return r, err
}

// onRequest does something with a request that a browser holds. A second browser ends it: that is committed.
func (a *Acts) onRequest(ctx context.Context, t *tenant.Tenant, deviceKey []byte, clientID, requestURI string, do func(*tenantdb.Queries, *oauth.Request) error) error {
	var another error
	err := a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		another = nil
		r, err := oauth.Hold(ctx, q, clientID, requestURI, deviceKey, a.Now().UTC())
		if errors.Is(err, oauth.ErrDevice) {
			another = err
			return nil
		}
		if err != nil {
			return err
		}
		return do(q, r)
	})
	return errors.Join(err, another)
}

// GrantAuthorization says yes to a request in an account's name: to what of it is in granted, never to more. The browser
// goes to the answer with the code. Errors: [oauth.ErrRequest], [oauth.ErrDevice], [accounts.ErrCredentials] when the
// owner's sessions were ended, [auth.ErrAccountTakedown], [auth.ErrAccountDeactivated], [oauth.Refusal].
func (a *Acts) GrantAuthorization(ctx context.Context, t *tenant.Tenant, o Owner, deviceKey []byte, clientID, requestURI string, granted scope.Set) (back oauth.Redirect, err error) {
	c, err := a.Clients.GetKnown(ctx, o.From, clientID)
	if err != nil {
		return back, err
	}
	err = a.onRequest(ctx, t, deviceKey, clientID, requestURI, func(q *tenantdb.Queries, r *oauth.Request) error {
		if _, err := auth.Hold(ctx, q, o.DID); errors.Is(err, auth.ErrRevoked) {
			return accounts.ErrCredentials
		} else if err != nil {
			return err
		}
		// The browser may have been signed out since the page was shown: by another password, for example.
		there, err := device.Accounts(ctx, q, deviceKey, a.Now())
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(there, func(s device.SignedIn) bool { return s.AID == o.AID }) {
			return accounts.ErrCredentials
		}
		who, err := accounts.ByDID(ctx, q, o.DID)
		switch {
		case err != nil:
			return ended(err)
		case who.TakenDown:
			return auth.ErrAccountTakedown
		case who.Deactivated:
			return auth.ErrAccountDeactivated
		}
		if err := fits(r, who); err != nil {
			return err
		}
		yes := r.Scopes().Both(granted)
		if !yes.Has(scope.Atproto) {
			return oauth.Refuse(oauth.AccessDenied, "without atproto nothing can be granted")
		}
		code, err := oauth.Grant(ctx, q, r, who.AID, yes, !c.Development, a.Now().UTC())
		if err != nil {
			return err
		}
		back = r.Answer(t.PublicURL, [2]string{"code", code})
		v := o.Visitor
		v.Browser = device.Name(deviceKey)
		return a.signedIn(ctx, q, t, v, who, accounts.ViaOAuth, clientID)
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return back, err
}

// fits: a request that names an account is for that one only.
func fits(r *oauth.Request, who *accounts.Account) error {
	hint := r.Params.LoginHint
	if hint == "" || hint == strings.ToLower(who.DID) || hint == who.Handle {
		return nil
	}
	return oauth.Refuse(oauth.AccessDenied, "the request is for another account")
}

// DenyAuthorization says no to a request, or tells the client why nothing comes of it. Errors: [oauth.ErrRequest],
// [oauth.ErrDevice].
func (a *Acts) DenyAuthorization(ctx context.Context, t *tenant.Tenant, deviceKey []byte, clientID, requestURI, name, text string) (back oauth.Redirect, err error) {
	err = a.onRequest(ctx, t, deviceKey, clientID, requestURI, func(q *tenantdb.Queries, r *oauth.Request) error {
		back = r.Refused(t.PublicURL, name, text)
		return oauth.Close(ctx, q, r)
	})
	return back, err
}

// ConsentOf is what an account granted to a client before; false: nothing.
func (a *Acts) ConsentOf(ctx context.Context, t *tenant.Tenant, aid int64, clientID string) (scope.Set, bool, error) {
	return oauth.Consent(ctx, a.DB.Tenant(t.Schema).Q(), aid, clientID)
}
