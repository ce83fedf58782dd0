package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What an operator makes needs no code and no approval, and is there where nobody else may sign up. What an operator
// changes about second factors is mailed to the account's owner, as what the account changes is.
func TestAccountCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	defer s.stop()
	ok, refused := commandsIn(t, dir)
	for _, policy := range []string{"invite", "approval", "closed"} {
		ok("tenant", "set", "localhost", "signup="+policy)
		handle := policy + "-made.test"
		made := ok("account", "create", "localhost", handle, "--email", policy+"@example.com", "--password", "a-good-password")
		if status, body := s.get("localhost", "/xrpc/com.atproto.identity.resolveHandle?handle="+handle); status != 200 || !strings.Contains(body, strings.Fields(made)[0]) {
			t.Errorf("%s: %s%d %s", policy, made, status, body)
		}
	}
	if out := ok("signup", "list", "localhost"); strings.Contains(out, "made.test") {
		t.Errorf("waiting: %s", out)
	}
	if out := ok("invite", "list", "localhost"); strings.TrimSpace(out) != "" {
		t.Errorf("codes: %s", out)
	}
	refused("handle already taken", "account", "create", "localhost", "closed-made.test", "--email", "other@example.com", "--password", "a-good-password")
	refused("8 to 256 characters", "account", "create", "localhost", "short.test", "--email", "short@example.com", "--password", "seven77")
	refused("8 to 256 characters", "account", "reset-password", "localhost", "closed-made.test", "--password", "seven77")
	refused("8 to 256 characters", "tenant", "set", "localhost", "--admin-password", "seven77")

	// Limits of records, and what is used.
	if out := ok("account", "record-limits", "localhost", "alice.test", "7", "default"); out != "7 records, 2147483648 bytes (0: no limit)\n" {
		t.Error(out)
	}
	refused("neither a number", "account", "record-limits", "localhost", "alice.test", "many", "1")
	if out := ok("account", "info", "localhost", "alice.test"); !strings.Contains(out, `"recordLimit": 7`) || !strings.Contains(out, `"records": 0`) || !strings.Contains(out, `"fileBytesLimit": 0`) {
		t.Error(out)
	}
	ok("blob", "limit", "localhost", "alice.test", "5000")
	if out := ok("account", "info", "localhost", "alice.test"); !strings.Contains(out, `"fileBytesLimit": 5000`) {
		t.Error(out)
	}
	refused("at most", "blob", "limit", "localhost", "alice.test", "9000000000000000000")
	// Apps: nobody has let one in.
	if out := ok("account", "apps", "localhost", "alice.test"); out != "" {
		t.Error(out)
	}
	refused("not connected", "account", "apps", "localhost", "alice.test", "--end", "https://app.example.com/client.json")
	if out := ok("account", "apps", "localhost", "alice.test", "--end-all"); out != "sessions ended: 0\n" {
		t.Error(out)
	}
	out := ok("audit", "list", "localhost", "--json")
	for _, want := range []string{"org.auroralocus.admin.setRecordLimits", "org.auroralocus.admin.setBlobLimit"} { // as the methods
		if strings.Count(out, want) != 1 {
			t.Errorf("%s is not there once: %s", want, out)
		}
	}
	ok("repo", "check", "localhost", "--recount")
	ok("repo", "check", "localhost", "alice.test", "--recount")

	mails := func() int { return strings.Count(ok("mail", "list", "localhost"), "closed@example.com") }
	before := mails()
	uri, err := url.Parse(strings.TrimSpace(ok("account", "second-factor", "localhost", "closed-made.test", "--app")))
	if err != nil || uri.Scheme != "otpauth" {
		t.Fatal(uri, err)
	}
	refused("", "account", "second-factor", "localhost", "closed-made.test", "--confirm", "000000x")
	if n := mails() - before; n != 0 {
		t.Errorf("%d mails about a factor that is not on", n)
	}
	code := totp(t, uri.Query().Get("secret"))
	if codes := strings.Fields(ok("account", "second-factor", "localhost", "closed-made.test", "--confirm", code)); len(codes) != 10 {
		t.Errorf("backup codes: %v", codes)
	}
	if out := ok("account", "second-factor", "localhost", "closed-made.test"); !strings.Contains(out, "authenticator app: true") {
		t.Error(out)
	}
	ok("account", "second-factor", "localhost", "closed-made.test", "--off")
	ok("account", "second-factor", "localhost", "closed-made.test", "--off") // nothing to tell
	if n := mails() - before; n != 2 {
		t.Errorf("%d mails", n)
	}
	list := ok("mail", "list", "localhost")
	for kind, subject := range map[string]string{"app_factor_on": "Authenticator app switched on", "app_factor_off": "Authenticator app switched off"} {
		if strings.Count(list, kind+" ") != 1 || strings.Count(list, `"`+subject+`"`) != 1 {
			t.Errorf("%s is not there once:\n%s", kind, list)
		}
	}
}

// totp is what an authenticator app shows at this moment.
// spec: RFC 6238
func totp(t *testing.T, secret string) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, uint64(time.Now().Unix()/30))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}
