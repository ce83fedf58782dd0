package handlers

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/mail"
)

const ownServer = "org.auroralocus.server."

// signInWith signs the user in with the main password; code "" sends none.
func (u *user) signInWith(code string) reply {
	u.t.Helper()
	in := obj{"identifier": u.handle, "password": userPassword}
	if code != "" {
		in["authFactorToken"] = code
	}
	return u.post(u.host, "com.atproto.server.createSession", "", in)
}

// protect posts a method of this file, with the password and more.
func (u *user) protect(method string, more ...any) reply {
	u.t.Helper()
	in := obj{"password": userPassword}
	for i := 0; i < len(more); i += 2 {
		in[more[i].(string)] = more[i+1]
	}
	return u.call(ownServer+method, in)
}

// enrol switches an authenticator app on, and gives its URI and backup codes. The clock moves on, past the code used.
func (u *user) enrol() (uri string, backup []string) {
	u.t.Helper()
	uri = u.protect("beginAuthenticator").ok().str("uri")
	r := u.call(ownServer+"confirmAuthenticator", obj{"code": code(u.t.(*testing.T), uri, u.clock.Now().Unix())}).ok()
	for _, c := range r.at("backupCodes").([]any) {
		backup = append(backup, c.(string))
	}
	u.clock.add(time.Minute)
	return uri, backup
}

// confirmed makes the user's address a confirmed one.
func (u *user) confirmed() {
	u.t.Helper()
	u.exec(u.tenant(), "UPDATE pds.account SET email_confirmed_at = now() WHERE aid = (SELECT aid FROM pds.actor WHERE did = $1)", u.did)
}

// notices are the kinds of mail queued for the user, without those that carry codes.
func (u *user) notices() string {
	u.t.Helper()
	var out []string
	for _, n := range u.queued(u.tenant()) {
		if n.Handle == u.handle && n.Code == "" {
			out = append(out, string(n.Kind))
		}
	}
	return strings.Join(out, " ")
}

