package handlers

import (
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/xrpc"
)

// moderationNamespace is what is served here of com.atproto.moderation.
type moderationNamespace struct {
	proxy *proxy.Proxy // nil: there is nobody to report to
}

func (m moderationNamespace) register(g *xrpc.Group) {
	xrpc.Account(g, xrpc.Procedure(methodCreateReport).Takes(auth.Std|auth.OrTakendown).Noting("elsewhere"), m.mayReport, m.createReport)
}

const methodCreateReport = "com.atproto.moderation.createReport"

// mayReport is asked of the service that the report goes to. Where there is none, nothing is sent.
func (m moderationNamespace) mayReport(c xrpc.AccountCaller, _ *moderationCreateReportInput) error {
	if m.proxy == nil {
		return &proxy.NoServiceError{NSID: methodCreateReport}
	}
	wish, err := m.proxy.Wish(c.Tenant, methodCreateReport, c.Header("Atproto-Proxy"))
	if err != nil {
		return err
	}
	return mayCall(c.Account, wish.Reference(), methodCreateReport)
}
