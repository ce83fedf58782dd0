package account

import (
	"errors"
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/identity"
)

// handlePage is what the page of the handle shows.
type handlePage struct {
	Domains     []string // under which names are given away, without the dot
	Name        string   // entered, or the one it has
	Domain      string   // likewise
	Free        string   // a handle that was asked for, and is free
	Own         string   // a domain of the owner's own that was asked for
	DNS, HTTP   sight    // what is seen of it
	Leads       bool     // it leads to the account
	TXT, URL    string   // where to set it up
	Value, Text string   // and what there
}

// sight is what one way says of a handle.
type sight struct {
	Key string // of the text: leads here, elsewhere, nowhere
	DID string // elsewhere
	N   int    // the status that a host answered with
}

func handleData(l *look) (any, error) {
	d := &handlePage{Domains: l.Tenant.HandleDomains, Name: l.Typed("name"), Domain: l.Typed("domain"), Own: l.Typed("own")}
	if !l.Form.Has("name") {
		for _, domain := range d.Domains {
			if name, ok := strings.CutSuffix(l.Who.Handle, "."+domain); ok && !strings.Contains(name, ".") {
				d.Name, d.Domain = name, domain
			}
		}
	}
	d.Value, d.Text = "did="+l.owner.DID, l.owner.DID
	return d, nil
}

// wanted is the handle of the form for names of this server: somebody may also have typed the whole.
func (l *look) wanted() string {
	name, domain := strings.TrimPrefix(l.Form.Text("name"), "@"), strings.TrimPrefix(l.Form.Text("domain"), ".")
	if strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(domain)) {
		return name
	}
	return name + "." + domain
}

// checkHandle says whether a handle of this server is free. The one it has is.
func checkHandle(l *look) error {
	handle := strings.ToLower(l.wanted())
	if handle != l.Who.Handle {
		var err error
		if handle, _, err = l.pages.acts.HandleFree(l.R.Context(), l.Tenant, handle); err != nil {
			return err
		}
	}
	data, err := handleData(l)
	if err != nil {
		return err
	}
	data.(*handlePage).Free = handle
	return l.showWith(http.StatusOK, data)
}

func takeHandle(l *look) error { return changeHandle(l, l.wanted()) }

func useDomain(l *look) error { return changeHandle(l, ownDomain(l)) }

func changeHandle(l *look, handle string) error {
	if err := l.pages.acts.ChangeOwnHandle(l.R.Context(), l.Tenant, l.owner, handle); err != nil {
		return err
	}
	return l.done("handle")
}

// ownDomain is what was entered, without what people copy with it.
func ownDomain(l *look) string {
	s := strings.ToLower(l.Form.Text("own"))
	s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	return strings.Trim(strings.TrimPrefix(s, "@"), "/.")
}

// lookAtHandle shows what to set up for a domain of the owner's own, and what is seen of it now.
func lookAtHandle(l *look) error {
	handle, kind, err := l.pages.acts.HandleFree(l.R.Context(), l.Tenant, ownDomain(l))
	if err != nil {
		return err
	}
	if kind != identity.HandleExternal {
		return identity.ErrHandleReserved // names of this server are taken above
	}
	seen, err := l.pages.acts.LookAtHandle(l.R.Context(), l.Tenant, handle)
	if err != nil {
		return err
	}
	data, err := handleData(l)
	if err != nil {
		return err
	}
	d := data.(*handlePage)
	d.Own, d.TXT, d.URL = handle, "_atproto."+handle, "https://"+handle+"/.well-known/atproto-did"
	d.DNS, d.HTTP = l.sight(seen.DNS, "account.h.seen.no"), l.sight(seen.HTTP, "account.h.seen.noanswer")
	// As the network decides: DNS has precedence where it says something.
	d.Leads = seen.DNS.DID == l.owner.DID || seen.DNS.Err != nil && seen.HTTP.DID == l.owner.DID
	return l.showWith(http.StatusOK, d)
}

// sight puts into words what a way says. The error's own text is not for everybody: it tells of this server's network.
func (l *look) sight(a identity.HandleAnswer, nothing string) sight {
	var status *identity.HandleStatusError
	switch {
	case errors.As(a.Err, &status):
		return sight{Key: "account.h.seen.status", N: status.Status}
	case errors.Is(a.Err, identity.ErrHandleSeveral):
		return sight{Key: "account.h.seen.several"}
	case errors.Is(a.Err, identity.ErrHandleNoDID):
		return sight{Key: "account.h.seen.nodid"}
	case a.Err != nil:
		return sight{Key: nothing}
	case a.DID != l.owner.DID:
		return sight{Key: "account.h.seen.other", DID: a.DID}
	}
	return sight{Key: "account.h.seen.yes"}
}
