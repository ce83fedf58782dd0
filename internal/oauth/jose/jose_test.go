package jose_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

// TestAlgorithms: each algorithm is checked, and no signature passes for another text, key or algorithm.
func TestAlgorithms(t *testing.T) {
	other := oauthtest.NewKey(t, "ES256")
	for _, alg := range jose.Algorithms {
		k := oauthtest.NewKey(t, alg)
		pub, err := jose.ParseKey(k.JWK)
		if err != nil || pub.Thumbprint != k.Thumbprint || pub.ID != k.ID || pub.Alg != alg {
			t.Fatal(alg, pub, err)
		}
		text := k.Sign(t, map[string]any{"typ": "x"}, map[string]any{"a": 1})
		tok, err := jose.Parse(text)
		if err != nil || tok.Header.Typ != "x" || tok.Header.Alg != alg {
			t.Fatal(alg, tok, err)
		}
		if err := tok.Verify(pub); err != nil {
			t.Error(alg, err)
		}
		if alg != "ES256" {
			wrong, _ := jose.ParseKey(other.JWK)
			if err := tok.Verify(wrong); !errors.Is(err, jose.ErrSignature) {
				t.Error(alg, "another key:", err)
			}
		}
		parts := strings.Split(text, ".")
		for i := range parts {
			bent := append([]string{}, parts...)
			if i == 1 {
				bent[i] = base64.RawURLEncoding.EncodeToString([]byte(`{"a":2}`))
			} else {
				bent[i] = "A" + bent[i][1:]
			}
			if tok, err := jose.Parse(strings.Join(bent, ".")); err == nil {
				if err := tok.Verify(pub); err == nil && strings.Join(bent, ".") != text {
					t.Errorf("%s: part %d may be changed", alg, i)
				}
			}
		}
	}
}

// TestConfusion: a token does not choose how its key is read.
func TestConfusion(t *testing.T) {
	k := oauthtest.NewKey(t, "ES256")
	pub, _ := jose.ParseKey(k.JWK)
	good := strings.Split(k.Sign(t, nil, map[string]any{"a": 1}), ".")
	for _, head := range []string{`{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"RS256"}`, `{"alg":"ES384"}`, `{"alg":"ES256K"}`, `{"alg":""}`, `{}`, `{"alg":"ES256","crit":["b64"],"b64":false}`, `{"alg":"ES256","b64":false}`, `{"alg":["ES256"]}`, `nonsense`} {
		tok, err := jose.Parse(base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + good[1] + "." + good[2])
		if err == nil {
			err = tok.Verify(pub)
		}
		if err == nil {
			t.Error(head, "passes")
		}
	}
	for _, text := range []string{"", ".", "..", "a.b", "a.b.c.d", good[0] + "." + good[1], good[0] + "." + good[1] + "." + good[2] + "=", good[0] + "\n." + good[1] + "." + good[2], strings.Repeat("a", jose.MaxToken+1)} {
		if _, err := jose.Parse(text); !errors.Is(err, jose.ErrToken) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	var good map[string]any
	if err := json.Unmarshal(oauthtest.NewKey(t, "ES256").JWK, &good); err != nil {
		t.Fatal(err)
	}
	with := func(more map[string]any) []byte {
		all := map[string]any{}
		for k, v := range good {
			all[k] = v
		}
		for k, v := range more {
			all[k] = v
		}
		b, _ := json.Marshal(all)
		return b
	}
	small := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 128)))
	large := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 1024)))
	for name, raw := range map[string][]byte{
		"nothing": nil, "no object": []byte("5"), "empty": []byte("{}"),
		"private": with(map[string]any{"d": "AAAA"}), "secret": []byte(`{"kty":"oct","k":"AAAA"}`),
		"for encryption": with(map[string]any{"use": "enc"}), "for signing only": with(map[string]any{"key_ops": []string{"sign"}}),
		"other alg": with(map[string]any{"alg": "RS256"}), "not on the curve": with(map[string]any{"x": good["y"]}), "other curve": with(map[string]any{"crv": "P-384"}),
		"Ed25519":   []byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`),
		"small RSA": fmt.Appendf(nil, `{"kty":"RSA","e":"AQAB","n":%q}`, small), "large RSA": fmt.Appendf(nil, `{"kty":"RSA","e":"AQAB","n":%q}`, large),
		"huge":                       with(map[string]any{"x5c": strings.Repeat("a", 5000)}),
		"secp256k1 off the curve":    []byte(`{"kty":"EC","crv":"secp256k1","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`),
		"secp256k1 with short parts": []byte(`{"kty":"EC","crv":"secp256k1","x":"AAAA","y":"AAAA"}`),
	} {
		if k, err := jose.ParseKey(raw); !errors.Is(err, jose.ErrKey) {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	a, b := oauthtest.NewKey(t, "ES256"), oauthtest.NewKey(t, "PS256")
	set, err := jose.ParseSet(fmt.Appendf(nil, `{"keys":[%s,{"kty":"strange"},%s]}`, a.JWK, b.JWK))
	if err != nil || len(set) != 2 || set[0].ID != a.ID || set[1].ID != b.ID {
		t.Error(set, err)
	}
	for _, bad := range []string{"", "[]x", `{"keys":5}`, `{"keys":[{"kty":"EC","d":"x"}]}`, `{"keys":[` + strings.Repeat("{},", 60) + `{}]}`} {
		if set, err := jose.ParseSet([]byte(bad)); err == nil {
			t.Errorf("%.40s: %v", bad, set)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.AAAA", `{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`)
	k := oauthtest.NewKey(f, "ES256")
	f.Add(k.Sign(f, map[string]any{"jwk": k.JWK}, map[string]any{}), string(k.JWK))
	f.Fuzz(func(t *testing.T, token, key string) {
		k, err := jose.ParseKey([]byte(key))
		if tok, e := jose.Parse(token); e == nil && err == nil {
			_ = tok.Verify(k)
		}
	})
}
