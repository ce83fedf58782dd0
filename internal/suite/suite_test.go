package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestNames asks the name server of the world as Go does.
func TestNames(t *testing.T) {
	names := &texts{records: map[string]string{"_lexicon.example.net": "did=did:web:example.net"}}
	query := func(name string, kind byte) []byte {
		q := []byte{7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
		for _, label := range strings.Split(name, ".") {
			q = append(append(q, byte(len(label))), label...)
		}
		return append(q, 0, 0, kind, 0, 1)
	}
	for _, c := range []struct {
		name    string
		kind    byte
		code    byte
		answers byte
		ends    string
	}{
		{"North.Example.com", 1, 0, 1, "\x7f\x00\x00\x01"},
		{"alice.north.example.com", 1, 0, 1, "\x7f\x00\x00\x01"},
		{"alice.app.suite.alt", 1, 3, 0, ""},
		{"north.example.com", 28, 0, 0, ""},
		{"_lexicon.example.net", 16, 0, 1, "\x17did=did:web:example.net"},
		{"example.net", 16, 3, 0, ""},
	} {
		a := names.answer(query(c.name, c.kind))
		if len(a) < 12 || a[0] != 7 || a[1] != 9 || a[3]&15 != c.code || a[7] != c.answers || !strings.HasSuffix(string(a), c.ends) {
			t.Errorf("%s %d: %q", c.name, c.kind, a)
		}
	}
	for _, q := range [][]byte{nil, []byte("short"), append(make([]byte, 12), 200, 1, 2, 3, 4, 5)} {
		if a := names.answer(q); a != nil {
			t.Errorf("a broken question is answered: %q", a)
		}
	}
}

// TestFront puts a document onto a client's host and reads it, with a certificate of the world's authority.
func TestFront(t *testing.T) {
	f, err := newFront(filepath.Join(t.TempDir(), "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	f.texts = &texts{records: map[string]string{}}
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+" "+r.Header.Get("X-Forwarded-Proto"))
	}))
	defer behind.Close()
	f.route(behind.Listener.Addr().String(), north)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.serve(l); err != nil {
		t.Fatal(err)
	}
	defer f.close()
	transport := f.transport()
	transport.DialContext = dialTo(l.Addr().String())
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	ask := func(method, url, body string) (int, string, string) {
		t.Helper()
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text), res.Header.Get("Content-Type")
	}
	if code, _, _ := ask("GET", "https://app.suite.alt/a.json", ""); code != 404 {
		t.Errorf("before: %d", code)
	}
	if code, _, _ := ask("PUT", "https://app.suite.alt/a.json", "{}"); code != 204 {
		t.Errorf("put: %d", code)
	}
	if code, text, kind := ask("GET", "https://app.suite.alt/a.json", ""); code != 200 || text != "{}" || kind != "application/json" {
		t.Errorf("get: %d %q %q", code, text, kind)
	}
	if code, _, _ := ask("GET", "https://spa.suite.alt/a.json", ""); code != 404 {
		t.Errorf("another host has it, too: %d", code)
	}
	if _, text, _ := ask("GET", "https://alice.north.example.com/", ""); text != "alice.north.example.com https" {
		t.Errorf("a tenant's host: %q", text)
	}
	if code, _, _ := ask("PUT", "https://"+nameHost+"/_lexicon.example.net", "did=x"); code != 204 || f.texts.records["_lexicon.example.net"] != "did=x" {
		t.Errorf("a name: %d %v", code, f.texts.records)
	}
}

// TestSigner checks what signer makes with the library's own verification.
func TestSigner(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	s, err := newSigner(jwk{"EC", "P-256", text(public[1:33]), text(public[33:]), text(private)})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(s.sign(s.header, map[string]any{"jti": "x"}), ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 64 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(&key.PublicKey, sum[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
		t.Error("the signature does not fit")
	}
	if _, err := newSigner(jwk{"EC", "P-256", "AQ", "AQ", "AQ"}); err == nil {
		t.Error("a point off the curve is taken")
	}
}
