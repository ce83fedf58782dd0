package tenant

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

// SetCaptcha says which service tells people from programs where an account is opened: [CaptchaHCaptcha] or
// [CaptchaTurnstile] with its two keys, or [CaptchaNone]. The secret key is stored sealed. Live everywhere within about a
// second, as settings are. Errors: [ErrBadSetting], [ErrNotFound].
func (r *Registry) SetCaptcha(ctx context.Context, hostname, kind, siteKey, secret string) error {
	t, err := r.usable(ctx, hostname)
	if err != nil {
		return err
	}
	if kind != CaptchaNone && (siteKey == "" || secret == "") {
		return fmt.Errorf("%w: captcha: %s needs a site key and a secret key", ErrBadSetting, kind)
	}
	patch := map[string]string{"captcha": kind, "captcha_site_key": siteKey}
	if kind == CaptchaNone {
		// First nobody is asked any more, and then the key goes.
		if _, err := r.Set(ctx, t.Hostname, patch); err != nil {
			return err
		}
		if _, err := r.db.Tenant(t.Schema).Q().DeleteSecret(ctx, SecretCaptcha); err != nil {
			return fmt.Errorf("delete captcha key of %s: %w", t.Hostname, err)
		}
		return nil
	}
	sealed, err := r.keys.Seal(captchaBinding(t.Schema), []byte(secret))
	if err != nil {
		return fmt.Errorf("seal captcha key: %w", err)
	}
	err = r.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return q.UpsertSecret(ctx, tenantdb.UpsertSecretParams{Purpose: SecretCaptcha, Sealed: sealed, CreatedAt: r.now().UTC().Truncate(time.Microsecond)})
	})
	if err != nil {
		return fmt.Errorf("store captcha key of %s: %w", t.Hostname, err)
	}
	_, err = r.Set(ctx, t.Hostname, patch)
	return err
}

// CaptchaSecret is the secret key that [Registry.SetCaptcha] stored. It asks the database: sign-ups are few.
func (r *Registry) CaptchaSecret(ctx context.Context, t *Tenant) (string, error) {
	row, err := r.db.Tenant(t.Schema).Q().GetSecret(ctx, SecretCaptcha)
	if err != nil {
		return "", fmt.Errorf("captcha key of %s: %w", t.Hostname, err)
	}
	secret, err := r.keys.Open(captchaBinding(t.Schema), row.Sealed)
	if err != nil {
		return "", fmt.Errorf("captcha key of %s: %w", t.Hostname, err)
	}
	return string(secret), nil
}

func captchaBinding(schema db.Schema) keyring.Binding {
	return keyring.Binding{Schema: schema.String(), Purpose: SecretCaptcha}
}
