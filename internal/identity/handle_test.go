package identity

import (
	"errors"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/vectors"
)

func TestSyntaxLists(t *testing.T) {
	handle := func(s string) error { _, err := NormalizeHandle(s); return err }
	for _, c := range []struct {
		list  string
		check func(string) error
		want  error
		own   []string
	}{
		{"handle_syntax_valid.txt", handle, nil, []string{"john.test", "A.B.C.example.com", "xn--ls8h.test", "8.cn"}},
		{"handle_syntax_invalid.txt", handle, ErrHandleSyntax, []string{"", "john", "john.0", "-a.test", "a-.test", "a..test", "jo_hn.test", " a.test", "a.test\n", "did:plc:x"}},
		{"did_syntax_valid.txt", ParseDID, nil, []string{"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:example.com", "did:web:localhost%3A1234"}},
		{"did_syntax_invalid.txt", ParseDID, ErrDIDSyntax, []string{"", "did", "did:", "did:plc:", "DID:plc:x", "did:plc:x/y", "did:plc:x#y", "did:plc:x?y"}},
	} {
		list := append(vectors.Lines(t, "syntax", c.list), c.own...)
		for _, s := range list {
			if err := c.check(s); !errors.Is(err, c.want) {
				t.Errorf("%s: %q: %v", c.list, s, err)
			}
		}
		t.Logf("%s: %d vectors", c.list, len(list))
	}
	for did, ok := range map[string]bool{
		"did:plc:ewvi7nxzyoun6zhxrhs64oiz":  true,
		"did:plc:ewvi7nxzyoun6zhxrhs64oi":   false,
		"did:plc:ewvi7nxzyoun6zhxrhs64oizz": false,
		"did:plc:ewvi7nxzyoun6zhxrhs64oi1":  false,
		"did:plc:EWVI7NXZYOUN6ZHXRHS64OIZ":  false,
		"did:web:example.com":               false,
	} {
		if err := CheckPLC(did); (err == nil) != ok {
			t.Errorf("%s: %v", did, err)
		}
	}
}

func TestHandlePolicy(t *testing.T) {
	p := HandlePolicy{
		Domains: []string{"pds.test", "deep.pds.test", "host.example.com"},
		Reserve: []string{"ourname"}, Release: []string{"blog"}, Refuse: []string{"badword"}, Dev: true,
	}
	prod := p
	prod.Dev = false
	wide := p
	wide.Min, wide.Max = 1, 40
	for _, c := range []struct {
		policy   HandlePolicy
		handle   string
		operator bool
		kind     HandleKind
		err      error
	}{
		{p, "alice.pds.test", false, HandleHosted, nil},
		{p, "Alice.PDS.test", false, HandleHosted, nil},
		{p, "alice.deep.pds.test", false, HandleHosted, nil},
		{p, "al-ice.host.example.com", false, HandleHosted, nil},
		{p, "alice.com", false, HandleExternal, nil},
		{p, "alice.example.com", false, HandleExternal, nil},
		{p, "alicepds.test", false, HandleExternal, nil},
		{p, "alice.test", false, HandleExternal, nil},
		{prod, "alice.test", false, 0, ErrHandleTLD},
		{prod, "alice.pds.test", false, 0, ErrHandleTLD},
		{p, "alice.local", false, 0, ErrHandleTLD},
		{p, "alice.Onion", true, 0, ErrHandleTLD},
		{p, "al.pds.test", false, 0, ErrHandleTooShort},
		{wide, "al.pds.test", false, HandleHosted, nil},
		{p, "al.pds.test", true, HandleHosted, nil},
		{p, strings.Repeat("a", 18) + ".pds.test", false, HandleHosted, nil},
		{p, strings.Repeat("a", 19) + ".pds.test", false, 0, ErrHandleTooLong},
		{wide, strings.Repeat("a", 19) + ".pds.test", false, HandleHosted, nil},
		{p, "a.lice.pds.test", false, 0, ErrHandleChars},
		{p, "a.lice.pds.test", true, 0, ErrHandleChars},
		{p, "pds.test", false, 0, ErrHandleReserved},
		{p, "pds.test", true, HandleHosted, nil},
		{p, "admin.pds.test", false, 0, ErrHandleReserved},
		{p, "ADMIN.pds.test", false, 0, ErrHandleReserved},
		{p, "admin.pds.test", true, HandleHosted, nil},
		{p, "admin.com", false, HandleExternal, nil},
		{p, "ourname.pds.test", false, 0, ErrHandleReserved},
		{p, "blog.pds.test", false, HandleHosted, nil},
		{p, "a-bad-word.pds.test", false, 0, ErrHandleRefused},
		{p, "al_ice.pds.test", false, 0, ErrHandleSyntax},
		{p, "", true, 0, ErrHandleSyntax},
		{HandlePolicy{}, "alice.com", false, HandleExternal, nil},
	} {
		h, kind, err := c.policy.Check(c.handle, c.operator)
		if kind != c.kind || !errors.Is(err, c.err) || (err == nil && h != strings.ToLower(c.handle)) {
			t.Errorf("%q (operator %v): %q %d %v", c.handle, c.operator, h, kind, err)
		}
		if err != nil && !HandleError(err) {
			t.Errorf("%v is not known as a handle error", err)
		}
	}
	if len(reservedNames) < 200 {
		t.Errorf("%d reserved names", len(reservedNames))
	}
	for name := range reservedNames {
		if _, err := NormalizeHandle(name + ".com"); err != nil || name != strings.ToLower(name) {
			t.Errorf("reserved name %q can be no label", name)
		}
	}
}

func TestHandleAnswers(t *testing.T) {
	const did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
	for _, c := range []struct {
		body string
		ok   bool
	}{
		{did, true}, {did + "\n", true}, {"  " + did + " \r\nmore", true},
		{"", false}, {"\n" + did, false}, {"<html>", false}, {did + " " + did, false},
	} {
		if got, err := parseHandleAnswer([]byte(c.body)); (err == nil) != c.ok || (c.ok && got != did) {
			t.Errorf("%q: %q %v", c.body, got, err)
		}
	}
	for _, c := range []struct {
		txt []string
		ok  bool
	}{
		{[]string{"did=" + did}, true},
		{[]string{"v=spf1", "did=" + did}, true},
		{[]string{"did=" + did, "did=" + did}, true},
		{[]string{"did=" + did, "did=did:web:example.com"}, false},
		{[]string{"did=", "did=" + did}, true},
		{[]string{"did=nonsense"}, false},
		{[]string{did}, false},
		{nil, false},
	} {
		if got, err := parseHandleTXT(c.txt); (err == nil) != c.ok || (c.ok && got != did) {
			t.Errorf("%q: %q %v", c.txt, got, err)
		}
	}
}
