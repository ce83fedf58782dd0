package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
)

// deploymentOperations are about the deployment itself.
type deploymentOperations struct {
	db      *db.DB
	version string
}

func (o deploymentOperations) register(g *group) {
	support(g, get("/v1/audit", "listAudit", "List what was done to the deployment and to whole tenants, the newest first."), o.audit)
	tenantReader(g, get("/v1/tenants/{tenant}/audit", "listTenantAudit", "List what was done to one tenant as a whole, the newest first."), o.auditOne)
}

// AuditEntry is a line of the log.
type AuditEntry struct {
	ID        string          `json:"id" doc:"Rises with time."`
	At        time.Time       `json:"at" doc:"When it was begun."`
	Who       string          `json:"who" doc:"A token (token:id label), a user of the command line (cli:name), or locus itself."`
	Role      string          `json:"role" doc:"The role it had."`
	Action    string          `json:"action" doc:"What was done."`
	TenantID  int64           `json:"tenantId,omitempty" doc:"Number of the tenant that it was done to."`
	Subject   string          `json:"subject,omitempty" doc:"A hostname, a token's id, a job's id."`
	Detail    json.RawMessage `json:"detail,omitempty" doc:"What exactly, without secrets."`
	Address   string          `json:"address,omitempty" doc:"Where the call came from."`
	RequestID string          `json:"requestId,omitempty" doc:"X-Request-Id of the call."`
	Outcome   string          `json:"outcome" doc:"done, begun (the process died meanwhile, or is at it), or why not."`
}

// AuditPage selects lines of the log. Huma finds the defaults of exported types only.
type AuditPage struct {
	Since  string `query:"since" format:"date-time" doc:"From then on."`
	Who    string `query:"who" maxLength:"200" doc:"Only of one."`
	Action string `query:"action" maxLength:"100" doc:"Only one action, such as tenant set."`
	Cursor string `query:"cursor" maxLength:"24" doc:"The cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most."`
}

type auditOutput struct {
	Body struct {
		Entries []AuditEntry `json:"entries" doc:"The page."`
		Cursor  string       `json:"cursor,omitempty" doc:"There may be more: give this for the next page."`
	}
}

func (o deploymentOperations) audit(ctx context.Context, _ SupportCaller, in *AuditPage) (*auditOutput, error) {
	return o.page(ctx, in, 0)
}

type tenantAuditInput struct {
	TenantPath
	AuditPage
}

func (o deploymentOperations) auditOne(ctx context.Context, c TenantReader, in *tenantAuditInput) (*auditOutput, error) {
	return o.page(ctx, &in.AuditPage, c.Tenant.ID)
}

func (o deploymentOperations) page(ctx context.Context, in *AuditPage, tenantID int64) (*auditOutput, error) {
	f := audit.DeploymentFilter{TenantID: tenantID, Who: in.Who, Action: in.Action, Before: in.Cursor}
	if in.Cursor != "" && !audit.IsID(in.Cursor) {
		return nil, refuse(http.StatusBadRequest, codeInvalid, "cursor is not one of ours")
	}
	if !audit.Searchable(in.Who) || !audit.Searchable(in.Action) {
		return nil, refuse(http.StatusBadRequest, codeInvalid, "who and action are text")
	}
	if in.Since != "" {
		var err error
		if f.Since, err = time.Parse(time.RFC3339, in.Since); err != nil {
			return nil, refuse(http.StatusBadRequest, codeInvalid, "since is no time like 2026-01-31T00:00:00Z")
		}
	}
	list, more, err := audit.ListDeployment(ctx, o.db.Control(), f, in.Limit, func(role int16) string { return auth.DeploymentRole(role).String() })
	if err != nil {
		return nil, err
	}
	out := new(auditOutput)
	out.Body.Entries = make([]AuditEntry, len(list))
	for i, e := range list {
		out.Body.Entries[i] = AuditEntry{e.ID, e.At, e.Who, e.Role, e.Action, e.TenantID, e.Subject, e.Detail, e.Address, e.RequestID, e.Outcome}
	}
	if more {
		out.Body.Cursor = list[len(list)-1].ID
	}
	return out, nil
}
