package handlers

import (
	"context"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

// createBackupCodes draws backup codes anew, and shows them this one time.
// spec: lexicon org.auroralocus.server.createBackupCodes
func (m locusServerMethods) createBackupCodes(ctx context.Context, c accountCaller, in *locusServerCreateBackupCodesInput) (*locusServerCreateBackupCodesOutput, error) {
	out := new(locusServerCreateBackupCodesOutput)
	err := m.protect(ctx, c, &proof{in.Body.Password, in.Body.Code}, func(ctx context.Context, p protection) (err error) {
		if err := p.hasAuthenticator(ctx); err != nil {
			return err
		}
		if out.Body.BackupCodes, err = accounts.ReplaceBackupCodes(ctx, p.q, p.secrets.Typed(), c.AID); err != nil {
			return err
		}
		return p.tell(ctx, mail.KindBackupCodes)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