// An authenticator app from its secret to its end, all over HTTP.
func TestAuthenticatorApp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	app := alice.app("app", false)
	factors := func() string {
		r := alice.ask(ownServer + "getSecondFactor").ok()
		return fmt.Sprint(r.at("authenticator"), " ", r.at("enrolling"), " ", r.at("backupCodes"), " ", r.at("email"), " ", r.at("emailConfirmed"))
	}
	now := func(uri string) string { return code(t, uri, h.clock.Now().Unix()) }
	confirm := func(code string) reply { return alice.call(ownServer+"confirmAuthenticator", obj{"code": code}) }
	if got := factors(); got != "false false 0 false false" {
		t.Error(got)
	}
	// The session alone is not enough, and an app password's is none at all.
	alice.call(ownServer+"beginAuthenticator", obj{"password": "wrong"}).fails(400, "WrongPassword", "")
	alice.call(ownServer+"beginAuthenticator", obj{"password": strings.Repeat("x", 600)}).fails(400, "WrongPassword", "")
	alice.call(ownServer+"beginAuthenticator", obj{}).fails(400, "InvalidRequest", "password")
	app.protect("beginAuthenticator").fails(400, "InvalidToken", "")
	confirm("123456").fails(400, "AuthenticatorNotFound", "")
	begun := alice.protect("beginAuthenticator").ok()
	uri := begun.str("uri")
	if !strings.Contains(uri, "secret="+begun.str("secret")) || !strings.Contains(uri, "issuer="+hostA) || !strings.HasPrefix(uri, "otpauth://totp/"+hostA+":"+alice.handle) {
		t.Error(uri)
	}
	if got := factors(); got != "false true 0 false false" {
		t.Error(got)
	}
	alice.signInWith("").ok() // it does not count yet
	alice.protect("disableAuthenticator").fails(400, "AuthenticatorNotFound", "")
	alice.protect("createBackupCodes").fails(400, "AuthenticatorNotFound", "")
	// Beginning again draws another secret; one that waits too long is nothing.
	again := alice.protect("beginAuthenticator").ok().str("uri")
	confirm(now(uri)).fails(400, "InvalidToken", "")
	h.clock.add(15 * time.Minute)
	confirm(now(again)).fails(400, "AuthenticatorNotFound", "")
	if got := factors(); got != "false false 0 false false" {
		t.Error(got)
	}
	if got := alice.notices(); got != "app_password" {
		t.Error(got)
	}
	uri, backup := alice.enrol()
	if got := factors(); got != "true false 10 false false" || len(backup) != 10 {
		t.Error(got, backup)
	}
	alice.signInWith("").fails(401, "AuthFactorTokenRequired", "authenticator")
	alice.signInWith(code(t, uri, h.clock.Now().Unix()-60)).fails(400, "InvalidToken", "") // the one that confirmed
	alice.signInWith(now(uri)).ok()
	alice.signInWith(now(uri)).fails(400, "InvalidToken", "") // replayed
	alice.signInWith("000000x").fails(400, "InvalidToken", "")
	alice.signInWith(backup[3]).ok()
	alice.signInWith(backup[3]).fails(400, "InvalidToken", "")
	alice.signInWith(strings.ToLower(backup[4])).ok()
	bob.signInWith("").ok()
	if got := factors(); got != "true false 8 false false" {
		t.Error(got)
	}
	h.post(hostA, refreshSession, bearer(app.refresh), nil).ok() // apps cannot ask for codes
	// While it is on, everything takes a code.
	alice.protect("beginAuthenticator").fails(400, "AuthenticatorExists", "switch it off")
	confirm(now(uri)).fails(400, "AuthenticatorNotFound", "")
	for _, method := range []string{"createBackupCodes", "disableAuthenticator"} {
		alice.protect(method).fails(401, "AuthFactorTokenRequired", "authenticator")
		alice.protect(method, "code", "123").fails(400, "InvalidToken", "")
		alice.protect(method, "code", backup[3]).fails(400, "InvalidToken", "")
		alice.call(ownServer+method, obj{"password": "wrong", "code": backup[5]}).fails(400, "WrongPassword", "")
		h.clock.add(time.Hour)         // those that failed make the next wait
		alice = alice.again(backup[6]) // and end the session
		backup = slices.Delete(backup, 6, 7)
	}
	r := alice.protect("createBackupCodes", "code", backup[5]).ok()
	fresh := r.at("backupCodes").([]any)
	alice.signInWith(backup[0]).fails(400, "InvalidToken", "")
	alice.protect("disableAuthenticator", "code", fresh[0]).ok()
	if got := factors(); got != "false false 0 false false" {
		t.Error(got)
	}
	alice.signInWith("").ok()
	alice.protect("disableAuthenticator").fails(400, "AuthenticatorNotFound", "")
	if got := alice.notices(); got != "app_password app_factor_on backup_codes app_factor_off" {
		t.Error(got)
	}
	log := h.audited(h.a)
	for _, method := range []string{"confirmAuthenticator", "createBackupCodes", "disableAuthenticator"} {
		if !slices.Contains(log, alice.did+" none "+ownServer+method+" "+alice.did+" done") {
			t.Errorf("%s is not in the log: %s", method, strings.Join(log, "\n"))
		}
	}
}

// again is the user with a new session.
func (u *user) again(code string) *user {
	u.t.Helper()
	r := u.signInWith(code).ok()
	return &user{u.house, u.host, u.did, u.handle, r.str("accessJwt"), r.str("refreshJwt")}
}

// One code opens one door, whoever comes at the same moment and to whichever process.
func TestCodeIsGoodOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	uri, backup := alice.enrol()
	for _, c := range []string{code(t, uri, h.clock.Now().Unix()), backup[0]} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[int]int{}
		for range 6 {
			wg.Go(func() {
				r := alice.signInWith(c)
				mu.Lock()
				defer mu.Unlock()
				got[r.status]++
			})
		}
		wg.Wait()
		if got[200] != 1 || got[400] != 5 {
			t.Errorf("six at once with one code: %v", got)
		}
	}
}

