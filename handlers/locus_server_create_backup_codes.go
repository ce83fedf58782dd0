package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
)

// createBackupCodes draws backup codes anew, and shows them this one time.
// spec: lexicon org.auroralocus.server.createBackupCodes
func (m locusServerMethods) createBackupCodes(ctx context.Context, c xrpc.AccountCaller, in *locusServerCreateBackupCodesInput) (*locusServerCreateBackupCodesOutput, error) {
	codes, err := m.acts.DrawBackupCodes(ctx, c.Tenant, owner(c), act.Proof{Password: in.Body.Password, Code: in.Body.Code})
	if err != nil {
		return nil, err
	}
	out := new(locusServerCreateBackupCodesOutput)
	out.Body.BackupCodes = codes
	return out, nil
}
