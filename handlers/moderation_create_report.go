package handlers

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/xrpc"
)

// createReport hands a report, or a taken-down account's appeal, to the service that the header names, or to the tenant's
// report service. The body was held against its lexicon.
// spec: lexicon com.atproto.moderation.createReport
func (m moderationNamespace) createReport(ctx context.Context, c xrpc.AccountCaller, in *moderationCreateReportInput) (*moderationCreateReportOutput, error) {
	wish, err := m.proxy.Wish(c.Tenant, methodCreateReport, c.Header("Atproto-Proxy"))
	if err != nil {
		return nil, err
	}
	target, err := m.proxy.Find(ctx, c.Asker(), wish)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(in.Body)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for _, name := range []string{"Accept-Language", "Atproto-Accept-Labelers"} {
		if value := c.Header(name); value != "" {
			header.Set(name, value)
		}
	}
	text, err = m.proxy.SendReport(ctx, proxyCaller(c.Visitor, c.Account), target, header, text)
	if err != nil {
		return nil, ofCall(err)
	}
	out := new(moderationCreateReportOutput)
	if err := json.Unmarshal(text, &out.Body); err != nil || !isReport(&out.Body) {
		return nil, proxy.ErrEncoding
	}
	return out, nil
}

// isReport says whether a service's answer has what clients are promised.
func isReport(r *moderationCreateReportOutputBody) bool {
	about := r.Subject.RepoRef != nil || r.Subject.RepoStrongRef != nil || r.Subject.Other != nil
	return about && r.ReasonType != "" && r.ReportedBy != "" && r.CreatedAt != ""
}
