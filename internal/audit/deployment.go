package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/controldb"
)

// Begun is the outcome of a change to the deployment while it is made. It stays where the process died meanwhile.
const Begun = "begun"

// DeploymentEntry is a line of the deployment's own log: what was done to it and to whole tenants.
type DeploymentEntry struct {
	Entry
	TenantID int64 `json:"tenantId,omitempty"`
}

// Begin writes a line before the change that it is about, as [Begun], and gives its id. role is the number that the role
// is stored as; detail becomes JSON: never put a secret there. ID, Role and Outcome of e are not looked at.
func Begin(ctx context.Context, q *controldb.Queries, e DeploymentEntry, role int16, detail any) (id string, err error) {
	id = newID(e.At)
	text := []byte("{}")
	if detail != nil {
		if text, err = json.Marshal(detail); err != nil {
			return "", fmt.Errorf("audit %s: %w", e.Action, err)
		}
		text = shortened(text)
	}
	subject := e.Subject
	if len(subject) > maxSubject {
		subject = subject[:maxSubject]
	}
	err = q.InsertAudit(ctx, controldb.InsertAuditParams{
		AuditID: id, At: e.At, Who: storable(e.Who), Role: role, Action: e.Action, TenantID: e.TenantID, Subject: storable(subject), Detail: string(text),
		Address: e.Address, RequestID: e.RequestID, Outcome: Begun,
	})
	if err != nil {
		return "", fmt.Errorf("audit %s: %w", e.Action, err)
	}
	return id, nil
}

// End says what came of it, and which tenant it was about: one that was made had no number before. 0: none.
func End(ctx context.Context, q *controldb.Queries, id, outcome string, tenantID int64) error {
	if err := q.UpdateAuditOutcome(ctx, controldb.UpdateAuditOutcomeParams{AuditID: id, Outcome: outcome, TenantID: tenantID}); err != nil {
		return fmt.Errorf("audit %s: %w", id, err)
	}
	return nil
}

// DeploymentFilter selects lines; empty members select all.
type DeploymentFilter struct {
	Since    time.Time // from then on
	Before   string    // the last ID of the page before
	TenantID int64
	Who      string
	Action   string
}

// youngest is behind every ID.
const youngest = "g"

// ListDeployment gives a page of up to limit lines, newest first, and whether there may be more behind it.
func ListDeployment(ctx context.Context, q *controldb.Queries, f DeploymentFilter, limit int, roleName func(int16) string) (page []DeploymentEntry, more bool, err error) {
	before, since := f.Before, ""
	if before == "" {
		before = youngest
	}
	if !f.Since.IsZero() {
		since = timePart(f.Since)
	}
	rows, err := q.ListAudit(ctx, controldb.ListAuditParams{Before: before, Since: since, TenantID: f.TenantID, Who: f.Who, Action: f.Action, MaxRows: int32(limit)})
	if err != nil {
		return nil, false, fmt.Errorf("list the deployment's log: %w", err)
	}
	page = make([]DeploymentEntry, len(rows))
	for i, r := range rows {
		page[i] = DeploymentEntry{Entry{
			ID: r.AuditID, At: r.At.UTC(), Who: r.Who, Role: roleName(r.Role), Action: r.Action, Subject: r.Subject,
			Address: r.Address, RequestID: r.RequestID, Outcome: r.Outcome,
		}, r.TenantID}
		if r.Detail != "{}" {
			page[i].Detail = json.RawMessage(r.Detail)
		}
	}
	return page, len(rows) == limit, nil
}

// storable is what Postgres takes as text.
func storable(s string) string {
	if !Searchable(s) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
