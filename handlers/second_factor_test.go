package handlers

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"testing"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/mail"
)

func TestMailedSignInCode(t *testing.T) {
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
	h.clock.add(accounts.TokenLife + 1)
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
