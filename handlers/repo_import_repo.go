package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// importRepo makes the caller's repository the one that an archive holds, for an account that moves here. Nothing is
// told to subscribers before the account is activated.
// spec: lexicon com.atproto.repo.importRepo
func (m repoMethods) importRepo(ctx context.Context, c xrpc.AccountCaller, in *repoImportRepoInput) (*repoImportRepoOutput, error) {
	if !c.Tenant.Settings.AcceptRepoImports {
		return nil, xrpc.Invalid("Service is not accepting repo imports")
	}
	if err := m.usage.MayAdd(c.Tenant); err != nil {
		return nil, err
	}
	if err := m.repos.Import(ctx, c.Path(), c.Tenant.Schema, c.AID, c.DID, m.quota(c.Tenant), in.Stream()); err != nil {
		return nil, err
	}
	return &repoImportRepoOutput{}, nil
}

// importLimit is the tenant's; 0 is none.
func importLimit(v xrpc.Visitor) int64 { return v.Tenant.Settings.MaxRepoImportSize }
