package handlers

import (
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/xrpc"
)

// stranger is a caller without an account as acts know it.
func stranger(v xrpc.Visitor) act.Visitor {
	return act.Visitor{Language: language(v), From: v.Path(), Asks: v.Asker(), Counted: v.Limited(), Agent: v.Header("User-Agent")}
}

// owner is a caller with an account as acts know it.
func owner(c xrpc.AccountCaller) act.Owner {
	return act.Owner{Account: c.Account, Visitor: stranger(c.Visitor), Address: c.Addr().String(), RequestID: c.RequestID()}
}

// language is what the visitor reads, as far as there are texts in it.
func language(v xrpc.Visitor) string {
	return mail.Match(v.Header("Accept-Language"), v.Tenant.Settings.MailLanguage)
}
