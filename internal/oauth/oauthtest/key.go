// Package oauthtest is an OAuth client for tests: keys, proofs of possession and assertions, good ones and bad ones.
package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	gojose "github.com/go-jose/go-jose/v4"
)

// Key is a private key.
type Key struct {
	ID  string
	Alg string
	// JWK is the public part.
	JWK        json.RawMessage
	Thumbprint string
	sign       func(signed []byte) []byte // for secp256k1
	private    any
}

// NewKey makes a key for an algorithm: ES256, ES384, ES512, ES256K, PS… or RS….
func NewKey(t testing.TB, alg string) *Key {
	t.Helper()
	k := &Key{ID: "key-" + rand.Text()[:8], Alg: alg}
	var pub any
	switch alg {
	case "ES256K":
		return newK256(t, k)
	case "ES256", "ES384", "ES512":
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[alg]
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k.private, pub = key, &key.PublicKey
	default:
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		k.private, pub = key, &key.PublicKey
	}
	jwk := gojose.JSONWebKey{Key: pub, KeyID: k.ID, Algorithm: alg, Use: "sig"}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	k.Thumbprint = b64(sum)
	if k.JWK, err = jwk.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	return k
}

func newK256(t testing.TB, k *Key) *Key {
	t.Helper()
	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	raw := pub.UncompressedBytes()
	x, y := b64(raw[1:33]), b64(raw[33:])
	k.JWK = json.RawMessage(fmt.Sprintf(`{"kty":"EC","crv":"secp256k1","x":%q,"y":%q,"kid":%q,"alg":"ES256K"}`, x, y, k.ID))
	sum := sha256.Sum256([]byte(`{"crv":"secp256k1","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	k.Thumbprint = b64(sum[:])
	k.sign = func(signed []byte) []byte {
		sig, err := key.HashAndSign(signed)
		if err != nil {
			t.Error(err)
		}
		return sig
	}
	return k
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Sign makes a compact token. header is added to alg.
func (k *Key) Sign(t testing.TB, header map[string]any, claims any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	if k.sign != nil {
		all := map[string]any{"alg": k.Alg}
		maps.Copy(all, header)
		head, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		signed := b64(head) + "." + b64(body)
		return signed + "." + b64(k.sign([]byte(signed)))
	}
	options := &gojose.SignerOptions{ExtraHeaders: map[gojose.HeaderKey]any{}}
	for name, v := range header {
		options.ExtraHeaders[gojose.HeaderKey(name)] = v
	}
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(k.Alg), Key: k.private}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Proof is what a proof of possession says; zero members are filled in, and Change is done to the claims last.
type Proof struct {
	Method, URL, Nonce string
	Token              string // the access token beside it
	At                 time.Time
	JTI                string
	Change             func(header, claims map[string]any)
}

// Prove makes a proof of possession.
func (k *Key) Prove(t testing.TB, p Proof) string {
	t.Helper()
	header := map[string]any{"typ": "dpop+jwt", "jwk": k.JWK}
	claims := map[string]any{"htm": p.Method, "htu": p.URL, "iat": p.At.Unix(), "jti": p.JTI}
	if p.JTI == "" {
		claims["jti"] = rand.Text()
	}
	if p.At.IsZero() {
		claims["iat"] = time.Now().Unix()
	}
	if p.Nonce != "" {
		claims["nonce"] = p.Nonce
	}
	if p.Token != "" {
		sum := sha256.Sum256([]byte(p.Token))
		claims["ath"] = b64(sum[:])
	}
	if p.Change != nil {
		p.Change(header, claims)
	}
	return k.Sign(t, header, claims)
}

// Assert makes what a confidential client proves itself with.
func (k *Key) Assert(t testing.TB, clientID, issuer string, now time.Time, change func(header, claims map[string]any)) string {
	t.Helper()
	header := map[string]any{"kid": k.ID}
	claims := map[string]any{"iss": clientID, "sub": clientID, "aud": issuer, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text()}
	if change != nil {
		change(header, claims)
	}
	return k.Sign(t, header, claims)
}
