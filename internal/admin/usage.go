package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/usage"
)

// usageOperations are what is billed.
type usageOperations struct {
	db  *db.DB
	now func() time.Time
}

func (o usageOperations) register(g *group) {
	const text = "Days are those of UTC. Requests and bytes of a day grow until it is over, and a minute longer; accounts, records, files and events are gauged shortly after its end. Days are kept for 400 days."
	billing(g, get("/v1/usage", "listUsage", "List what all tenants used, by day and tenant.").saying(text), o.list)
	tenantBiller(g, get("/v1/tenants/{tenant}/usage/now", "getTenantUsage", "Show what one tenant has at the moment.").
		saying("Requests and bytes are those of today up to a minute ago, events those of today."), o.present)
	tenantBiller(g, get("/v1/tenants/{tenant}/usage", "listTenantUsage", "List what one tenant used, by day.").saying(text), o.listOne)
}

// UsageDay is what a tenant used on a day.
type UsageDay struct {
	TenantID       int64      `json:"tenantId" doc:"The tenant's number."`
	Hostname       string     `json:"hostname" doc:"Its hostname on that day."`
	Day            string     `json:"day" format:"date" doc:"The day."`
	Requests       int64      `json:"requests" doc:"Requests that it was asked."`
	EgressBytes    int64      `json:"egressBytes" doc:"Bytes of answers and streams."`
	Accounts       int64      `json:"accounts" doc:"Accounts at the day's end."`
	ActiveAccounts int64      `json:"activeAccounts" doc:"Of them, those that wrote on that day."`
	Records        int64      `json:"records" doc:"Records at the day's end."`
	RecordBytes    int64      `json:"recordBytes" doc:"What they took."`
	Blobs          int64      `json:"blobs" doc:"Files at the day's end."`
	BlobBytes      int64      `json:"blobBytes" doc:"What they took."`
	Events         int64      `json:"events" doc:"Events of the stream on that day."`
	GaugedAt       *time.Time `json:"gaugedAt,omitempty" doc:"When the members from accounts to events were read; missing: not yet, and they are 0."`
}

// UsagePeriod selects days. Huma finds the defaults of exported types only.
type UsagePeriod struct {
	From   string `query:"from" format:"date" required:"true" doc:"First day." example:"2026-01-01"`
	To     string `query:"to" format:"date" required:"true" doc:"Last day." example:"2026-01-31"`
	Cursor string `query:"cursor" maxLength:"40" doc:"The cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"500" doc:"How many at most."`
}

func dayOf(d usage.Day) UsageDay {
	return UsageDay{
		d.TenantID, d.Hostname, d.Day.Format(time.DateOnly), d.Requests, d.EgressBytes, d.Accounts, d.ActiveAccounts,
		d.Records, d.RecordBytes, d.Blobs, d.BlobBytes, d.Events, d.GaugedAt,
	}
}

type usageNowOutput struct{ Body UsageDay }

func (o usageOperations) present(ctx context.Context, c TenantBiller, _ *TenantPath) (*usageNowOutput, error) {
	d, err := usage.Now(ctx, o.db, c.Tenant, o.now())
	if err != nil {
		return nil, err
	}
	return &usageNowOutput{dayOf(d)}, nil
}

type usageOutput struct {
	Body struct {
		Days   []UsageDay `json:"days" doc:"The page."`
		Cursor string     `json:"cursor,omitempty" doc:"There may be more: give this for the next page."`
	}
}

func (o usageOperations) list(ctx context.Context, _ BillingCaller, in *UsagePeriod) (*usageOutput, error) {
	return o.page(ctx, in, 0)
}

type tenantUsageInput struct {
	TenantPath
	UsagePeriod
}

func (o usageOperations) listOne(ctx context.Context, c TenantBiller, in *tenantUsageInput) (*usageOutput, error) {
	return o.page(ctx, &in.UsagePeriod, c.Tenant.ID)
}

func (o usageOperations) page(ctx context.Context, in *UsagePeriod, tenantID int64) (*usageOutput, error) {
	p := usage.Period{TenantID: tenantID}
	var err error
	if p.From, err = usage.ParseDay(in.From); err != nil {
		return nil, err
	}
	if p.To, err = usage.ParseDay(in.To); err != nil {
		return nil, err
	}
	var after usage.Place
	if in.Cursor != "" {
		var text string
		if _, err := fmt.Sscanf(in.Cursor, "%10s.%d", &text, &after.TenantID); err != nil {
			return nil, refuse(http.StatusBadRequest, codeInvalid, "cursor is not one of ours")
		}
		if after.Day, err = usage.ParseDay(text); err != nil {
			return nil, refuse(http.StatusBadRequest, codeInvalid, "cursor is not one of ours")
		}
	}
	days, end, more, err := usage.List(ctx, o.db, p, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := new(usageOutput)
	out.Body.Days = make([]UsageDay, len(days))
	for i, d := range days {
		out.Body.Days[i] = dayOf(d)
	}
	if more {
		out.Body.Cursor = fmt.Sprintf("%s.%d", end.Day.Format(time.DateOnly), end.TenantID)
	}
	return out, nil
}
