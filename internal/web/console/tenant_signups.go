package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/account"
)

// registerSignups are the sign-ups that wait for an operator's word. To reject one deletes an account, and takes the role
// for that.
func (s *Server) registerSignups() {
	s.look("/signups", supporter, func(v *Visit) error { return v.signups(http.StatusOK) })
	s.send("/signups/{did}/approve", moderator, func(v *Visit) error {
		return v.decided(v.s.Acts.ApproveSignup(v.ctx(), v.Tenant, v.By(), v.R.PathValue("did")), "approved")
	})
	s.send("/signups/{did}/reject", admin, func(v *Visit) error {
		return v.decided(v.s.Acts.RejectSignup(v.ctx(), v.Tenant, v.By(), v.R.PathValue("did"), v.Form.Text("reason")), "rejected")
	})
}

// signupsPerPage is how many are listed.
const signupsPerPage = 50

// signupsPage is a page of the list, oldest first.
type signupsPage struct {
	Waiting []account.Waiting
	ahead
}

func (v *Visit) signups(status int) error {
	p := new(signupsPage)
	after, from := placeOf(v.Query("after")), v.Query("after")
	list, err := account.ListWaiting(v.ctx(), v.q(), after, signupsPerPage+1)
	if err != nil {
		return err
	}
	next := ""
	if len(list) > signupsPerPage {
		list = list[:signupsPerPage]
		last := list[signupsPerPage-1]
		next = strconv.FormatInt(last.Since.UnixMicro(), 10) + "." + strconv.FormatInt(last.AID, 10)
	}
	p.Waiting, p.ahead = list, v.goes("/signups", "after", from, next)
	return v.Show(status, "tenant_signups", p)
}

// placeOf is where a page of waiting sign-ups begins. What is no such place is the beginning.
func placeOf(text string) (after account.Waiting) {
	at, id, _ := strings.Cut(text, ".")
	us, err := strconv.ParseInt(at, 10, 53)
	if err != nil || us < 0 {
		return after
	}
	aid, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return after
	}
	return account.Waiting{Since: time.UnixMicro(us), AID: aid}
}

func (v *Visit) decided(err error, how string) error {
	if err != nil {
		return v.refusedForm(err, v.signups)
	}
	return v.Done(v.TenantPath("/signups"), "The sign-up is %s. Its owner is written to.", how)
}
