package account

import (
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/tenant"
)

// invitesPage is what the page of invite codes shows.
type invitesPage struct {
	Needed bool // this tenant asks for codes
	Codes  []code
	Due    int // codes that may be fetched
}

// code is an invite code, with what those are called who used it.
type code struct {
	accounts.Invite
	By []string
}

// usersNamed bounds how many of a code's users are named.
const usersNamed = 20

func invitesData(l *look) (any, error) {
	ctx, q := l.R.Context(), l.pages.db.Tenant(l.Tenant.Schema).Q()
	all, err := accounts.InvitesFor(ctx, q, []string{l.owner.DID})
	if err != nil {
		return nil, err
	}
	d := &invitesPage{Needed: l.Tenant.Settings.Signup == tenant.SignupInvite}
	var dids []string
	for _, i := range all[l.owner.DID] {
		for _, use := range i.Uses[:min(len(i.Uses), usersNamed)] {
			dids = append(dids, use.DID)
		}
	}
	names := map[string]string{}
	infos, err := accounts.Infos(ctx, q, dids[:min(len(dids), accounts.MaxInfos)])
	if err != nil {
		return nil, err
	}
	for _, i := range infos {
		names[i.DID] = i.Handle
	}
	for _, i := range all[l.owner.DID] {
		c := code{Invite: i}
		for _, use := range i.Uses[:min(len(i.Uses), usersNamed)] {
			c.By = append(c.By, nameOf(names[use.DID], use.DID))
		}
		d.Codes = append(d.Codes, c)
	}
	if l.Who.Active() && !l.Who.InvitesDisabled {
		d.Due = accounts.InvitesDue(&l.Tenant.Settings, l.Who.CreatedAt, l.Now(), all[l.owner.DID])
	}
	return d, nil
}

func dueInvites(l *look) error {
	if _, err := l.pages.acts.OwnInvites(l.R.Context(), l.Tenant, l.owner, true); err != nil {
		return err
	}
	return l.Redirect(l.Path("invites"))
}
