package account

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

// appPasswordsPage is what the page of app passwords shows.
type appPasswordsPage struct {
	All   []accounts.AppPassword
	Days  []int  // after which one may end
	Made  string // the password that was just made: shown this one time
	Named string // and for what
}

// appDays are the lives of an app password to choose from, in days.
var appDays = []int{30, 90, 365}

func appPasswordsData(l *look) (any, error) {
	all, err := accounts.ListAppPasswords(l.R.Context(), l.pages.db.Tenant(l.Tenant.Schema).Q(), l.owner.AID)
	if err != nil {
		return nil, err
	}
	return &appPasswordsPage{All: all, Days: appDays}, nil
}

func makeAppPassword(l *look) error {
	n := act.NewAppPassword{Name: l.Form.Text("name"), Privileged: l.Form.On("privileged")}
	if days, err := strconv.Atoi(l.Form.Get("days")); err == nil && slices.Contains(appDays, days) {
		at := l.Now().Add(time.Duration(days) * 24 * time.Hour)
		n.ExpiresAt = &at
	}
	made, password, err := l.pages.acts.CreateAppPassword(l.R.Context(), l.Tenant, l.owner, n)
	if err != nil {
		return err
	}
	l.Form.Values = nil // what was entered is done
	data, err := appPasswordsData(l)
	if err != nil {
		return err
	}
	d := data.(*appPasswordsPage)
	d.Made, d.Named = password, made.Name
	return l.showWith(http.StatusOK, d)
}

func revokeAppPassword(l *look) error {
	if err := l.pages.acts.RevokeAppPassword(l.R.Context(), l.Tenant, l.owner, l.Form.Get("name")); err != nil {
		return err
	}
	return l.done("revoked")
}
