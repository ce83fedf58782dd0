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
	xrpc.Account(g, xrpc.Procedure(methodCreateReport).Takes(auth.Std|auth.OrTakendown).Noting("elsewhere"), mayReport, m.createReport)
}

const methodCreateReport = "com.atproto.moderation.createReport"

// mayReport is asked again when it is known which service is called: see [mayCall].
func mayReport(c xrpc.AccountCaller, _ *moderationCreateReportInput) error {
	return mayCall(c.Account, "", methodCreateReport)
}
