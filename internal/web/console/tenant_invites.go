package console

import (
	"net/http"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/syntax"
)

// registerInvites are a tenant's invite codes.
func (s *Server) registerInvites() {
	s.look("/invites", supporter, func(v *Visit) error { return v.invites(http.StatusOK) })
	s.send("/invites", admin, (*Visit).createInvites)
	s.send("/invites/disable", moderator, func(v *Visit) error {
		code := v.Form.Text("code")
		if code == "" {
			return errNoForm
		}
		if err := v.s.Acts.DisableInvites(v.ctx(), v.Tenant, v.By(), []string{code}, nil); err != nil {
			return v.refusedForm(err, v.invites)
		}
		return v.Done(v.TenantPath("/invites"), "%s opens no account any more.", code)
	})
}

const (
	// invitesPerPage is how many codes are listed.
	invitesPerPage = 50
	// usesShown is how many accounts are named that came by one code.
	usesShown = 5
)

// invitesPage is a page of the list, newest first.
type invitesPage struct {
	Invites []account.Invite
	Admin   string // whose codes are the operators'
	ahead
}

// Some are the first accounts that came by a code, and More says how many others did.
func (*invitesPage) Some(i account.Invite) []account.InviteUse {
	return i.Uses[:min(len(i.Uses), usesShown)]
}

// More is how many are left out.
func (*invitesPage) More(i account.Invite) int { return max(0, len(i.Uses)-usesShown) }

func (v *Visit) invites(status int) error {
	p := &invitesPage{Admin: account.InviteAdmin}
	from := v.sought("cursor")
	var next string
	var err error
	if p.Invites, next, err = account.Invites(v.ctx(), v.q(), false, from, invitesPerPage); err != nil {
		return err
	}
	p.ahead = v.goes("/invites", "cursor", from, next)
	return v.Show(status, "tenant_invites", p)
}

// mostInvites is how many codes are made by one form.
const mostInvites = 500

func (v *Visit) createInvites() error {
	fail := func(err error) error { return v.refusedForm(err, v.invites) }
	count, err := v.integer("count", 1)
	if err != nil {
		return fail(err)
	}
	uses, err := v.integer("uses", 1)
	if err != nil {
		return fail(err)
	}
	if count < 1 || count > mostInvites || uses < 1 || uses > 1_000_000 {
		return fail(&problem{status: http.StatusBadRequest, title: "The codes cannot be so", text: "1 to 500 codes are made at once, and each opens 1 to 1000000 accounts."})
	}
	var owners []string
	if of := v.Form.Text("for"); of != "" {
		who, err := account.ByIdentifier(v.ctx(), v.q(), named(of))
		if err != nil || !syntax.DID.Is(who.DID) {
			return fail(&problem{status: http.StatusBadRequest, title: "There is no such account", text: "Enter the DID, handle or address of an account of this tenant, or nothing."})
		}
		owners = []string{who.DID}
	}
	if _, err := v.s.Acts.Invites(v.ctx(), v.Tenant, v.By(), owners, count, uses); err != nil {
		return fail(err)
	}
	if count == 1 {
		return v.Done(v.TenantPath("/invites"), "The code is made: it is the first in the list.")
	}
	return v.Done(v.TenantPath("/invites"), "%d codes are made: they are the first in the list.", count)
}
