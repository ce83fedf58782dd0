package oauth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"math"
	"net/url"
	"strings"
	"testing"
)

// mac is a tenant's secret.
type mac string

func (m mac) Sign(msg []byte) []byte {
	h := hmac.New(sha256.New, []byte(m))
	h.Write(msg)
	return h.Sum(nil)
}

func (m mac) Verify(msg, tag []byte) bool { return hmac.Equal(m.Sign(msg), tag) }

// A refresh token says which session and generation it is of, and nobody else can make one.
func TestRefreshToken(t *testing.T) {
	id := newSessionID()
	for _, generation := range []int64{1, 2, 1 << 40, math.MaxInt64} {
		token := RefreshToken(mac("a"), id, generation)
		if again := RefreshToken(mac("a"), id, generation); again != token {
			t.Error("made twice, it is another one")
		}
		if got, n, ok := ParseRefreshToken(mac("a"), token); !ok || n != generation || !bytes.Equal(got, id) {
			t.Error(got, n, ok)
		}
		if _, _, ok := ParseRefreshToken(mac("b"), token); ok {
			t.Error("another tenant takes it")
		}
		for i := range len(token) {
			changed := token[:i] + string(rune('A'+(token[i]-'A'+1)%26)) + token[i+1:]
			if _, _, ok := ParseRefreshToken(mac("a"), changed); ok && changed != token {
				t.Errorf("with another character at %d it is good", i)
			}
			if _, _, ok := ParseRefreshToken(mac("a"), token[:i]); ok {
				t.Errorf("cut at %d it is good", i)
			}
		}
		if _, _, ok := ParseRefreshToken(mac("a"), token+"A"); ok {
			t.Error("a longer one is good")
		}
	}
}

func TestTokenID(t *testing.T) {
	id := newSessionID()
	if got, n, ok := ParseTokenID(TokenID(id, 7)); !ok || n != 7 || !bytes.Equal(got, id) {
		t.Error(got, n, ok)
	}
	for _, bad := range []string{"", "x", TokenID(id, 7) + "AA", TokenID(id, 7)[:20], "!" + TokenID(id, 7)[1:]} {
		if _, _, ok := ParseTokenID(bad); ok {
			t.Error(bad)
		}
	}
}

// The vector of RFC 7636, appendix B.
func TestChallenge(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if !provesChallenge(verifier, challenge) {
		t.Error("it proves nothing")
	}
	for _, bad := range []string{"", verifier[1:], verifier + "x", strings.Repeat("a", 129), verifier[:42] + " "} {
		if provesChallenge(bad, challenge) {
			t.Error(bad)
		}
	}
}

// The way back to a client keeps what its address has, and says who answers.
func TestAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		redirect, mode, want string
	}{
		"query":    {"https://app.example.com/back", "", "https://app.example.com/back?code=c&iss=https%3A%2F%2Fpds.example.com&state=a+b"},
		"own":      {"https://app.example.com/back?x=1", "query", "https://app.example.com/back?x=1&code=c&iss=https%3A%2F%2Fpds.example.com&state=a+b"},
		"fragment": {"com.example.app:/back", "fragment", "com.example.app:/back#code=c&iss=https%3A%2F%2Fpds.example.com&state=a+b"},
	} {
		r := &Request{Params: Params{Redirect: c.redirect, Mode: c.mode, State: "a b", HasState: true}}
		if got := r.Answer("https://pds.example.com", [2]string{"code", "c"}).URL(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	r := &Request{Params: Params{Redirect: "https://app.example.com/"}}
	u, err := url.Parse(r.Refused("https://pds.example.com", AccessDenied, "no").URL())
	if err != nil || u.Query().Get("error") != AccessDenied || u.Query().Get("error_description") != "no" || u.Query().Has("state") {
		t.Error(u, err)
	}
}
