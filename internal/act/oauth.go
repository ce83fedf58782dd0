package act

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
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
		// Its challenge may be used up: the client could not ask for the same again.
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
	return maps.Clone(out)
}

// ListApps are the clients that use an account, the last used first.
func (a *Acts) ListApps(ctx context.Context, t *tenant.Tenant, aid int64, deviceKey []byte) ([]oauth.App, error) {
	return oauth.Apps(ctx, a.DB.Tenant(t.Schema).Q(), aid, deviceKey, a.Now().UTC())
}

// ErrNoApp: there is no such session of the account.
var ErrNoApp = errors.New("the app is not connected")

// EndApp ends one client's session, and forgets what was granted to it. Errors: [ErrNoApp].
func (a *Acts) EndApp(ctx context.Context, t *tenant.Tenant, by Owner, session []byte) error {
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		s, _, err := oauth.Get(ctx, q, session)
		var refused *oauth.Refusal
		if errors.As(err, &refused) || err == nil && s.AID != by.AID {
			return ErrNoApp
		}
		if err != nil {
			return err
		}
		if _, err := q.DeleteOAuthSessionOf(ctx, tenantdb.DeleteOAuthSessionOfParams{ID: session, AID: by.AID}); err != nil {
			return fmt.Errorf("end app: %w", err)
		}
		if err := q.DeleteOAuthConsent(ctx, tenantdb.DeleteOAuthConsentParams{AID: by.AID, ClientID: s.ClientID}); err != nil {
			return fmt.Errorf("forget consent: %w", err)
		}
		return a.note(ctx, q, by.Visitor, by.AID, accounts.EventAppEnded, s.ClientID)
	})
}

// EndApps ends all clients' sessions of an account, and forgets what was granted. n is how many there were.
func (a *Acts) EndApps(ctx context.Context, t *tenant.Tenant, by Owner) (n int64, err error) {
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		if n, err = endApps(ctx, q, by.AID); err != nil || n == 0 {
			return err
		}
		return a.note(ctx, q, by.Visitor, by.AID, accounts.EventAppEnded, "")
	})
	return n, err
}

func endApps(ctx context.Context, q *tenantdb.Queries, aid int64) (n int64, err error) {
	if n, err = q.DeleteOAuthSessionsOf(ctx, aid); err != nil {
		return 0, fmt.Errorf("end apps: %w", err)
	}
	if err := q.DeleteOAuthConsentsOf(ctx, aid); err != nil {
		return 0, fmt.Errorf("forget consents: %w", err)
	}
	return n, nil
}

// OAuthTokens are what a client gets for a code or a refresh token.
type OAuthTokens struct {
	Access  string
	Refresh string // "" when the client does not refresh
	Scope   string // what the token opens, permission sets expanded
	Subject string // the account's DID
	Expires time.Duration
}

// OAuthToken gives tokens for a code or a refresh token. Errors: those of establish.
// spec: oauth#tokens-and-session-lifetime
func (a *Acts) OAuthToken(ctx context.Context, t *tenant.Tenant, v Visitor, in OAuthCall) (OAuthTokens, error) {
	grant := in.Param("grant_type")
	switch grant {
	case "":
		return OAuthTokens{}, oauth.Refuse(oauth.InvalidRequest, "grant_type is missing")
	case "authorization_code", "refresh_token":
	default:
		return OAuthTokens{}, oauth.Refuse(oauth.UnsupportedGrant, "grant_type is authorization_code or refresh_token")
	}
	for _, name := range map[string][]string{"authorization_code": {"code", "code_verifier"}, "refresh_token": {"refresh_token"}}[grant] {
		if in.Param(name) == "" {
			return OAuthTokens{}, oauth.Refuse(oauth.InvalidRequest, "%s is missing", name)
		}
	}
	who, err := a.establish(ctx, t, v, in, true, grant == "refresh_token")
	if err != nil {
		return OAuthTokens{}, err
	}
	if grant == "refresh_token" {
		return a.refreshGrant(ctx, t, v, who, in.Param("refresh_token"))
	}
	return a.redeemCode(ctx, t, who, in.Param("code"), in.Param("code_verifier"), in.Param("redirect_uri"))
}

func (a *Acts) redeemCode(ctx context.Context, t *tenant.Tenant, who asked, code, verifier, redirect string) (OAuthTokens, error) {
	did, opens, err := a.willOpen(ctx, t, code)
	if err != nil {
		return OAuthTokens{}, err
	}
	var s *oauth.Session
	var refused error // what was committed comes before what is said
	redeem := func(q *tenantdb.Queries) error {
		s, refused = nil, nil
		var epochs accounts.Epochs
		if did != "" {
			if epochs, err = auth.Hold(ctx, q, did); err != nil && !errors.Is(err, auth.ErrRevoked) {
				return err
			}
		}
		if err := a.useUp(ctx, q, who); err != nil {
			return err
		}
		c, err := oauth.TakeCode(ctx, q, who.holder(), code, verifier, redirect, a.Now().UTC())
		if err != nil {
			refused = err
			return a.compromised(ctx, q, err)
		}
		account, err := accounts.ByDID(ctx, q, did)
		if err != nil || account.TakenDown || account.Deactivated {
			refused = oauth.Refuse(oauth.InvalidGrant, "the account cannot be used")
			return notFoundIsFine(err)
		}
		s = oauth.NewSession(c, who.holder(), epochs.Session, opens, a.TrustedClient(t, who.client.ID), a.Now().UTC())
		return s.Insert(ctx, q, c, who.client.Name)
	}
	if err := a.happened(ctx, t, a.DB.Tenant(t.Schema).Tx(ctx, redeem), s); err != nil {
		return OAuthTokens{}, err
	}
	if refused != nil {
		return OAuthTokens{}, refused
	}
	return a.tokens(t, who, did, s)
}

