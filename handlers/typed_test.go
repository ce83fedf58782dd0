package handlers

import (
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/mail"
)

// Tokens as people type and paste them.
func TestTokensAsTyped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	email := u.ask(getSession).ok().str("email")
	look := strings.NewReplacer("O", "0", "I", "1", "B", "8")
	for _, typed := range []func(string) string{
		strings.ToLower,
		func(s string) string { return strings.ReplaceAll(s, "-", "") },
		func(s string) string { return "\u00a0" + strings.ReplaceAll(s, "-", " ") + "\n" },
		func(s string) string { return strings.ToLower(look.Replace(s)) },
		func(s string) string { return strings.Join(strings.Split(s, ""), "-") },
	} {
		u.call("com.atproto.server.requestEmailConfirmation", nil).ok()
		token := u.mailedToken(mail.KindConfirmEmail)
		for _, wrong := range []string{token[1:], token + "A", token[:5], strings.Repeat(token, 1000), "\x00" + token, ""} {
			u.call("com.atproto.server.confirmEmail", obj{"email": email, "token": wrong}).fails(400, "InvalidToken", "")
		}
		u.call("com.atproto.server.confirmEmail", obj{"email": email, "token": typed(token)}).ok()
		u.call("com.atproto.server.confirmEmail", obj{"email": email, "token": typed(token)}).fails(400, "InvalidToken", "")
	}
}

// NUL, which no text column of Postgres takes, and line breaks, wherever a method of accounts takes text: refused or
// stored, never a failure.
func TestControlCharacters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, bad := range []string{"a\x00b", "a\r\nb", "a\u2028b\u202e"} {
		u := h.createAccount(hostA, "user"+string(rune('a'+i)))
		email := u.ask(getSession).ok().str("email")
		ref := obj{"$type": "com.atproto.admin.defs#repoRef", "did": u.did}
		u.call(createApp, obj{"name": bad})
		u.call(revokeApp, obj{"name": bad}).ok()
		u.call("com.atproto.server.confirmEmail", obj{"email": email + bad, "token": "x"}).fails(400, "InvalidEmail", "")
		u.call("com.atproto.server.updateEmail", obj{"email": bad + "@example.com", "token": bad}).fails(400, "InvalidRequest", "")
		u.call(putPrefs, obj{"preferences": list{pref("x", "y", bad)}}).ok()
		u.ask(getPrefs).ok()
		for _, admin := range []struct {
			method string
			body   obj
		}{
			{"disableAccountInvites", obj{"account": u.did, "note": bad}},
			{"enableAccountInvites", obj{"account": u.did, "note": bad}},
			{"disableInviteCodes", obj{"codes": list{bad}}},
			{"sendEmail", obj{"recipientDid": u.did, "senderDid": u.did, "subject": bad, "content": "x"}},
			{"sendEmail", obj{"recipientDid": u.did, "senderDid": u.did, "content": bad, "comment": bad}},
			{"updateSubjectStatus", obj{"subject": ref, "takedown": obj{"applied": false, "ref": bad}}},
			{"updateSubjectStatus", obj{"subject": ref, "takedown": obj{"applied": true, "ref": bad}}},
			{"updateSubjectStatus", obj{"subject": ref, "takedown": obj{"applied": false}}},
			{"updateAccountEmail", obj{"account": u.did, "email": bad + "@example.com"}},
			{"updateAccountHandle", obj{"did": u.did, "handle": bad}},
			{"updateAccountPassword", obj{"did": u.did, "password": "longer" + bad}},
		} {
			if r := h.admin(hostA, admin.method, admin.body); r.status >= 500 {
				t.Errorf("%s %q: %d %s", admin.method, admin.body, r.status, r.body)
			}
		}
		h.get(hostA, "com.atproto.admin.getAccountInfo", asAdmin(), "did", u.did).ok()
		h.get(hostA, "com.atproto.admin.searchAccounts", asAdmin(), "email", bad)
		// A password is bytes: all of them count.
		h.post(hostA, createSession, "", obj{"identifier": u.did, "password": "longer" + bad}).ok()
		h.post(hostA, createSession, "", obj{"identifier": u.did, "password": "longera"}).fails(401, "AuthenticationRequired", "")
	}
	u := h.createAccount(hostA, "alice")
	for _, name := range []string{"a\x00b", "a\r\nb", "\x1b[31m"} {
		u.call(createApp, obj{"name": name}).fails(400, "InvalidRequest", "name")
	}
	u.call(createApp, obj{"name": "Mein Gerät 🦋"}).ok()
	// The longest passwords count to their last character.
	long := strings.Repeat("ü", 256)
	h.admin(hostA, "updateAccountPassword", obj{"did": u.did, "password": long + "x"}).fails(400, "InvalidPassword", "")
	h.admin(hostA, "updateAccountPassword", obj{"did": u.did, "password": long}).ok()
	u.login(long)
	h.post(hostA, createSession, "", obj{"identifier": u.did, "password": long[:len(long)-2] + "u"}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, createSession, "", obj{"identifier": u.did, "password": long + "x"}).fails(401, "AuthenticationRequired", "Invalid identifier")
}
