package account

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// leavePage is what the page shows on which somebody leaves.
type leavePage struct {
	Days []int // after which a deactivated account may be deleted
	Sent bool  // a code is on its way
}

// leaveDays are the times to choose from.
var leaveDays = []int{7, 30, 90}

func leaveData(l *look) (any, error) {
	return &leavePage{Days: leaveDays, Sent: l.Typed("do") == "delete"}, nil
}

func deactivate(l *look) error {
	var at *time.Time
	if days, err := strconv.Atoi(l.Form.Get("then")); err == nil && slices.Contains(leaveDays, days) {
		then := l.Now().Add(time.Duration(days) * 24 * time.Hour)
		at = &then
	}
	if err := l.pages.acts.Deactivate(l.R.Context(), l.Tenant, l.owner, at); err != nil {
		return err
	}
	return l.done("off")
}

func activate(l *look) error {
	if err := l.pages.acts.Activate(l.R.Context(), l.Tenant, l.owner); err != nil {
		return err
	}
	return l.done("on")
}

func sendDeletionCode(l *look) error {
	if err := l.pages.acts.RequestDeletion(l.R.Context(), l.Tenant, l.owner); err != nil {
		return err
	}
	return l.showWith(http.StatusOK, &leavePage{Days: leaveDays, Sent: true})
}

// deleteAccount asks for the password each time, however lately it was shown, and for a mailed code.
func deleteAccount(l *look) error {
	if err := l.pages.acts.DeleteOwnAccount(l.R.Context(), l.Tenant, l.owner.Visitor, l.owner.DID, l.Form.Get("password"), l.Form.Text("code")); err != nil {
		return err
	}
	return l.Show(http.StatusOK, templates()["gone"], &view{look: l})
}