// willOpen is whose code it is and what its tokens will open; "" for a code that nobody has. It may ask other servers, so
// it stands before the transaction. Errors: [oauth.Refusal].
func (a *Acts) willOpen(ctx context.Context, t *tenant.Tenant, code string) (did, opens string, err error) {
	did, granted, err := oauth.GrantedBy(ctx, a.DB.Tenant(t.Schema).Q(), code)
	if err != nil || did == "" {
		return "", "", err
	}
	s, err := a.expand(ctx, t, scope.Parse(granted))
	return did, s.String(), err
}

func notFoundIsFine(err error) error {
	if errors.Is(err, accounts.ErrNotFound) {
		return nil
	}
	return err
}

// compromised does what belongs to a code or token that somebody else has, and lets that be committed. Errors that are no
// verdict are given back.
func (a *Acts) compromised(ctx context.Context, q *tenantdb.Queries, err error) error {
	var c *oauth.Compromised
	if errors.As(err, &c) {
		if c.Device != nil {
			return device.Leave(ctx, q, c.Device, c.AID)
		}
		return nil
	}
	return err
}

func (a *Acts) refreshGrant(ctx context.Context, t *tenant.Tenant, v Visitor, who asked, token string) (OAuthTokens, error) {
	id, generation, ok := oauth.ParseRefreshToken(who.secret.Tokens, token)
	if !ok {
		return OAuthTokens{}, oauth.Refuse(oauth.InvalidGrant, "the refresh token is not one of this server")
	}
	tdb := a.DB.Tenant(t.Schema)
	had, did, err := oauth.Get(ctx, tdb.Q(), id)
	if err != nil {
		return OAuthTokens{}, err
	}
	if had.Key.Any() {
		ok, err := a.Clients.HasKey(ctx, v.From, who.client, had.Key.KeyID, had.Key.Thumbprint)
		if err != nil {
			return OAuthTokens{}, err
		}
		if !ok {
			who.key = client.Proved{} // gone from the client's document: whoever has it now ends the session below
		}
	}
	opens, err := a.expand(ctx, t, scope.Parse(had.Granted))
	text := opens.String()
	if err != nil {
		text = had.Scope // a set that cannot be had does not take away what was granted
	}
	var s *oauth.Session
	var refused error
	rotate := func(q *tenantdb.Queries) error {
		s, refused = nil, nil
		epochs, err := auth.Hold(ctx, q, did)
		if errors.Is(err, auth.ErrRevoked) {
			return oauth.Refuse(oauth.InvalidGrant, "the account is gone")
		}
		if err != nil {
			return err
		}
		if err := a.useUp(ctx, q, who); err != nil {
			return err
		}
		s, err = oauth.Rotate(ctx, q, who.holder(), id, generation, epochs.Session, text, a.Now().UTC())
		if err != nil {
			refused = err
			return a.compromised(ctx, q, err)
		}
		return nil
	}
	if err := a.happened(ctx, t, tdb.Tx(ctx, rotate), s); err != nil {
		return OAuthTokens{}, err
	}
	if refused != nil {
		return OAuthTokens{}, refused
	}
	return a.tokens(t, who, did, s)
}

// happened finds out whether a session was stored when the answer to COMMIT is missing: then its tokens are given, once
// that is durable. If it is not there the error stays, and the client asks again.
func (a *Acts) happened(ctx context.Context, t *tenant.Tenant, err error, s *oauth.Session) error {
	if !errors.Is(err, db.ErrUnknownOutcome) || s == nil {
		return err
	}
	tdb := a.DB.Tenant(t.Schema)
	if there, _, lost := oauth.Get(ctx, tdb.Q(), s.ID); lost != nil || there.Generation != s.Generation {
		return err
	}
	return tdb.Confirm(ctx)
}

func (a *Acts) tokens(t *tenant.Tenant, who asked, did string, s *oauth.Session) (out OAuthTokens, err error) {
	out.Subject, out.Scope = did, s.Scope
	if out.Access, out.Expires, err = a.Sessions.MintOAuth(t, who.secret, did, s); err != nil {
		return out, err
	}
	if who.client.Refreshes {
		out.Refresh = oauth.RefreshToken(who.secret.Tokens, s.ID, s.Generation)
	}
	return out, nil
}

// OAuthRevoke ends the session of an access or refresh token. One that is unknown, or past its time, is no error.
// Errors: those of establish.
// spec: RFC 7009
func (a *Acts) OAuthRevoke(ctx context.Context, t *tenant.Tenant, v Visitor, in OAuthCall) error {
	token := in.Param("token")
	if token == "" {
		return oauth.Refuse(oauth.InvalidRequest, "token is missing")
	}
	who, err := a.establish(ctx, t, v, in, false, true)
	if err != nil {
		return err
	}
	id, _, ok := oauth.ParseRefreshToken(who.secret.Tokens, token)
	if !ok {
		var err error
		if id, _, _, err = a.Sessions.ParseOAuth(t, who.secret, token); err != nil && !errors.Is(err, auth.ErrExpired) {
			return nil
		}
	}
	return a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := a.useUp(ctx, q, who); err != nil {
			return err
		}
		return oauth.End(ctx, q, id, who.client.ID)
	})
}
