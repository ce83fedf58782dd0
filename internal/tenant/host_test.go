package tenant

import (
	"errors"
	"strings"
	"testing"
)

func TestHostOf(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"example.com", "example.com"},
		{"Example.COM", "example.com"},
		{"example.com:443", "example.com"},
		{"localhost:2583", "localhost"},
		{"example.com.", "example.com"},
		{"example.com.:8080", "example.com"},
		{"127.0.0.1:80", "127.0.0.1"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"", ""}, {":80", ""}, {".", ""}, {"..", ""}, {"a..b", ""}, {".a", ""}, {"-a.com", ""}, {"a-.com", ""}, {"a.com-", ""},
		{"[::1]:80", ""}, {"::1", ""}, {"a:b", ""}, {"a:123456", ""}, {"a b", ""}, {"a/b", ""}, {"a\x00b", ""}, {"bücher.example", ""}, {"a_b.com", ""},
		{strings.Repeat("a", 63) + ".com", strings.Repeat("a", 63) + ".com"},
		{strings.Repeat("a", 64) + ".com", ""},
		{strings.Repeat("a.", 127), strings.Repeat("a.", 126) + "a"},
		{strings.Repeat("a.", 128), ""},
	} {
		got, ok := hostOf(c.in)
		if !ok {
			got = ""
		}
		if got != c.want {
			t.Errorf("hostOf(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCheckNames(t *testing.T) {
	type check func(string, bool) (string, error)
	for _, c := range []struct {
		check check
		name  string
		dev   bool
		ok    bool
	}{
		{checkHostname, "pds.example.com", false, true},
		{checkHostname, "localhost", true, true},
		{checkHostname, "beta.localhost", true, true},
		{checkHostname, "pds.test", true, true},
		{checkHostname, "localhost", false, false},
		{checkHostname, "pds.test", false, false},
		{checkHostname, "pds.example", false, false},
		{checkHostname, "pds.local", true, false},
		{checkHostname, "com", false, false},
		{checkHostname, "10.0.0.1", false, false},
		{checkHostname, "example.com:80", false, false},
		{checkHostname, "exa mple.com", false, false},
		{checkHandleDomain, ".example.com", false, true},
		{checkHandleDomain, "example.com", false, true},
		{checkHandleDomain, "test", true, true},
		{checkHandleDomain, ".beta.test", true, true},
		{checkHandleDomain, "test", false, false},
		{checkHandleDomain, "localhost", true, false},
		{checkHandleDomain, "com", false, false},
		{checkHandleDomain, "a.1", false, false},
	} {
		_, err := c.check(c.name, c.dev)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBadHostname) {
			t.Errorf("%q (dev %v): %v", c.name, c.dev, err)
		}
	}
}

func TestSettings(t *testing.T) {
	c, err := chosen{}.apply(map[string]string{"signup": "open", "blob_upload_limit": "1048576", "crawlers": "", "handle_refuse": "Foo, bar"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.Signup != SignupOpen || s.BlobUploadLimit != 1<<20 || len(s.Crawlers) != 0 || strings.Join(s.HandleRefuse, "+") != "foo+bar" || s.HandleMaxLength != 18 {
		t.Errorf("%+v", s)
	}
	if c, err = c.apply(map[string]string{"blob_upload_limit": ""}); err != nil {
		t.Fatal(err)
	}
	if s, _ = c.settings(); s.BlobUploadLimit != Defaults().BlobUploadLimit {
		t.Errorf("an empty value did not go back to the default: %d", s.BlobUploadLimit)
	}
	if d := Defaults(); len(d.Crawlers) != 1 {
		t.Errorf("defaults were written to: %q", d.Crawlers)
	}

	for key, value := range map[string]string{
		"signup": "maybe", "nonsense": "1", "blob_upload_limit": "-1", "handle_min_length": "99", "contact_email": "x",
		"home_url": "javascript:alert(1)", "crawlers": "ftp://x", "session_did_doc": "perhaps", "recovery_did_key": "did:web:x",
	} {
		_, err := chosen{}.apply(map[string]string{key: value})
		if !errors.Is(err, ErrBadSetting) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	if _, err := (chosen{}).apply(map[string]string{"handle_min_length": "20"}); !errors.Is(err, ErrBadSetting) {
		t.Errorf("minimum above maximum: %v", err)
	}
}

// A row written by a newer version, or damaged by hand, must neither lose what it has nor take the tenant down.
func TestSettingsOfAnotherVersion(t *testing.T) {
	c, err := parseChosen([]byte(`{"from_the_future": {"a": 1}, "signup": "open", "blob_upload_limit": "big", "crawlers": 5}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.settings()
	if err == nil || !strings.Contains(err.Error(), "blob_upload_limit") || !strings.Contains(err.Error(), "crawlers") {
		t.Errorf("damage is not reported: %v", err)
	}
	if s.Signup != SignupOpen || s.BlobUploadLimit != Defaults().BlobUploadLimit || len(s.Crawlers) != 1 {
		t.Errorf("%+v", s)
	}
	c, err = c.apply(map[string]string{"blob_upload_limit": "4096", "crawlers": ""})
	if err != nil {
		t.Fatal(err)
	}
	if string(c["from_the_future"]) != `{"a": 1}` {
		t.Errorf("an unknown key was lost: %s", c["from_the_future"])
	}
}

func TestFieldsAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		if seen[f.Key] || f.Doc == "" || f.Kind == "" {
			t.Errorf("%+v", f)
		}
		seen[f.Key] = true
		if f.at == nil {
			continue
		}
		// Every default must pass its own check.
		s := Defaults()
		if err := f.parse(&s, f.Default); err != nil {
			t.Error(err)
		}
	}
}
