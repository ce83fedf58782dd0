package handlers

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

func TestMailedSignInCode(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	app := alice.app("app", false)
	email := alice.ask("com.atproto.server.getSession").ok().str("email")
	signIn := func(code string) reply {
		in := obj{"identifier": alice.handle, "password": userPassword}
		if code != "" {
			in["authFactorToken"] = code
		}
		return h.post(hostA, "com.atproto.server.createSession", "", in)
	}
	set := func(on bool, token string) reply {
		in := obj{"email": email, "emailAuthFactor": on}
		if token != "" {
			in["token"] = token
		}
		return alice.call("com.atproto.server.updateEmail", in)
	}
	set(true, "").fails(400, "InvalidRequest", "not confirmed")
	h.exec(h.a, "UPDATE pds.account SET email_confirmed_at = now() WHERE email = $1", email)
	set(true, "").ok()
	if s := alice.ask("com.atproto.server.getSession").ok(); s.at("emailAuthFactor") != true || s.at("emailConfirmed") != true {
		t.Errorf("%s", s.body)
	}
	signIn("").fails(401, "AuthFactorTokenRequired", "sent to your email")
	code := alice.mailedToken(mail.KindSignIn)
	signIn("AAAAA-AAAAA").fails(400, "InvalidToken", "")
	if r := signIn(strings.ToLower(code)).ok(); r.at("emailAuthFactor") != true {
		t.Errorf("%s", r.body)
	}
	signIn(code).fails(400, "InvalidToken", "") // used
	signIn("").fails(401, "AuthFactorTokenRequired", "")
	code = alice.mailedToken(mail.KindSignIn)
	h.clock.add(account.TokenLife + 1)
	signIn(code).fails(400, "ExpiredToken", "")
	// A wrong password gets no mail and does not learn of the factor; app passwords need none.
	h.post(hostA, "com.atproto.server.createSession", "", obj{"identifier": alice.handle, "password": "wrong"}).fails(401, "AuthenticationRequired", "")
	h.post(hostA, "com.atproto.server.refreshSession", bearer(app.refresh), nil).ok()
	// Off needs a token: it makes the account less safe.
	alice.access = h.post(hostA, "com.atproto.server.refreshSession", bearer(alice.refresh), nil).ok().str("accessJwt")
	set(false, "").fails(400, "TokenRequired", "")
	alice.call("com.atproto.server.requestEmailUpdate", nil).ok()
	set(false, alice.mailedToken(mail.KindUpdateEmail)).ok()
	if s := signIn("").ok(); s.at("emailAuthFactor") != false || s.at("emailConfirmed") != true {
		t.Errorf("%s", s.body)
	}
}

// A session and the mailbox do not lead past an authenticator app.
func TestMailedCodesBesideAnApp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	email := alice.ask(getSession).ok().str("email")
	alice.confirmed()
	uri, backup := alice.enrol()
	on := func() reply {
		return alice.call("com.atproto.server.updateEmail", obj{"email": email, "emailAuthFactor": true})
	}
	on().fails(400, "InvalidRequest", "org.auroralocus.server.setEmailFactor")
	if r := alice.ask(ownServer + "getSecondFactor").ok(); r.at("email") != false || r.at("authenticator") != true {
		t.Errorf("%s", r.body)
	}
	alice.signInWith(code(t, uri, h.clock.Now().Unix())).ok()
	alice.protect("setEmailFactor", "enabled", true, "code", backup[0]).ok()
	on().ok() // it is on
	alice.protect("disableAuthenticator", "code", backup[1]).ok()
	alice.signInWith("").fails(401, "AuthFactorTokenRequired", "sent to your email")
}

// code is what an authenticator app shows, made as another program would.
func code(t *testing.T, uri string, unix int64) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(u.Query().Get("secret"))
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || len(secret) != 20 {
		t.Fatal(uri, err)
	}
	mac := hmac.New(sha1.New, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(unix/30)))
	sum := mac.Sum(nil)
	at := sum[19] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// Who has the main password and many addresses tries codes of six digits out: the account itself makes them wait, all
// processes together, and its owner comes in by a backup code meanwhile.
func TestGuessingCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	uri, backup := alice.enrol()
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "100000")
	var calls atomic.Int64
	signIn := func(code string) reply {
		n := calls.Add(1)
		in := obj{"identifier": alice.handle, "password": userPassword, "authFactorToken": code}
		return h.raw("POST", hostA, "/xrpc/"+createSession, in, fmt.Sprintf("X-Forwarded-For: 2001:db8:%x::1", n))
	}
	right := func() string { return code(t, uri, h.clock.Now().Unix()) }
	wrong := func() string { // at none of the steps that count
		for n := 0; ; n++ {
			guess, now := fmt.Sprintf("%06d", n), h.clock.Now().Unix()
			if guess != code(t, uri, now-30) && guess != code(t, uri, now) && guess != code(t, uri, now+30) {
				return guess
			}
		}
	}
	var wg sync.WaitGroup
	var looked, refused atomic.Int64
	guess := wrong()
	for range 3 * codeFree {
		wg.Go(func() {
			switch r := signIn(guess); r.status {
			case 400:
				looked.Add(1)
			case 429:
				refused.Add(1)
			default:
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	if looked.Load() != codeFree || refused.Load() != 2*codeFree {
		t.Errorf("of %d codes at once %d were looked at, %d not", 3*codeFree, looked.Load(), refused.Load())
	}
	for _, times := range []int{1, 2, 4, 8} {
		want := times * int(codeWait.Seconds())
		r := signIn(right())
		r.fails(429, "RateLimitExceeded", "")
		if got := r.header.Get("Retry-After"); got != strconv.Itoa(want) {
			t.Errorf("wait %s s, want %d", got, want)
		}
		alice.protect("disableAuthenticator", "code", right()).fails(429, "RateLimitExceeded", "") // no way around
		h.clock.add(time.Duration(want) * time.Second)
		signIn(wrong()).fails(400, "InvalidToken", "")
	}
	// Long codes are not to be guessed, and do not end the row either.
	signIn(strings.ToLower(backup[0])).ok()
	signIn("AAAAA-AAAAA").fails(400, "InvalidToken", "")
	signIn(right()).fails(429, "RateLimitExceeded", "")
	h.clock.add(maxCodeWait)
	signIn(" " + right()).ok()
	for range codeFree { // forgotten
		signIn(wrong()).fails(400, "InvalidToken", "")
	}
	// The waits end at a day, and two forgive.
	for range 10 {
		h.clock.add(maxCodeWait)
		signIn(wrong()).fails(400, "InvalidToken", "")
	}
	if got := signIn(right()).header.Get("Retry-After"); got != "86400" {
		t.Errorf("the longest wait is %s s", got)
	}
	h.clock.add(2*maxCodeWait + time.Second)
	for range codeFree {
		signIn(wrong()).fails(400, "InvalidToken", "")
	}
	signIn(right()).fails(429, "RateLimitExceeded", "")
	// Who does not know the password learns nothing of that.
	h.raw("POST", hostA, "/xrpc/"+createSession, obj{"identifier": alice.handle, "password": "wrong", "authFactorToken": right()}, "X-Forwarded-For: 203.0.113.9").
		fails(401, "AuthenticationRequired", "Invalid identifier or password")
}
