package client

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

const issuer = "https://pds.example.com"

// bomb is a little gzip that unpacks to far more than a document may have.
func bomb(t testing.TB) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 20*maxDocument)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// confidential publishes a client with keys of its own host.
func (w *world) confidential(keysAt string, alg string, keys ...*oauthtest.Key) *Client {
	w.t.Helper()
	set := []any{}
	for _, k := range keys {
		set = append(set, k.JWK)
	}
	d := goodDocument("token_endpoint_auth_method", "private_key_jwt", "token_endpoint_auth_signing_alg", alg)
	if keysAt != "" {
		d["jwks_uri"] = keysAt
		w.serves(keysAt, fields{"keys": set})
	} else {
		d["jwks"] = fields{"keys": set}
	}
	w.serves(appID, d)
	c, err := w.store.Get(w.t.Context(), nobody, appID)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestAssertions(t *testing.T) {
	w := newWorld(t)
	key, other := oauthtest.NewKey(t, "ES256"), oauthtest.NewKey(t, "ES256")
	c := w.confidential("", "ES256", key)
	now := w.clock()
	claim := func(name string, v any) string {
		return key.Assert(t, appID, issuer, now, func(_, claims map[string]any) {
			if claims[name] = v; v == nil {
				delete(claims, name)
			}
		})
	}
	header := func(name string, v any) string {
		return key.Assert(t, appID, issuer, now, func(h, _ map[string]any) {
			if h[name] = v; v == nil {
				delete(h, name)
			}
		})
	}
	try := func(kind, text string) (Proved, error) {
		return w.store.Authenticate(t.Context(), nobody, c, kind, text, issuer)
	}
	for name, text := range map[string]string{
		"good": claim("x", 1), "aud in a list": claim("aud", []string{issuer}), "a minute old": claim("iat", now.Add(-60*time.Second).Unix()), "no exp": claim("exp", nil), "a fast clock": claim("iat", now.Add(10*time.Second).Unix()), "good in a moment": claim("nbf", now.Add(10*time.Second).Unix()),
	} {
		p, err := try(AssertionType, text)
		if err != nil || p.KeyID != key.ID || p.Alg != "ES256" || p.Thumbprint != key.Thumbprint || !p.Any() || !p.Until.After(now) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if p, err := try(AssertionType, claim("cnf", map[string]any{"jkt": "abc"})); err != nil || p.BoundTo != "abc" {
		t.Error(p, err)
	}
	if p, err := try(AssertionType, claim("exp", nil)); err != nil || p.Until.Sub(now) != assertionKept {
		t.Error(p, err)
	}
	one, _ := try(AssertionType, claim("jti", "one"))
	same, _ := try(AssertionType, claim("jti", "one"))
	two, _ := try(AssertionType, claim("jti", "two"))
	if one.Once != same.Once || one.Once == two.Once {
		t.Error("jti does not name the assertion")
	}
	parts := strings.Split(claim("x", 1), ".")
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	forged := oauthtest.NewKey(t, "ES256")
	forged.ID = key.ID
	for name, text := range map[string]string{
		"nothing": "", "garbage": "x.y.z", "huge": strings.Repeat("a", 1<<20), "iss": claim("iss", "https://other.example.com/c"), "sub": claim("sub", "me"), "no sub": claim("sub", nil),
		"aud": claim("aud", "https://other.example.com"), "aud of the endpoint": claim("aud", issuer+"/oauth/token"), "aud with slash": claim("aud", issuer+"/"), "no aud": claim("aud", nil), "aud number": claim("aud", 5),
		"old": claim("iat", now.Add(-70*time.Second).Unix()), "future": claim("iat", now.Add(time.Minute).Unix()), "no iat": claim("iat", nil), "expired": claim("exp", now.Add(-10*time.Second).Unix()), "for too long": claim("exp", now.Add(2*time.Hour).Unix()),
		"not yet": claim("nbf", now.Add(time.Minute).Unix()), "no jti": claim("jti", nil), "long jti": claim("jti", strings.Repeat("x", 300)), "jti number": claim("jti", 5),
		"no kid": header("kid", nil), "another kid": header("kid", "other"), "kid as a path": header("kid", "../../dev/null"), "kid as a query": header("kid", "' OR 1=1 --"), "crit": header("crit", []string{"b64"}),
		"the key in the header": header("kid", other.ID), "another's key": other.Assert(t, appID, issuer, now, nil), "its id on another's key": forged.Assert(t, appID, issuer, now, nil),
		"alg none": enc(`{"alg":"none","kid":"`+key.ID+`"}`) + "." + parts[1] + ".", "alg HS256": enc(`{"alg":"HS256","kid":"`+key.ID+`"}`) + "." + parts[1] + "." + parts[2], "another alg of the key": enc(`{"alg":"ES384","kid":"`+key.ID+`"}`) + "." + parts[1] + "." + parts[2],
		"changed": parts[0] + "." + enc(`{"iss":"`+appID+`"}`) + "." + parts[2], "signature cut": strings.Join(parts[:2], ".") + "." + parts[2][:40], "no signature": strings.Join(parts[:2], ".") + ".",
	} {
		if p, err := try(AssertionType, text); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := try("urn:ietf:params:oauth:client-assertion-type:saml2-bearer", claim("x", 1)); !errors.Is(err, ErrAuthentication) {
		t.Error(err)
	}
	public := &Client{ID: appID}
	if p, err := w.store.Authenticate(t.Context(), nobody, public, "", "", issuer); err != nil || p.Any() {
		t.Error(p, err)
	}
	if _, err := w.store.Authenticate(t.Context(), nobody, public, AssertionType, claim("x", 1), issuer); !errors.Is(err, ErrAuthentication) {
		t.Error("a public client with an assertion:", err)
	}
}

// TestKeysChange: a key that is new is found, one that is gone is not believed any more, and asking for unknown ones does
// not make this server ask again and again.
func TestKeysChange(t *testing.T) {
	w := newWorld(t)
	const keysAt = "https://keys.example.com/jwks.json"
	old, fresher := oauthtest.NewKey(t, "ES256"), oauthtest.NewKey(t, "ES256")
	c := w.confidential(keysAt, "ES256", old)
	try := func(k *oauthtest.Key) error {
		_, err := w.store.Authenticate(t.Context(), nobody, c, AssertionType, k.Assert(t, appID, issuer, w.clock(), nil), issuer)
		return err
	}
	if err := try(old); err != nil {
		t.Fatal(err)
	}
	w.serves(keysAt, fields{"keys": []any{fresher.JWK}})
	for range 5 {
		if err := try(fresher); !errors.Is(err, ErrAuthentication) {
			t.Fatal("fetched again within a minute:", err)
		}
	}
	if n := w.times(keysAt); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.wait(shortest)
	if err := try(fresher); err != nil {
		t.Error(err)
	}
	if err := try(old); !errors.Is(err, ErrAuthentication) {
		t.Error("a key that is gone:", err)
	}
	if has, err := w.store.HasKey(t.Context(), nobody, c, old.ID, old.Thumbprint); has || err != nil {
		t.Error(has, err)
	}
	if has, err := w.store.HasKey(t.Context(), nobody, c, fresher.ID, fresher.Thumbprint); !has || err != nil {
		t.Error(has, err)
	}
	if has, _ := w.store.HasKey(t.Context(), nobody, c, fresher.ID, old.Thumbprint); has {
		t.Error("another key of the same id")
	}
	inside := *c
	inside.KeysURL = "https://127.0.0.1/jwks.json"
	if _, err := w.store.Authenticate(t.Context(), nobody, &inside, AssertionType, old.Assert(t, appID, issuer, w.clock(), nil), issuer); !errors.Is(err, ErrMetadata) {
		t.Error("keys at an address:", err)
	}
}

// TestRequestObjects: parameters in a signed token.
func TestRequestObjects(t *testing.T) {
	w := newWorld(t)
	key := oauthtest.NewKey(t, "ES256")
	c := w.confidential("", "ES256", key)
	now := w.clock()
	sign := func(change func(h, c map[string]any)) string {
		return key.Assert(t, appID, issuer, now, func(h, claims map[string]any) {
			claims["client_id"], claims["scope"] = appID, "atproto"
			if change != nil {
				change(h, claims)
			}
		})
	}
	params, once, err := w.store.ParseRequest(t.Context(), nobody, c, sign(nil), issuer)
	if err != nil || params["scope"] != "atproto" || params["client_id"] != appID || once.Thumbprint != key.Thumbprint || once.Until.Sub(now) != assertionKept {
		t.Fatal(params, once, err)
	}
	set := func(name string, v any) string {
		return sign(func(_, claims map[string]any) {
			if claims[name] = v; v == nil {
				delete(claims, name)
			}
		})
	}
	parts := strings.Split(sign(nil), ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	for name, text := range map[string]string{
		"iss": set("iss", "other"), "client_id": set("client_id", "other"), "aud": set("aud", "other"), "no jti": set("jti", nil), "old": set("iat", now.Add(-65*time.Second).Unix()), "future": set("iat", now.Add(time.Minute).Unix()), "expired": set("exp", now.Add(-10*time.Second).Unix()),
		"a request in it": set("request", "x"), "a request_uri in it": set("request_uri", "x"), "a list": set("scope", []string{"atproto"}), "unsigned": none, "garbage": "x", "another key": oauthtest.NewKey(t, "ES256").Assert(t, appID, issuer, now, nil),
	} {
		if p, _, err := w.store.ParseRequest(t.Context(), nobody, c, text, issuer); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if p, _, err := w.store.ParseRequest(t.Context(), nobody, &Client{ID: appID}, none, issuer); err != nil || p["scope"] != "atproto" {
		t.Error("unsigned, of a public client:", err)
	}
}

func FuzzAssertion(f *testing.F) {
	w := newWorld(f)
	key := oauthtest.NewKey(f, "ES256")
	c := w.confidential("", "ES256", key)
	good := key.Assert(f, appID, issuer, w.clock(), nil)
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := w.store.Authenticate(t.Context(), nobody, c, AssertionType, text, issuer)
		if err == nil && text != good {
			t.Errorf("taken: %q", text)
		}
		_, _, _ = w.store.ParseRequest(t.Context(), nobody, c, text, issuer)
	})
}
