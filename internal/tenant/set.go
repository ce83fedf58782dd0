package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
	"unicode/utf8"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

// Set changes a tenant: the keys of [Fields], each with its value as text; an empty value goes back to the default. All
// of it happens or none. Errors: [ErrNotFound], [ErrBadSetting], [ErrBadHostname], [ErrHostnameTaken],
// [ErrHandlesExist].
func (r *Registry) Set(ctx context.Context, hostname string, patch map[string]string) (*Tenant, error) {
	old, err := r.usable(ctx, hostname)
	if err != nil {
		return nil, err
	}
	patch = maps.Clone(patch)
	domains, setDomains := patch[KeyHandleDomains]
	delete(patch, KeyHandleDomains)
	if _, state := patch["state"]; state {
		return nil, fmt.Errorf("%w: state: a tenant is switched off and on by 'locus tenant suspend' and 'locus tenant resume', or the operator API's suspendTenant and resumeTenant, which tell its relays", ErrBadSetting)
	}
	var names map[string]int16
	if setDomains {
		if names, err = r.namesOf(old.Hostname, splitList(domains), old.Former...); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrBadSetting, KeyHandleDomains, err)
		}
	}
	done := func(context.Context) error { return nil }
	undo := done
	if setDomains {
		if done, undo, err = r.handOver(ctx, old, names); err != nil {
			return nil, err
		}
	}
	err = r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		row, err := q.LockTenant(ctx, old.ID)
		if err != nil {
			return fmt.Errorf("lock tenant %s: %w", old.Hostname, err)
		}
		if setDomains && row.Revision != old.Revision {
			return fmt.Errorf("%w: %s: somebody else changed the tenant at the same moment, try again", ErrBadSetting, KeyHandleDomains)
		}
		if setDomains {
			if err := r.replaceNames(ctx, q, old.ID, names); err != nil {
				return err
			}
		}
		return r.applySettings(ctx, q, row, patch)
	})
	if errors.Is(err, db.ErrUnknownOutcome) {
		return nil, err // the guard refuses handles under both: the same call again ends what was begun
	}
	if err != nil {
		return nil, errors.Join(err, undo(ctx))
	}
	if err := done(ctx); err != nil {
		return nil, err
	}
	return r.Get(ctx, old.Hostname)
}

// usable is Get for a caller that is going to write. Errors: also [ErrTooNew].
func (r *Registry) usable(ctx context.Context, hostname string) (*Tenant, error) {
	t, err := r.Get(ctx, hostname)
	if err != nil {
		return nil, err
	}
	return r.Ready(ctx, t)
}

func (r *Registry) applySettings(ctx context.Context, q *controldb.Queries, row controldb.Tenant, patch map[string]string) error {
	picked, err := parseChosen(row.Settings)
	if err != nil {
		return err
	}
	if picked, err = picked.apply(patch); err != nil {
		return err
	}
	stored, err := json.Marshal(picked)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	revision, err := q.LockNextCounter(ctx, counterRevision)
	if err != nil {
		return fmt.Errorf("take a revision: %w", err)
	}
	_, err = q.UpdateTenantSettings(ctx, controldb.UpdateTenantSettingsParams{TenantID: row.TenantID, Settings: stored, Revision: revision})
	if err != nil {
		return fmt.Errorf("store settings: %w", err)
	}
	return nil
}

// SetAdminPassword replaces the password of HTTP Basic user admin; "" switches Basic off. Live everywhere within about
// a second, as settings are.
func (r *Registry) SetAdminPassword(ctx context.Context, hostname, password string) error {
	t, err := r.usable(ctx, hostname)
	if err != nil {
		return err
	}
	if password != "" {
		if err := checkAdminPassword(&t.Settings, password); err != nil {
			return err
		}
	}
	err = r.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if password == "" {
			_, err := q.DeleteSecret(ctx, SecretAdminPassword)
			return err
		}
		return r.storeAdminPassword(ctx, q, t.Schema, password)
	})
	if err != nil {
		return fmt.Errorf("store admin password of %s: %w", t.Hostname, err)
	}
	// A new revision tells every process to forget the secrets it holds.
	_, err = r.Set(ctx, t.Hostname, nil)
	return err
}

func (r *Registry) storeAdminPassword(ctx context.Context, q *tenantdb.Queries, schema db.Schema, password string) error {
	sum := sha256.Sum256([]byte(password))
	sealed, err := r.keys.Seal(AdminPasswordBinding(schema), sum[:])
	if err != nil {
		return fmt.Errorf("seal admin password: %w", err)
	}
	return q.UpsertSecret(ctx, tenantdb.UpsertSecretParams{Purpose: SecretAdminPassword, Sealed: sealed, CreatedAt: r.now().UTC().Truncate(time.Microsecond)})
}

// AdminPasswordBinding is what the sealed SHA-256 of the admin password is bound to. A fast hash is enough under the
// master key: whoever could try passwords on it holds every signing key as well.
func AdminPasswordBinding(schema db.Schema) keyring.Binding {
	return keyring.Binding{Schema: schema.String(), Purpose: SecretAdminPassword}
}

