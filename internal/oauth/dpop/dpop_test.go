package dpop_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/oauth/dpop"
	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

const target = "https://pds.example.com/oauth/token"

func TestCheck(t *testing.T) {
	now := time.Now()
	nonces := dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	k := oauthtest.NewKey(t, "ES256")
	try := func(change func(p *oauthtest.Proof)) (dpop.Proof, error) {
		p := oauthtest.Proof{Method: "POST", URL: target, Nonce: nonces.Next(now), At: now, JTI: "one"}
		if change != nil {
			change(&p)
		}
		token := p.Token
		return dpop.Check([]string{k.Prove(t, p)}, "POST", target, nonces, token, now)
	}
	proof, err := try(nil)
	if err != nil || proof.JKT != k.Thumbprint || proof.JTI != "one" {
		t.Fatal(proof, err)
	}
	header := func(name string, value any) func(*oauthtest.Proof) {
		return func(p *oauthtest.Proof) { p.Change = func(h, _ map[string]any) { h[name] = value } }
	}
	claim := func(name string, value any) func(*oauthtest.Proof) {
		return func(p *oauthtest.Proof) { p.Change = func(_, c map[string]any) { c[name] = value } }
	}
	good := map[string]func(*oauthtest.Proof){
		"query in htu": func(p *oauthtest.Proof) { p.URL += "?a=b#c" }, "host in capitals": func(p *oauthtest.Proof) { p.URL = "https://PDS.example.com:443/oauth/token" },
		"slow clock": claim("iat", now.Add(-180*time.Second).Unix()), "fast clock": claim("iat", now.Add(179*time.Second).Unix()),
		"nonce before": func(p *oauthtest.Proof) { p.Nonce = nonces.Next(now.Add(-60 * time.Second)) }, "with a token": func(p *oauthtest.Proof) { p.Token = "abc" },
	}
	for name, change := range good {
		if _, err := try(change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*oauthtest.Proof){
		"typ": header("typ", "JWT"), "no typ": header("typ", ""), "method": func(p *oauthtest.Proof) { p.Method = "post" }, "path": func(p *oauthtest.Proof) { p.URL += "/" },
		"host": func(p *oauthtest.Proof) { p.URL = "https://other.example.com/oauth/token" }, "scheme": func(p *oauthtest.Proof) { p.URL = "http://pds.example.com/oauth/token" },
		"credentials": func(p *oauthtest.Proof) { p.URL = "https://a@pds.example.com/oauth/token" }, "port": func(p *oauthtest.Proof) { p.URL = "https://pds.example.com:444/oauth/token" },
		"no URL": func(p *oauthtest.Proof) { p.URL = "" }, "old": claim("iat", now.Add(-200*time.Second).Unix()), "future": claim("iat", now.Add(200*time.Second).Unix()), "no iat": claim("iat", 0),
		"no jti": claim("jti", ""), "long jti": claim("jti", fmt.Sprintf("%300d", 1)), "ath without token": claim("ath", dpop.TokenHash("abc")), "jti as number": claim("jti", 5),
		"private key": header("jwk", map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}), "another key": header("jwk", oauthtest.NewKey(t, "ES256").JWK), "no key": header("jwk", nil),
		"symmetric": header("jwk", map[string]any{"kty": "oct", "k": "AAAA"}),
		"other ath": func(p *oauthtest.Proof) {
			p.Token = "abc"
			p.Change = func(_, c map[string]any) { c["ath"] = dpop.TokenHash("abd") }
		},
	} {
		if _, err := try(change); !errors.Is(err, dpop.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*oauthtest.Proof){
		"no nonce": func(p *oauthtest.Proof) { p.Nonce = "" }, "strange nonce": func(p *oauthtest.Proof) { p.Nonce = "abc" },
		"old nonce": func(p *oauthtest.Proof) { p.Nonce = nonces.Next(now.Add(-200 * time.Second)) }, "future nonce": func(p *oauthtest.Proof) { p.Nonce = nonces.Next(now.Add(200 * time.Second)) },
		"another tenant's": func(p *oauthtest.Proof) { p.Nonce = dpop.NewNonces([]byte("another")).Next(now) },
	} {
		if _, err := try(change); !errors.Is(err, dpop.ErrNonce) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := dpop.Check(nil, "POST", target, nonces, "", now); !errors.Is(err, dpop.ErrMissing) {
		t.Error(err)
	}
	for _, headers := range [][]string{{""}, {"a", "b"}, {"nonsense"}} {
		if _, err := dpop.Check(headers, "POST", target, nonces, "", now); !errors.Is(err, dpop.ErrProof) {
			t.Error(headers, err)
		}
	}
	for _, alg := range jose.Algorithms {
		k := oauthtest.NewKey(t, alg)
		p, err := dpop.Check([]string{k.Prove(t, oauthtest.Proof{Method: "GET", URL: target, Nonce: nonces.Next(now), At: now})}, "GET", target, nonces, "", now)
		if err != nil || p.JKT != k.Thumbprint {
			t.Error(alg, p, err)
		}
	}
}

// TestNonceAges: a nonce is good from when it is given out for at least a minute, and never for more than five.
func TestNonceAges(t *testing.T) {
	n := dpop.NewNonces([]byte("secret"))
	start := time.Unix(1_800_000_000, 0)
	for at := range 120 {
		given := start.Add(time.Duration(at) * time.Second)
		nonce := n.Next(given)
		for _, after := range []time.Duration{0, 30 * time.Second, 60 * time.Second, 119 * time.Second} {
			if !n.Valid(nonce, given.Add(after)) {
				t.Errorf("%s after it was given at %d it is no good", after, at)
			}
		}
		if n.Valid(nonce, given.Add(5*time.Minute)) || n.Valid(nonce, given.Add(-3*time.Minute)) {
			t.Errorf("good for too long")
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	now := time.Now()
	nonces := dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	for _, alg := range []string{"ES256", "ES256K", "RS256"} {
		b.Run(alg, func(b *testing.B) {
			k := oauthtest.NewKey(b, alg)
			proof := []string{k.Prove(b, oauthtest.Proof{Method: "POST", URL: target, Nonce: nonces.Next(now), At: now, Token: "token"})}
			for b.Loop() {
				if _, err := dpop.Check(proof, "POST", target, nonces, "token", now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
