package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

const (
	actTenantCreate  = "tenant create"
	actTenantSet     = "tenant set"
	actTenantSMTP    = "tenant smtp"
	actCaptcha       = "tenant captcha"
	actTenantJump    = "tenant jump"
	actTenantRelease = "tenant release"
	actTenantSecrets = "tenant rotate-secrets"
)

// TenantActs are the acts on a tenant as a whole. They need only the database, the registry and a clock, so that a
// command can do them on a database that nobody serves yet. [Acts] has them too.
type TenantActs struct {
	db      *db.DB
	tenants *tenant.Registry
	now     func() time.Time
}

// NewTenantActs makes them.
func NewTenantActs(d *db.DB, tenants *tenant.Registry, now func() time.Time) *TenantActs {
	return &TenantActs{d, tenants, now}
}

// CreateTenant creates a tenant. Its log begins with this, once the schema is there that has the log. Errors: those of
// [tenant.Registry.Create].
func (a *TenantActs) CreateTenant(ctx context.Context, by Operator, spec tenant.Spec) (t *tenant.Tenant, err error) {
	if err := checkMailLanguage(spec.Settings); err != nil {
		return nil, err
	}
	detail := map[string]any{"settings": spec.Settings, "adminPassword": spec.AdminPassword != ""}
	err = a.logged(ctx, by, actTenantCreate, 0, deed{spec.Hostname, detail}, func() (int64, error) {
		if t, err = a.tenants.Create(ctx, spec); err != nil {
			return 0, err
		}
		return t.ID, a.written(ctx, t, by, actTenantCreate, deed{t.Hostname, detail}, func() error { return nil })
	})
	return t, err
}

// SetTenant changes settings of a tenant and, unless it is "", the password of HTTP Basic user admin. Errors: those of
// [tenant.Registry.Set].
func (a *TenantActs) SetTenant(ctx context.Context, t *tenant.Tenant, by Operator, settings map[string]string, adminPassword string) (changed *tenant.Tenant, err error) {
	if err := checkMailLanguage(settings); err != nil {
		return nil, err
	}
	detail := map[string]any{"settings": settings, "adminPassword": adminPassword != ""}
	changed = t
	err = a.noted(ctx, t, by, actTenantSet, deed{t.Hostname, detail}, func() (err error) {
		if len(settings) > 0 { // first: they may say how long a password must be
			if changed, err = a.tenants.Set(ctx, t.Hostname, settings); err != nil {
				return err
			}
		}
		if adminPassword == "" {
			return nil
		}
		return a.tenants.SetAdminPassword(ctx, t.Hostname, adminPassword)
	})
	return changed, err
}

// checkMailLanguage refuses what would silently be English. Package tenant does not know the catalogues.
func checkMailLanguage(settings map[string]string) error {
	lang := settings["mail_language"]
	if all := mail.Languages(); lang != "" && !slices.Contains(all, lang) {
		return fmt.Errorf("%w: mail_language: %.20q is none of %s", tenant.ErrBadSetting, lang, strings.Join(all, ", "))
	}
	return nil
}

// SetSMTP gives a tenant a mail server of its own; "" goes back to the deployment's. The URL holds a password, so the log
// does not have it. Errors: those of [mail.ParseServer], [tenant.ErrNotFound].
func (a *TenantActs) SetSMTP(ctx context.Context, t *tenant.Tenant, by Operator, url string) error {
	if url != "" {
		if _, err := mail.ParseServer(url); err != nil {
			return err
		}
	}
	return a.noted(ctx, t, by, actTenantSMTP, deed{t.Hostname, map[string]any{"ownServer": url != ""}}, func() error {
		return a.tenants.SetSMTP(ctx, t.Hostname, url)
	})
}

// SetCaptcha says which service tells people from programs where an account is opened on a page. The log does not have
// the secret key. Errors: those of [tenant.Registry.SetCaptcha].
func (a *TenantActs) SetCaptcha(ctx context.Context, t *tenant.Tenant, by Operator, kind, siteKey, secret string) error {
	return a.noted(ctx, t, by, actCaptcha, deed{t.Hostname, map[string]any{"captcha": kind, "siteKey": siteKey}}, func() error {
		return a.tenants.SetCaptcha(ctx, t.Hostname, kind, siteKey, secret)
	})
}

// signedLonger is how much longer than what it signed a replaced secret is kept: clocks differ.
const signedLonger = time.Hour

