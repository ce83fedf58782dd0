package console

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/auroralocus/locus/internal/account"
)

// registerAccounts are the list of a tenant's accounts, and the page of each.
func (s *Server) registerAccounts() {
	s.look("/accounts", supporter, (*Visit).accounts)
	s.look("/accounts/new", admin, func(v *Visit) error { return v.Show(http.StatusOK, "tenant_account-new", nil) })
	s.send("/accounts/new", admin, (*Visit).createAccount)
	s.registerAccount()
}

// accountsPerPage is how many are listed.
const accountsPerPage = 50

// accountsPage is a page of the list.
type accountsPage struct {
	Search, State string
	States        []string
	Accounts      []account.Info
	ahead
}

// accountTag is how an account's state is shown.
func (*accountsPage) Tag(i account.Info) string { return accountTag(i.Status()) }

func accountTag(state string) string {
	switch state {
	case "active":
		return "success"
	case "deactivated":
		return "warning"
	}
	return "error"
}

// AccountPath is the page of an account.
func (v *Visit) AccountPath(did string) string {
	return v.TenantPath("/accounts/" + url.PathEscape(did))
}

func (v *Visit) accounts() error {
	p := &accountsPage{Search: v.sought("q"), State: v.Query("state"), States: account.States}
	if !slices.Contains(account.States, p.State) {
		p.State = ""
	}
	before, err := strconv.ParseInt(v.Query("before"), 10, 64)
	from := v.Query("before")
	if err != nil || before < 1 {
		before, from = math.MaxInt64, ""
	}
	list, err := account.Newest(v.ctx(), v.q(), named(p.Search), p.State, before, accountsPerPage+1)
	if err != nil {
		return err
	}
	next := ""
	if len(list) > accountsPerPage {
		list = list[:accountsPerPage]
		next = strconv.FormatInt(list[accountsPerPage-1].AID, 10)
	}
	p.Accounts, p.ahead = list, v.goes("/accounts", "before", from, next)
	return v.Show(http.StatusOK, "tenant_accounts", p)
}

func (v *Visit) createAccount() error {
	req := account.Request{Handle: v.Form.Text("handle"), Email: v.Form.Text("email")}
	if password := v.Form.Get("password"); password != "" {
		req.Password = &password
	}
	did, handle, err := v.s.Acts.CreateAccount(v.ctx(), v.Tenant, v.By(), req)
	if err != nil {
		return v.refusedForm(err, func(status int) error { return v.Show(status, "tenant_account-new", nil) })
	}
	return v.Done(v.AccountPath(did), "%s is made.", handle)
}
