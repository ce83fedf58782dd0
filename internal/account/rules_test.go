package account

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

func someTenant(change func(*tenant.Settings)) *tenant.Tenant {
	t := &tenant.Tenant{Hostname: "pds.example.com", HandleDomains: []string{"example.com", "sub.example.com"}, Settings: tenant.Defaults()}
	if change != nil {
		change(&t.Settings)
	}
	return t
}

func TestCheckHandle(t *testing.T) {
	strict := someTenant(func(s *tenant.Settings) {
		s.HandleReserve, s.HandleRelease, s.HandleRefuse = []string{"mine"}, []string{"www"}, []string{"rude"}
	})
	for _, c := range []struct {
		handle string
		want   error
	}{
		{"Alice.Example.com", nil},
		{"alice.sub.example.com", nil},
		{"www.example.com", nil},
		{"al.example.com", identity.ErrHandleTooShort},
		{strings.Repeat("a", 19) + ".example.com", identity.ErrHandleTooLong},
		{"a.b.example.com", identity.ErrHandleChars},
		{"admin.example.com", identity.ErrHandleReserved},
		{"mine.example.com", identity.ErrHandleReserved},
		{"sub.example.com", identity.ErrHandleReserved},
		{"r-u-d-e-x.example.com", identity.ErrHandleRefused},
		{"alice.example.org", ErrHandleDomain},
		{"alice.test", identity.ErrHandleTLD},
		{"alice.local", identity.ErrHandleTLD},
		{"bad_!.example.com", identity.ErrHandleSyntax},
		{"alice", identity.ErrHandleSyntax},
		{"", identity.ErrHandleSyntax},
	} {
		got, err := CheckHandle(strict, c.handle)
		if !errors.Is(err, c.want) || err == nil && got != strings.ToLower(c.handle) {
			t.Errorf("%q: %q, %v, want %v", c.handle, got, err, c.want)
		}
	}
	dev := &tenant.Tenant{HandleDomains: []string{"test"}, Settings: tenant.Defaults()}
	if _, err := CheckHandle(dev, "alice.test"); err != nil {
		t.Errorf("a development server's domain: %v", err)
	}
}

func TestCheckEmail(t *testing.T) {
	s := tenant.Defaults()
	s.EmailBlockedDomains = []string{"bad.example.org"}
	for _, c := range []struct {
		email string
		want  error
	}{
		{"a@b.co", nil}, {" A.b+c@Example.COM ", nil}, {"o'neil@example.com", nil},
		{"", ErrEmailRequired}, {"   ", ErrEmailRequired},
		{"a", ErrEmailUnsupported}, {"a@b", ErrEmailUnsupported}, {"@b.co", ErrEmailUnsupported}, {"a@@b.co", ErrEmailUnsupported},
		{"a..b@example.com", ErrEmailUnsupported}, {".a@example.com", ErrEmailUnsupported}, {"a.@example.com", ErrEmailUnsupported},
		{"a@example..com", ErrEmailUnsupported}, {"a@-example.com", ErrEmailUnsupported}, {"a b@example.com", ErrEmailUnsupported},
		{"<a@example.com>", ErrEmailUnsupported}, {"Name <a@example.com>", ErrEmailUnsupported}, {"a@1.2.3.4", ErrEmailUnsupported},
		{"a\x00@example.com", ErrEmailUnsupported}, {"a\n@example.com", ErrEmailUnsupported}, {"ä@example.com", ErrEmailUnsupported},
		{strings.Repeat("a", 65) + "@example.com", ErrEmailUnsupported}, {"a@" + strings.Repeat("a.", 126) + "com", ErrEmailUnsupported},
		{"x@mailinator.com", ErrEmailUnsupported}, {"x@deep.under.mailinator.com", ErrEmailUnsupported}, {"x@bad.example.org", ErrEmailUnsupported},
		{"x@notmailinator.com", nil},
	} {
		if _, err := CheckEmail(&s, c.email); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.email, err, c.want)
		}
	}
	s.EmailBlockDisposable = false
	if _, err := CheckEmail(&s, "x@mailinator.com"); err != nil {
		t.Errorf("the list is not switched off: %v", err)
	}
}

func TestNewInviteCode(t *testing.T) {
	form := regexp.MustCompile(`^pds-example-com-[a-z2-7]{5}-[a-z2-7]{5}$`)
	seen := map[string]bool{}
	for range 100 {
		code := NewInviteCode("pds.example.com")
		if !form.MatchString(code) || seen[code] {
			t.Fatal(code)
		}
		seen[code] = true
	}
}

func TestPHC(t *testing.T) {
	h := phc{Cost: Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}, salt: []byte("0123456789abcdef")}
	h.hash = h.of("secret", hashSize)
	again, err := parsePHC(h.String())
	if err != nil || again.String() != h.String() || again.Cost != h.Cost {
		t.Errorf("%+v, %v", again, err)
	}
	for _, bad := range []string{"", "x", "$argon2i$v=19$m=64,t=1,p=1$AAAA$AAAA", "$argon2id$v=16$m=64,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=4294967295,t=1,p=1$AAAA$" + strings.Repeat("A", 43),
		"$argon2id$v=19$m=64,t=0,p=1$AAAA$" + strings.Repeat("A", 43), "$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAA", h.String() + "$"} {
		if _, err := parsePHC(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
