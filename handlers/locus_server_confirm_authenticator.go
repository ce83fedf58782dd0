package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

// confirmAuthenticator switches an authenticator app on, by a code that it shows. The password was asked for when it was
// begun.
// spec: lexicon org.auroralocus.server.confirmAuthenticator
func (m locusServerMethods) confirmAuthenticator(ctx context.Context, c accountCaller, in *locusServerConfirmAuthenticatorInput) (*locusServerConfirmAuthenticatorOutput, error) {
	out := new(locusServerConfirmAuthenticatorOutput)
	err := m.protect(ctx, c, nil, func(ctx context.Context, p protection) (err error) {
		if err := accounts.ConfirmAuthenticator(ctx, p.q, m.server.keys, c.Tenant.Schema, m.now(), c.AID, in.Body.Code); err != nil {
			return err
		}
		if out.Body.BackupCodes, err = accounts.ReplaceBackupCodes(ctx, p.q, p.secrets.Typed(), c.AID); err != nil {
			return err
		}
		return p.tell(ctx, mail.KindAppFactorOn)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
