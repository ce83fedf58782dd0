package act

import (
	"context"
	"net/netip"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/agent"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// note writes what was done into the account's own log, in the transaction that does it: late in it, and before events.
func (a *Acts) note(ctx context.Context, q *tenantdb.Queries, v Visitor, aid int64, what accounts.Event, detail string) error {
	log, err := accounts.LockLog(ctx, q, aid)
	if err != nil {
		return err
	}
	log.Add(v.activity(a, what, detail))
	return log.Store(ctx, q)
}

// signedIn writes a sign-in into the account's own log, in the transaction that begins it, and queues a mail about a
// device that was not seen for long. Whoever calls it wakes the outbox afterwards.
func (a *Acts) signedIn(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, v Visitor, who *accounts.Account, via accounts.Via, detail string) error {
	return a.came(ctx, q, t, v, who, accounts.EventSignIn, via, detail)
}

// came is signedIn, and also for somebody who has signed up: of that nobody is told.
func (a *Acts) came(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, v Visitor, who *accounts.Account, what accounts.Event, via accounts.Via, detail string) error {
	log, err := accounts.LockLog(ctx, q, who.AID)
	if err != nil {
		return err
	}
	line := v.activity(a, what, detail)
	line.Via = via
	tell := log.SignedIn(line, v.place())
	if err := log.Store(ctx, q); err != nil || !tell {
		return err
	}
	return a.tellOwner(ctx, q, t, who, mail.Note{
		Kind: mail.KindNewDevice, Lang: v.Language, Date: line.At.UTC().Format("2006-01-02 15:04 UTC"), Detail: strings.Join(nonEmpty(line.Agent, line.Address), ", "),
	})
}

// activity is a line of an account's log about what the visitor does.
func (v Visitor) activity(a *Acts, what accounts.Event, detail string) accounts.Activity {
	return accounts.Activity{At: a.Now(), What: what, Address: v.address(), Agent: agent.Words(v.Agent), Detail: detail}
}

// place tells where a visitor comes from, from others: a browser by its cookie, a program by its name and its network.
func (v Visitor) place() string {
	if v.Browser != "" {
		return "browser " + v.Browser
	}
	network := v.address()
	if p, err := netip.ParsePrefix(network); err == nil && p.Addr().Is6() {
		network = netip.PrefixFrom(p.Addr(), 48).Masked().String()
	} else if at, err := netip.ParseAddr(network); err == nil && at.Is4() {
		network = netip.PrefixFrom(at, 24).Masked().String()
	}
	return "program " + agent.Family(v.Agent) + " " + network
}

func nonEmpty(all ...string) (out []string) {
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
