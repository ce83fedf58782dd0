package account

// passwordPage is what the page of the password shows.
type passwordPage struct{ Least int }

func passwordData(l *look) (any, error) {
	return &passwordPage{l.Tenant.Settings.PasswordMinLength}, nil
}

// changePassword ends all sessions, and begins this browser's anew.
func changePassword(l *look) error {
	fresh := l.Form.Get("new")
	if fresh != l.Form.Get("again") {
		return errDiffer
	}
	if err := l.pages.acts.ChangePassword(l.R.Context(), l.Tenant, l.owner, fresh); err != nil {
		return err
	}
	if err := l.enterAnew(); err != nil {
		return err
	}
	return l.done("password")
}