// checkAdminPassword holds the operator's password to the same rule as people's.
func checkAdminPassword(s *Settings, password string) error {
	if n := utf8.RuneCountInString(password); n < s.PasswordMinLength || n > 256 {
		return fmt.Errorf("%w: admin password: must have %d to 256 characters", ErrBadSetting, s.PasswordMinLength)
	}
	return nil
}

// SetSMTP gives the tenant a mail server of its own, as the URL that mail.ParseServer takes; "" goes back to the
// deployment's. The caller has checked it. Live everywhere within about a second, as settings are.
func (r *Registry) SetSMTP(ctx context.Context, hostname, url string) error {
	t, err := r.usable(ctx, hostname)
	if err != nil {
		return err
	}
	err = r.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if url == "" {
			_, err := q.DeleteSecret(ctx, SecretSMTP)
			return err
		}
		sealed, err := r.keys.Seal(SMTPBinding(t.Schema), []byte(url))
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		return q.UpsertSecret(ctx, tenantdb.UpsertSecretParams{Purpose: SecretSMTP, Sealed: sealed, CreatedAt: r.now().UTC().Truncate(time.Microsecond)})
	})
	if err != nil {
		return fmt.Errorf("store mail server of %s: %w", t.Hostname, err)
	}
	_, err = r.Set(ctx, t.Hostname, nil)
	return err
}

// SMTPBinding is what the sealed URL of the tenant's mail server is bound to.
func SMTPBinding(schema db.Schema) keyring.Binding {
	return keyring.Binding{Schema: schema.String(), Purpose: SecretSMTP}
}

// CredentialsKey opens the key of what the tenant's accounts are given to type: mailed tokens and app passwords.
// Tenants that are older than this key get one. It asks the database: package auth remembers it.
func CredentialsKey(ctx context.Context, d *db.DB, keys *keyring.Keyring, schema db.Schema, now time.Time) (*keyring.MAC, error) {
	q := d.Tenant(schema).Q()
	row, err := q.GetSecret(ctx, SecretCredentials)
	if db.IsNoRows(err) {
		sealed, genErr := keys.GenerateMACKey(schema.String(), SecretCredentials)
		if genErr != nil {
			return nil, fmt.Errorf("make credentials key: %w", genErr)
		}
		if err := q.InsertSecret(ctx, tenantdb.InsertSecretParams{Purpose: SecretCredentials, Sealed: sealed, CreatedAt: now.UTC()}); err != nil {
			return nil, fmt.Errorf("store credentials key: %w", err)
		}
		row, err = q.GetSecret(ctx, SecretCredentials) // another process may have been first
	}
	if err != nil {
		return nil, fmt.Errorf("credentials key: %w", err)
	}
	mac, err := keys.MAC(schema.String(), SecretCredentials, row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("credentials key: %w", err)
	}
	return mac, nil
}

// CheckKeys tells whether the master key is the one that the tenants' secrets are sealed under, by a tenant's rotation
// key. Errors: [ErrMasterKey].
func (r *Registry) CheckKeys(ctx context.Context) error {
	all, err := r.List(ctx)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t, err = r.Ready(ctx, t); err != nil {
			if ctx.Err() != nil || db.IsUnavailable(err) {
				return err
			}
			continue
		}
		_, err := r.RotationSigner(ctx, t)
		if errors.Is(err, keyring.ErrSealed) {
			return fmt.Errorf("%w: %w", ErrMasterKey, err)
		}
		if err == nil || ctx.Err() != nil || db.IsUnavailable(err) {
			return err
		}
		// A tenant that is being made has no key yet: another one tells.
	}
	return nil
}

// keysAsked is how many tenants tell whether a serving process has the right master key.
const keysAsked = 5

// KeyFits is [Registry.CheckKeys] for a process that serves. It migrates nothing and asks a few tenants, others each
// time. A tenant whose secret is damaged proves nothing: only where none of theirs opens is the key another one. Errors:
// [ErrMasterKey].
func (r *Registry) KeyFits(ctx context.Context) error {
	ix := r.current.Load()
	if ix == nil {
		return nil
	}
	var last error
	asked := 0
	for _, t := range ix.byID { // in no order
		if asked == keysAsked {
			break
		}
		if t.behind || t.Usable() != nil {
			continue
		}
		_, err := r.RotationSigner(ctx, t)
		if errors.Is(err, keyring.ErrSealed) || errors.Is(err, keyring.ErrUnknownMaster) {
			asked, last = asked+1, err
			continue
		}
		return nil // it opens; or the database does not answer, which is another matter
	}
	if last != nil {
		return fmt.Errorf("%w: %w", ErrMasterKey, last)
	}
	return nil
}

// RotationSigner opens the key that signs the tenant's PLC operations. It asks the database: fetch it before a
// transaction begins.
func (r *Registry) RotationSigner(ctx context.Context, t *Tenant) (*keyring.Signer, error) {
	row, err := r.db.Tenant(t.Schema).Q().GetSecret(ctx, SecretPLCRotation)
	if err != nil {
		return nil, fmt.Errorf("rotation key of %s: %w", t.Hostname, err)
	}
	signer, err := r.keys.RotationSigner(t.Schema.String(), row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("rotation key of %s: %w", t.Hostname, err)
	}
	return signer, nil
}