func TestEmailFactorByItsOwner(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	set := func(on bool, more ...any) reply {
		return alice.protect("setEmailFactor", append(more, "enabled", on)...)
	}
	set(true).fails(400, "EmailNotConfirmed", "")
	alice.confirmed()
	alice.call(ownServer+"setEmailFactor", obj{"enabled": true, "password": "wrong"}).fails(400, "WrongPassword", "")
	set(true).ok()
	if r := alice.ask(ownServer + "getSecondFactor").ok(); r.at("email") != true || r.at("emailConfirmed") != true {
		t.Errorf("%s", r.body)
	}
	alice.signInWith("").fails(401, "AuthFactorTokenRequired", "sent to your email")
	alice.signInWith(alice.mailedToken(mail.KindSignIn)).ok()
	// Another way in takes a code of this one.
	alice.protect("beginAuthenticator").fails(401, "AuthFactorTokenRequired", "sent to your email")
	alice.protect("beginAuthenticator", "code", "AAAAA-AAAAA").fails(400, "InvalidToken", "")
	late := alice.mailedToken(mail.KindFactorChange)
	h.clock.add(15*time.Minute + time.Second)
	for _, method := range []string{"beginAuthenticator", "createBackupCodes", "disableAuthenticator"} {
		alice.protect(method, "code", late).fails(400, "ExpiredToken", "")
	}
	set(false, "code", late).fails(400, "ExpiredToken", "")
	set(false).fails(401, "AuthFactorTokenRequired", "")
	sent := alice.mailedToken(mail.KindFactorChange)
	set(false, "code", "BBBBB-BBBBB").fails(400, "InvalidToken", "")
	// What fails uses no code up.
	alice.protect("disableAuthenticator", "code", sent).fails(400, "AuthenticatorNotFound", "")
	set(false, "code", sent).ok()
	alice.signInWith("").ok()
	set(false).ok() // as it is: nobody is told
	if got := alice.notices(); got != "email_factor_on email_factor_off" {
		t.Error(got)
	}
	// Notices are in the reader's language, and an account without an address gets none.
	h.raw("POST", hostA, "/xrpc/"+ownServer+"setEmailFactor", obj{"enabled": true, "password": userPassword}, bearer(alice.access), "Accept-Language: de").ok()
	all := h.queued(h.a)
	if last := all[len(all)-1]; last.Lang != "de" || last.Kind != mail.KindEmailFactorOn {
		t.Errorf("%+v", last)
	}
}

// Who tries passwords or codes out with a stolen session must wait like at a sign-in.
func TestGuessingWithASession(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"rate_limits": "on"}})
	alice := h.createAccount(hostA, "alice")
	alice.protect("beginAuthenticator").ok()
	for range 6 {
		alice.call(ownServer+"confirmAuthenticator", obj{"code": "000000"}).fails(400, "InvalidToken", "")
		h.clock.add(time.Second)
	}
	h.clock.add(10 * time.Minute)
	for _, method := range []string{"beginAuthenticator", "createBackupCodes", "disableAuthenticator", "setEmailFactor", "confirmSession"} {
		r := alice.call(ownServer+method, obj{"password": "wrong", "enabled": true})
		r.fails(400, "WrongPassword", "")
		r = alice.protect(method, "enabled", true)
		if r.fails(429, "RateLimitExceeded", ""); r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", method)
		}
		h.clock.add(10 * time.Minute)
	}
	// The methods share one limit.
	for i := range 70 { // enough when a window ends in between
		if r := alice.call(ownServer+"confirmAuthenticator", obj{"code": "x"}); r.status == 429 && r.header.Get("Ratelimit-Limit") == "30" {
			if i < 20 {
				t.Errorf("limited after %d", i)
			}
			return
		}
		h.clock.add(time.Second)
	}
	t.Error("nothing limits the calls of one account")
}

func TestUsageOfAnAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	app := alice.app("app", false)
	usage := func() string {
		r := app.ask(ownServer + "getUsage").ok()
		sum := func(name string) string { return fmt.Sprint(r.at(name, "count"), "/", r.at(name, "bytes")) }
		return fmt.Sprint(sum("files"), " ", sum("temporary"), " ", sum("permanent"), " ", r.at("limit"), " ", r.at("uploadLimit"))
	}
	if got := usage(); got != "0/0 0/0 0/0 0 5242880" {
		t.Error(got)
	}
	file := alice.uploaded(make([]byte, 1000))
	alice.uploaded(make([]byte, 234))
	bob.uploaded(make([]byte, 5))
	if got := usage(); got != "2/1234 2/1234 0/0 0 5242880" {
		t.Error(got)
	}
	alice.create(custom, "file", obj{"file": file}).ok()
	h.set(hostA, "blob_account_limit", "5000")
	if got := usage(); got != "2/1234 1/234 1/1000 5000 5242880" {
		t.Error(got)
	}
	if r := alice.ask("com.atproto.server.checkAccountStatus").ok(); fmt.Sprint(r.at("blobBytes")) != "1234" || fmt.Sprint(r.at("blobLimit")) != "5000" {
		t.Errorf("%s", r.body)
	}
	alice.del(custom, "file").ok()
	if got := usage(); got != "1/234 1/234 0/0 5000 5242880" {
		t.Error(got)
	}
}