// RotateSecrets replaces the secrets that a tenant signs session tokens, OAuth's tokens and nonces with, and tells from when the
// new ones sign. Nobody is signed out, because what was signed before is taken for its time; with endSessions it is refused
// from that moment on, and everybody signs in again. The key of what people type, mailed codes and app passwords, stays.
// Errors: [tenant.ErrReplacing], [tenant.ErrManyReplaced].
func (a *TenantActs) RotateSecrets(ctx context.Context, t *tenant.Tenant, by Operator, endSessions bool) (from time.Time, err error) {
	which := []tenant.Replaceable{
		{Purpose: tenant.SecretJWT, Life: auth.RefreshLife + signedLonger},
		{Purpose: tenant.SecretDPoP, Life: oauth.ConfidentialIdle + signedLonger},
		{Purpose: keyring.PurposeOAuth, Life: oauth.AccessLife + signedLonger},
	}
	err = a.noted(ctx, t, by, actTenantSecrets, deed{t.Hostname, map[string]any{"endSessions": endSessions}}, func() error {
		from, err = a.tenants.ReplaceSecrets(ctx, t.Hostname, which, endSessions)
		return err
	})
	return from, err
}

// Jump passes over sequence numbers of a tenant's event stream, and tells the last of them: relays remember numbers that
// a restored backup does not have, and would not read a stream that gives them out again.
func (a *TenantActs) Jump(ctx context.Context, t *tenant.Tenant, by Operator, numbers int64) (last int64, err error) {
	err = a.logged(ctx, by, actTenantJump, t.ID, deed{t.Hostname, map[string]any{"by": numbers}}, func() (int64, error) {
		return t.ID, a.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
			if last, err = firehose.Jump(ctx, q, numbers, a.now()); err != nil {
				return err
			}
			return record(ctx, q, a.now(), by, actTenantJump, deed{t.Hostname, map[string]any{"by": numbers, "last": last}})
		})
	})
	return last, err
}

// Recount counts one account's records again. Its commits wait meanwhile. An account that is gone is no error.
func (a *TenantActs) Recount(ctx context.Context, t *tenant.Tenant, aid int64) error {
	err := a.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		_, _, err := repodb.Recount(ctx, q, aid)
		return err
	})
	if errors.Is(err, repodb.ErrRepoNotFound) {
		return nil
	}
	return err
}

// RecountTotals adds up what the accounts of a tenant have.
func (a *TenantActs) RecountTotals(ctx context.Context, t *tenant.Tenant) error {
	return a.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		_, err := repodb.RecountTotals(ctx, q)
		return err
	})
}

// noted writes down what the tenant's transaction does not reach: settings are in the control schema, and files are not
// in Postgres. The entry is written before the change and committed after it. A change that fails leaves none, and only a
// commit that is lost leaves a change without one.
func (a *TenantActs) noted(ctx context.Context, t *tenant.Tenant, by Operator, action string, d deed, change func() error) error {
	return a.logged(ctx, by, action, t.ID, d, func() (int64, error) {
		return t.ID, a.written(ctx, t, by, action, d, change)
	})
}

// written is noted in the tenant's own log alone.
func (a *TenantActs) written(ctx context.Context, t *tenant.Tenant, by Operator, action string, d deed, change func() error) error {
	return a.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := record(ctx, q, a.now(), by, action, d); err != nil {
			return err
		}
		return change()
	})
}

// deed is one line of the log.
type deed struct {
	subject string
	detail  any
}

// record writes an act to the audit log, inside the act's transaction. detail becomes JSON: never put a secret there.
// A service token that somebody overheard does nothing a second time.
func record(ctx context.Context, q *tenantdb.Queries, now time.Time, o Operator, action string, deeds ...deed) error {
	if err := o.Token.UseUp(ctx, q); err != nil {
		return err
	}
	for i, one := range deeds {
		at := now.Add(time.Duration(i) * time.Microsecond) // the log's order is that of the times
		if err := audit.Insert(ctx, q, o.Entry(at, action, one.subject, audit.Done), int16(o.Role), one.detail); err != nil {
			return err
		}
	}
	return nil
}

// ReleaseName gives a name away that a tenant had before: it leads to the tenant no longer, and may be anybody's. Errors:
// those of [tenant.Registry.Release].
func (a *TenantActs) ReleaseName(ctx context.Context, t *tenant.Tenant, by Operator, name string) (now *tenant.Tenant, err error) {
	err = a.noted(ctx, t, by, actTenantRelease, deed{t.Hostname, map[string]any{"name": name}}, func() error {
		now, err = a.tenants.Release(ctx, t, name)
		return err
	})
	return now, err
}
