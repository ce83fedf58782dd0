package handlers

import (
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/mail"
)

// One rule holds wherever a password is set: eight characters, or as many as the tenant asks for.
func TestPasswordRule(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	code := ""
	h.post(hostA, "com.atproto.server.requestPasswordReset", "", obj{"email": alice.ask(getSession).ok().str("email")}).ok()
	code = alice.mailedToken(mail.KindResetPassword)
	n := 0
	ways := map[string]func(password string) reply{
		"sign-up": func(p string) reply {
			n++
			name := "user" + string(rune('a'+n))
			return h.post(hostA, createAccount, "", obj{"handle": name + ".a.test", "email": h.email(name), "password": p})
		},
		"reset": func(p string) reply {
			return h.post(hostA, "com.atproto.server.resetPassword", "", obj{"token": code, "password": p})
		},
		"operator": func(p string) reply {
			return h.post(hostA, "com.atproto.admin.updateAccountPassword", asAdmin(), obj{"did": alice.did, "password": p})
		},
	}
	for name, set := range ways {
		for _, bad := range []string{"", "x", "1234567", "üüüüüüü", strings.Repeat("x", 257)} {
			if r := set(bad); r.status != 400 || r.str("error") != "InvalidPassword" || !strings.Contains(r.str("message"), "8 to 256") {
				t.Errorf("%s by %q: %d %s", name, bad, r.status, r.body)
			}
		}
	}
	h.set(hostA, "password_min_length", "12")
	for name, set := range ways {
		if r := set("12345678901"); r.status != 400 || !strings.Contains(r.str("message"), "12 to 256") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	for _, name := range []string{"sign-up", "reset", "operator"} {
		ways[name]("123456789012").ok()
	}
	// Sign-ups that wait for approval are no exception; another tenant has its own rule.
	h.set(hostA, "signup", "approval")
	ways["sign-up"]("12345678901").fails(400, "InvalidPassword", "12 to 256")
	h.post(hostB, createAccount, "", obj{"handle": "bob.b.test", "email": h.email("bob"), "password": "12345678"}).ok()
	// So does HTTP Basic of the operator. Passwords of before stay.
	for _, bad := range []string{"12345678901", "ü", strings.Repeat("x", 257)} {
		if err := h.tenants.SetAdminPassword(t.Context(), hostA, bad); err == nil {
			t.Errorf("an admin password of %d bytes is taken", len(bad))
		}
	}
	h.get(hostA, "com.atproto.admin.getAccountInfo", asAdmin(), "did", alice.did).ok()
	if err := h.tenants.SetAdminPassword(t.Context(), hostA, "üüüüüüüüüüüü"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"7", "65", "many"} {
		if _, err := h.tenants.Set(t.Context(), hostA, map[string]string{"password_min_length": bad}); err == nil {
			t.Errorf("password_min_length=%s is taken", bad)
		}
	}
}
