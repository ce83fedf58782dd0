package handlers

import (
	"bytes"
	"context"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/xrpc"
)

// maxReport is the longest answer to a report.
const maxReport = 256 << 10

// createReport hands a report, or a taken-down account's appeal, to the service that the header names, or to the tenant's
// report service. The body was held against its lexicon.
// spec: lexicon com.atproto.moderation.createReport
func (m moderationNamespace) createReport(ctx context.Context, c xrpc.AccountCaller, in *moderationCreateReportInput) (*moderationCreateReportOutput, error) {
	if m.proxy == nil {
		return nil, &proxy.NoServiceError{NSID: methodCreateReport}
	}
	wish, err := m.proxy.Wish(c.Tenant, methodCreateReport, c.Header("Atproto-Proxy"))
	if err != nil {
		return nil, err
	}
	if err := mayCall(c.Account, wish.Reference(), methodCreateReport); err != nil {
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
	answer, err := m.proxy.Do(ctx, &proxy.Call{
		Caller: proxyCaller(c.Visitor, c.Account), Target: target, NSID: methodCreateReport, Method: http.MethodPost,
		Header: header, Body: &read{*bytes.NewReader(text)}, Length: int64(len(text)),
	})
	if err != nil {
		return nil, ofCall(err)
	}
	text, err = answer.ReadAll(maxReport)
	if err != nil {
		return nil, err
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
