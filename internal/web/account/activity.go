package account

import (
	accounts "github.com/auroralocus/locus/internal/account"
)

func activityData(l *look) (any, error) {
	return l.pages.acts.Activity(l.R.Context(), l.Tenant, l.owner)
}

// EventText says what happened.
func (l *look) EventText(a accounts.Activity) string {
	return l.Say("security.event."+string(a.What), "detail", a.Detail)
}

// ViaText says how somebody signed in.
func (l *look) ViaText(a accounts.Activity) string {
	if a.What == accounts.EventSignUp {
		return l.Say("security.event.signup")
	}
	return l.Say("security.via."+string(a.Via), "detail", a.Detail)
}
