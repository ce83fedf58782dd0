package handlers

import (
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/identity"
)

// orderK256 is the order of secp256k1.
// spec: SEC 2 section 2.4.1
const orderK256 = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"

// otherS is the token with the second signature that everybody can write to it: the order less s.
func otherS(t *testing.T, token string, order *big.Int) string {
	t.Helper()
	at := strings.LastIndexByte(token, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(token[at:])
	if err != nil || len(sig) != 64 {
		t.Fatal(err, len(sig))
	}
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(order, s).FillBytes(sig[32:])
	return token[:at] + base64.RawURLEncoding.EncodeToString(sig)
}

// Signatures of both curves, with a low or a high s, count; a token is the same one with either.
func TestServiceTokenSignatures(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k256, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	p256, err := atcrypto.GeneratePrivateKeyP256()
	if err != nil {
		t.Fatal(err)
	}
	order, _ := new(big.Int).SetString(orderK256, 16)
	const sendEmail = "com.atproto.admin.sendEmail"
	for _, c := range []struct {
		alg   string
		key   atcrypto.PrivateKey
		order *big.Int
	}{{"ES256K", k256, order}, {"ES256", p256, elliptic.P256().Params().N}} {
		mod, alice := h.createAccount(hostB, "mod-"+strings.ToLower(c.alg)), h.createAccount(hostA, "to-"+strings.ToLower(c.alg))
		pub, err := c.key.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		mod.plcUpdate(func(op *identity.Operation) { op.VerificationMethods[identity.KeyAtproto] = pub.DIDKey() }, nil)
		h.set(hostA, "mod_service_did", mod.did)
		token := func(jti string) string {
			claims := obj{"iss": mod.did, "aud": h.a.ServiceDID, "lxm": sendEmail, "exp": h.clock.Now().Add(time.Minute).Unix()}
			if jti != "" {
				claims["jti"] = jti
			}
			return forge(t, c.key, obj{"typ": "JWT", "alg": c.alg}, claims)
		}
		send := func(token string) reply {
			return h.post(hostA, sendEmail, bearer(token), obj{"recipientDid": alice.did, "content": "hello", "senderDid": mod.did})
		}
		for _, jti := range []string{"", "one"} {
			low := token(jti)
			high := otherS(t, low, c.order)
			send(high[:len(high)-2]+"AA").fails(401, "BadJwtSignature", "")
			send(high).ok()
			for _, again := range []string{high, low} {
				send(again).fails(401, "BadJwt", "used before")
			}
			h.clock.add(time.Second) // else a token without jti is the very same
		}
		send(token("one")).fails(401, "BadJwt", "used before")
		send(token("two")).ok()
	}
}

// A labeler signs with a key of its own, which counts for nothing else.
func TestServiceTokensOfLabeler(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	mod, alice := h.createAccount(hostB, "carol"), h.createAccount(hostA, "alice")
	label, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := label.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	mod.plcUpdate(func(op *identity.Operation) { op.VerificationMethods["atproto_label"] = pub.DIDKey() }, nil)
	const look = "com.atproto.admin.getAccountInfo"
	ask := func(iss string) reply {
		h.clock.add(time.Minute) // documents may be fetched anew
		token := forge(t, label, obj{"typ": "JWT", "alg": "ES256K"}, obj{"iss": iss, "aud": h.a.ServiceDID, "lxm": look, "exp": h.clock.Now().Add(time.Minute).Unix()})
		return h.get(hostA, look, bearer(token), "did", alice.did)
	}
	own := func() reply { return h.get(hostA, look, h.serviceTokens(mod)(h.a.ServiceDID, look), "did", alice.did) }
	labeler := mod.did + "#atproto_labeler"
	h.set(hostA, "mod_service_did", labeler)
	ask(labeler).ok()
	ask(mod.did).fails(401, "UntrustedIss", "")
	own().fails(401, "UntrustedIss", "")
	h.set(hostA, "mod_service_did", mod.did) // means its labeler too
	ask(labeler).ok()
	own().ok()
	ask(mod.did).fails(401, "BadJwtSignature", "")
	ask(mod.did+"#atproto_label").fails(401, "BadJwtIss", "") // the name of the key, not of the service
}
