package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/audit"
)

// queryAuditLog gives a page of the audit log, newest first. The cursor is the last entry's id, so entries that are
// written meanwhile move nothing.
// spec: lexicon org.auroralocus.admin.queryAuditLog
func (m locusAdminMethods) queryAuditLog(ctx context.Context, c xrpc.OperatorCaller, in *locusAdminQueryAuditLogInput) (*locusAdminQueryAuditLogOutput, error) {
	f, err := auditFilter(in.Actor, in.Action, in.Subject, in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	if f.After = in.Cursor; f.After != "" && !audit.IsID(f.After) {
		return nil, xrpc.Invalid("Malformed cursor")
	}
	page, more, err := audit.Newest(ctx, m.db.Tenant(c.Tenant.Schema).Q(), f, int(in.Limit), roleName)
	if err != nil {
		return nil, err
	}
	out := new(locusAdminQueryAuditLogOutput)
	out.Body.Entries = make([]locusAdminDefsAuditEntry, len(page))
	for i, e := range page {
		out.Body.Entries[i] = auditView(e)
	}
	if more {
		out.Body.Cursor = page[len(page)-1].ID
	}
	return out, nil
}
