package account

import (
	"net/http"

	"github.com/auroralocus/locus/internal/act"
)

// emailPage is what the page of the address shows.
type emailPage struct {
	Sent    bool   // a code is on its way to confirm the present address
	Next    string // the address that codes are on their way for; "": none
	Present bool   // one of them to the present address
}

func emailData(l *look) (any, error) {
	d := &emailPage{}
	switch l.Typed("do") {
	case "confirm":
		d.Sent = true
	case "change":
		d.Next, d.Present = l.Typed("address"), l.Who.EmailConfirmed
	}
	return d, nil
}

func sendConfirmation(l *look) error {
	if err := l.pages.acts.RequestEmailConfirmation(l.R.Context(), l.Tenant, l.owner); err != nil {
		return err
	}
	return l.showWith(http.StatusOK, &emailPage{Sent: true})
}

func confirmEmail(l *look) error {
	if err := l.pages.acts.ConfirmEmail(l.R.Context(), l.Tenant, l.owner, l.Who.Email, l.Form.Text("code")); err != nil {
		return err
	}
	return l.done("confirmed")
}

func requestEmail(l *look) error {
	address := l.Form.Text("address")
	present, err := l.pages.acts.RequestNewEmail(l.R.Context(), l.Tenant, l.owner, address)
	if err != nil {
		return err
	}
	return l.showWith(http.StatusOK, &emailPage{Next: address, Present: present})
}

func changeEmail(l *look) error {
	err := l.pages.acts.MoveEmail(l.R.Context(), l.Tenant, l.owner, act.EmailMove{
		Address: l.Form.Text("address"), New: l.Form.Text("code"), Present: l.Form.Text("present"),
	})
	if err != nil {
		return err
	}
	return l.done("email")
}
