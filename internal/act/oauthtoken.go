package act

import (
	"context"
	"errors"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/tenant"
)

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
