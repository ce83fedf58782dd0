package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

const appID = "https://app.example.com/oauth/client.json"

type fields = map[string]any

// goodDocument is a public web client's.
func goodDocument(change ...any) fields {
	d := fields{
		"client_id": appID, "client_name": "App", "client_uri": "https://app.example.com", "redirect_uris": []string{"https://app.example.com/back"},
		"response_types": []string{"code"}, "grant_types": []string{"authorization_code", "refresh_token"}, "scope": "atproto transition:generic",
		"dpop_bound_access_tokens": true, "token_endpoint_auth_method": "none",
	}
	for i := 0; i < len(change); i += 2 {
		if d[change[i].(string)] = change[i+1]; change[i+1] == nil {
			delete(d, change[i].(string))
		}
	}
	return d
}

func text(t testing.TB, d any) []byte {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestClientIDs: what an id may look like.
func TestClientIDs(t *testing.T) {
	for _, id := range []string{appID, "https://app.example.com/a", "https://app.example.com:8443/a", "https://app.example.com/a?b=c", "https://xn--bcher-kva.example.org/a~b", "https://a.b.c.example.dev/%20"} {
		if err := CheckID(id, nil); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{
		"", "app", "http://app.example.com/a", "HTTPS://app.example.com/a", "https://app.example.com", "https://app.example.com/", "https://app.example.com/a/",
		"https://me@app.example.com/a", "https://me:pw@app.example.com/a", "https://app.example.com/a#b", "https://app.example.com/a#",
		"https://127.0.0.1/a", "https://[::1]/a", "https://[2606:4700::1111]/a", "https://8.8.8.8/a", "https://2130706433/a", "https://0x7f.1/a", "https://app/a", "https://app.example.com./a",
		"https://app.test/a", "https://app.local/a", "https://app.localhost/a", "https://app.invalid/a", "https://app.example/a", "https://app.internal/a", "https://a.onion/a",
		"https://app.example.com/a/../b", "https://app.example.com//a", "https://app.example.com/./a", "https://app.example.com/%41", "https://APP.example.com/a", "https://app.example.com:443/a",
		"https://app.example.com/" + strings.Repeat("a", 2000), "https://app.example.com/a\nb", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd",
	} {
		if err := CheckID(id, nil); !errors.Is(err, ErrID) {
			t.Errorf("%.100q: %v", id, err)
		}
	}
	if err := CheckID("https://127.0.0.1:8080/a", func(host string) bool { return host == "127.0.0.1:8080" }); err != nil {
		t.Error("allowed by the operator:", err)
	}
}

// TestDevelopmentClients: the id on localhost says all of it.
func TestDevelopmentClients(t *testing.T) {
	for id, want := range map[string]string{
		"http://localhost":  "[http://127.0.0.1/ http://[::1]/] atproto",
		"http://localhost/": "[http://127.0.0.1/ http://[::1]/] atproto",
		"http://localhost?scope=atproto+transition:generic":                                      "[http://127.0.0.1/ http://[::1]/] atproto transition:generic",
		"http://localhost/?redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&redirect_uri=http://[::1]/x": "[http://127.0.0.1/cb http://[::1]/x] atproto",
	} {
		c, err := development(id)
		if err != nil || fmt.Sprint(c.Redirects, " ", c.Scope) != want || !c.Native || c.Confidential || !c.Development || !c.Refreshes {
			t.Errorf("%s: %+v, %v", id, c, err)
		}
	}
	for _, id := range []string{
		"http://localhost:80", "http://localhost/a", "http://localhost#a", "http://localhost?a=b", "http://localhost?scope=atproto&scope=atproto", "http://localhost?scope=transition:generic",
		"http://localhost?scope=", "http://localhost?redirect_uri=http://localhost/", "http://localhost?redirect_uri=https://127.0.0.1/", "http://localhost?redirect_uri=http://example.com/",
		"http://localhost?redirect_uri=http://127.0.0.1/%23", "http://localhost?redirect_uri=http://me@127.0.0.1/", "http://localhost@example.com/", "http://localhost?redirect_uri=http://127.0.0.2/", "http://localhost?%zz",
	} {
		if c, err := development(id); !errors.Is(err, ErrID) {
			t.Errorf("%s: %+v, %v", id, c, err)
		}
	}
	for _, id := range []string{"http://localhost.example.com/", "https://localhost", "http://localhosts"} {
		if isDevelopment(id) {
			t.Errorf("%s is a development client", id)
		}
	}
}

// TestDocuments: each rule of a document by itself.
func TestDocuments(t *testing.T) {
	key, private := oauthtest.NewKey(t, "ES256"), fields{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}
	set := func(keys ...any) fields { return fields{"keys": keys} }
	confidential := func(change ...any) fields {
		return goodDocument(append([]any{"token_endpoint_auth_method", "private_key_jwt", "token_endpoint_auth_signing_alg", "ES256", "jwks", set(key.JWK)}, change...)...)
	}
	native := func(redirects ...string) fields {
		return goodDocument("application_type", "native", "redirect_uris", redirects)
	}
	for name, d := range map[string]fields{
		"public": goodDocument(), "web": goodDocument("application_type", "web"), "no refresh": goodDocument("grant_types", []string{"authorization_code"}),
		"confidential": confidential(), "keys elsewhere": confidential("jwks", nil, "jwks_uri", "https://app.example.com/jwks.json"),
		"a key of no use beside": confidential("jwks", set(fields{"kty": "OKP", "crv": "Ed25519", "x": "AA"}, key.JWK)),
		"unknown members":        goodDocument("something_else", true), "public subject": goodDocument("subject_type", "public"),
		"parent": goodDocument("client_uri", "https://app.example.com/oauth"), "itself": goodDocument("client_uri", appID),
		"native": native("http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb", "https://app.example.com/cb"), "links": goodDocument("logo_uri", "https://cdn.example.org/l.png", "tos_uri", "https://app.example.com/t", "policy_uri", "https://app.example.com/p"),
	} {
		if _, err := parse(appID, text(t, d), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, d := range map[string]any{
		"another id": goodDocument("client_id", appID+"x"), "no id": goodDocument("client_id", nil), "a list": []int{1}, "a text": "x", "id as number": goodDocument("client_id", 5),
		"no redirects": goodDocument("redirect_uris", []string{}), "redirects missing": goodDocument("redirect_uris", nil), "many redirects": goodDocument("redirect_uris", strings.Split(strings.Repeat("https://app.example.com/b ", 60)+"x", " ")),
		"no code": goodDocument("response_types", []string{"token"}), "no response types": goodDocument("response_types", nil),
		"implicit": goodDocument("grant_types", []string{"authorization_code", "implicit"}), "no grants": goodDocument("grant_types", nil), "refresh only": goodDocument("grant_types", []string{"refresh_token"}),
		"grant twice": goodDocument("grant_types", []string{"authorization_code", "authorization_code"}),
		"no scope":    goodDocument("scope", nil), "no atproto": goodDocument("scope", "transition:generic"), "scope twice": goodDocument("scope", "atproto atproto"), "scope not ASCII": goodDocument("scope", "atproto ü"), "scope with a line": goodDocument("scope", "atproto\nx"),
		"not bound": goodDocument("dpop_bound_access_tokens", false), "binding missing": goodDocument("dpop_bound_access_tokens", nil), "binding as text": goodDocument("dpop_bound_access_tokens", "true"),
		"method missing": goodDocument("token_endpoint_auth_method", nil), "secret": goodDocument("token_endpoint_auth_method", "client_secret_post"), "alg without key": goodDocument("token_endpoint_auth_signing_alg", "ES256"),
		"no alg": confidential("token_endpoint_auth_signing_alg", nil), "alg none": confidential("token_endpoint_auth_signing_alg", "none"), "alg HS256": confidential("token_endpoint_auth_signing_alg", "HS256"),
		"no keys": confidential("jwks", nil), "both": confidential("jwks_uri", "https://app.example.com/jwks.json"), "no key in it": confidential("jwks", set()), "no usable key": confidential("jwks", set(fields{"kty": "oct", "k": "AAAA"})),
		"a private key": confidential("jwks", set(private)), "a private key beside": confidential("jwks", set(key.JWK, private)), "keys by http": confidential("jwks", nil, "jwks_uri", "http://app.example.com/jwks.json"),
		"native with key": confidential("application_type", "native"), "application type": goodDocument("application_type", "service"),
		"pairwise": goodDocument("subject_type", "pairwise"), "ID tokens": goodDocument("id_token_signed_response_alg", "ES256"), "userinfo": goodDocument("userinfo_signed_response_alg", "ES256"), "max age": goodDocument("default_max_age", 0),
		"mTLS": goodDocument("tls_client_certificate_bound_access_tokens", true), "encrypted": goodDocument("authorization_encrypted_response_alg", "RSA-OAEP"),
		"page elsewhere": goodDocument("client_uri", "https://example.com"), "page beside": goodDocument("client_uri", "https://app.example.com/other"), "page by http": goodDocument("client_uri", "http://app.example.com"),
		"page of a prefix": goodDocument("client_uri", "https://app.example.com/oau"), "logo by http": goodDocument("logo_uri", "http://app.example.com/l.png"), "logo as data": goodDocument("logo_uri", "data:image/png;base64,AA"), "terms as script": goodDocument("tos_uri", "javascript:alert(1)"),
		"policy with password": goodDocument("policy_uri", "https://a:b@app.example.com"), "long name": goodDocument("client_name", strings.Repeat("x", 101)),
	} {
		if c, err := parse(appID, text(t, d), nil); !errors.Is(err, ErrMetadata) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	for _, r := range []string{
		"http://app.example.com/back", "http://127.0.0.1/", "http://localhost/", "https://localhost/", "https://127.0.0.1/", "https://app/", "https://app.local/", "https://me@app.example.com/", "https://app.example.com/#x", "com.example.app:/cb", "javascript:alert(1)", "data:text/html,x", "/back", "",
	} {
		if _, err := parse(appID, text(t, goodDocument("redirect_uris", []string{r})), nil); !errors.Is(err, ErrRedirect) {
			t.Errorf("web, %q: %v", r, err)
		}
	}
	for _, r := range []string{"http://localhost/", "http://127.0.0.2/", "http://app.example.com/", "com.example.app://cb", "com.example.app:cb", "com.example:/cb", "app:/cb", "com.example.app:///cb", "com.other.app:/cb", "javascript:/x"} {
		if _, err := parse(appID, text(t, native(r)), nil); !errors.Is(err, ErrRedirect) {
			t.Errorf("native, %q: %v", r, err)
		}
	}
}

// TestRedirects: what a request may ask for, by what is registered.
func TestRedirects(t *testing.T) {
	c := &Client{Redirects: []string{"https://app.example.com/back", "http://127.0.0.1/cb", "http://[::1]:8080/cb", "com.example.app:/cb"}}
	for _, asked := range []string{"https://app.example.com/back", "http://127.0.0.1/cb", "http://127.0.0.1:5555/cb", "http://[::1]:8080/cb", "com.example.app:/cb"} {
		if got, err := c.Redirect(asked); err != nil || got != asked {
			t.Error(asked, got, err)
		}
	}
	for _, asked := range []string{
		"", "https://app.example.com/back/", "https://app.example.com/back?x", "https://app.example.com:443/back", "https://APP.example.com/back", "https://app.example.com.evil.org/back", "https://app.example.com/back#x",
		"http://127.0.0.1:5555/other", "http://127.0.0.1:5555/cb?x", "http://127.0.0.1:5555/cb#", "http://me@127.0.0.1:5555/cb", "http://[::1]/cb", "http://[::1]:8081/cb", "http://localhost/cb", "https://127.0.0.1/cb", "com.example.app:/other", "javascript:alert(1)",
	} {
		if got, err := c.Redirect(asked); !errors.Is(err, ErrRedirect) {
			t.Error(asked, got, err)
		}
	}
	if got, err := (&Client{Redirects: []string{"https://app.example.com/back"}}).Redirect(""); err != nil || got != "https://app.example.com/back" {
		t.Error(got, err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(string(text(f, goodDocument())), appID)
	f.Add(`{"client_id":"https://app.example.com/oauth/client.json","jwks":{"keys":[{"kty":"RSA"}]}}`, appID)
	f.Fuzz(func(t *testing.T, doc, id string) {
		if CheckID(id, nil) != nil {
			return
		}
		c, err := parse(id, []byte(doc), nil)
		if err != nil {
			return
		}
		if c.ID != id || len(c.Redirects) == 0 || c.Confidential == (len(c.Keys) == 0 && c.KeysURL == "") && c.Confidential {
			t.Errorf("%+v", c)
		}
		for _, r := range c.Redirects {
			if got, err := c.Redirect(r); err != nil || got != r {
				t.Error(r, got, err)
			}
		}
	})
}
