package handlers

import (
	"encoding/json"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/syntax"
)

// locusAdminMethods are org.auroralocus.admin.*: what operators see and do here that com.atproto has no methods for.
type locusAdminMethods struct {
	acts *act.Acts
	db   *db.DB
	now  func() time.Time
}

func (m locusAdminMethods) register(g *xrpc.Group) {
	xrpc.Operator(g, xrpc.Query("org.auroralocus.admin.queryAuditLog").Answers(2*rowsAnswer), auth.RoleAdmin, m.queryAuditLog)
	xrpc.Operator(g, xrpc.Query("org.auroralocus.admin.exportAuditLog").Answers(2*rowsAnswer), auth.RoleAdmin, m.exportAuditLog)
	xrpc.Operator(g, xrpc.Query("org.auroralocus.admin.getUsage"), auth.RoleSupport, m.getUsage)
	xrpc.Operator(g, xrpc.Query("org.auroralocus.admin.listUsage").Answers(rowsAnswer/4), auth.RoleSupport, m.listUsage)
	xrpc.Operator(g, xrpc.Procedure("org.auroralocus.admin.setBlobLimit"), auth.RoleAdmin, m.setBlobLimit)
	xrpc.Operator(g, xrpc.Procedure("org.auroralocus.admin.setRecordLimits"), auth.RoleAdmin, m.setRecordLimits)
}

func roleName(n int16) string { return auth.Role(n).String() }

// auditFilter reads what both methods of the log select by.
func auditFilter(actor, action, subject string, since, until xrpc.Datetime) (audit.Filter, error) {
	f := audit.Filter{Who: actor, Action: action, Subject: subject}
	for name, text := range map[string]string{"actor": actor, "action": action, "subject": subject} {
		if !audit.Searchable(text) {
			return f, xrpc.Invalid("%s must be text without zero bytes", name)
		}
	}
	for _, one := range []struct {
		name string
		text xrpc.Datetime
		at   *time.Time
	}{{"since", since, &f.Since}, {"until", until, &f.Until}} {
		if one.text == "" {
			continue
		}
		at, ok := syntax.ParseDatetime(string(one.text))
		if !ok {
			return f, xrpc.Invalid("%s must be a datetime", one.name)
		}
		*one.at = at
	}
	return f, nil
}

func auditView(e audit.Entry) locusAdminDefsAuditEntry {
	return locusAdminDefsAuditEntry{
		ID: e.ID, At: datetime(e.At), Who: e.Who, Role: e.Role, Action: e.Action, Subject: e.Subject, Detail: xrpc.RawJSON(json.RawMessage(e.Detail)),
		Address: e.Address, RequestId: e.RequestID, Outcome: e.Outcome,
	}
}
