package act

import (
	"context"
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/tenant"
)

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

const actEndApps = "org.auroralocus.admin.endApps"

// DisconnectApps ends what an account's apps may do, for an operator: all of them, or with a client id that one. n is how
// many sessions there were. The owner finds it in the account's own log. Errors: [ErrNoApp].
func (a *Acts) DisconnectApps(ctx context.Context, t *tenant.Tenant, by Operator, who *accounts.Account, clientID string) (n int64, err error) {
	err = a.change(ctx, t, by, actEndApps, deed{who.DID, map[string]string{"client": clientID}}, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if n, err = disconnect(ctx, q, who.AID, clientID); err != nil {
			return nil, err
		}
		if n == 0 && clientID != "" {
			return nil, ErrNoApp
		}
		return nil, a.note(ctx, q, Visitor{}, who.AID, accounts.EventAppEnded, clientID)
	})
	return n, err
}

func disconnect(ctx context.Context, q *tenantdb.Queries, aid int64, clientID string) (n int64, err error) {
	if clientID == "" {
		return endApps(ctx, q, aid)
	}
	if n, err = q.DeleteOAuthSessionsOfClient(ctx, tenantdb.DeleteOAuthSessionsOfClientParams{AID: aid, ClientID: clientID}); err != nil {
		return 0, fmt.Errorf("end app: %w", err)
	}
	if err := q.DeleteOAuthConsent(ctx, tenantdb.DeleteOAuthConsentParams{AID: aid, ClientID: clientID}); err != nil {
		return 0, fmt.Errorf("forget consent: %w", err)
	}
	return n, nil
}
