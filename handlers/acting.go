package handlers

import (
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/mail"
)

// stranger is a caller without an account as acts know it.
func stranger(v visitor) act.Visitor {
	return act.Visitor{Language: language(v), From: v.path(), Asks: v.asker(), Counted: v.limited()}
}

// owner is a caller with an account as acts know it.
func owner(c accountCaller) act.Owner {
	return act.Owner{Account: c.Account, Visitor: stranger(c.visitor), Address: c.Addr().String(), RequestID: c.requestID()}
}

// language is what the visitor reads, as far as there are texts in it.
func language(v visitor) string {
	return mail.Match(v.Header("Accept-Language"), v.Tenant.Settings.MailLanguage)
}
