// Package passkeytest is an authenticator of WebAuthn in software, for tests: it makes a passkey for what a page asks, and
// answers with it. What it is told to do wrong it does wrong.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// Key is one passkey, with the browser that uses it.
type Key struct {
	ID       []byte
	Handle   []byte // the user handle it was made for
	Origin   string // of the page that the browser shows
	RP       string // the relying party that it signs for
	Count    uint32 // it rises with each answer, unless it does not count
	Counts   bool
	Verified bool // the user showed a finger, a face or a PIN
	Synced   bool
	Nameless bool // it does not say whose it is

	private *ecdsa.PrivateKey
}

// New is a key that was not made for anything yet.
func New(t testing.TB, origin string) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &Key{ID: make([]byte, 32), Origin: origin, Verified: true, private: private}
	_, _ = rand.Read(k.ID)
	return k
}

// asked is what both kinds of options have in common, and what each has.
type asked struct {
	Challenge string `json:"challenge"`
	RPID      string `json:"rpId"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
}

func read(t testing.TB, options []byte) (a asked) {
	t.Helper()
	if err := json.Unmarshal(options, &a); err != nil || a.Challenge == "" {
		t.Fatalf("options: %v: %s", err, options)
	}
	return a
}

// Make makes the key for what a page asks, and gives the browser's answer.
func (k *Key) Make(t testing.TB, options []byte) []byte {
	t.Helper()
	a := read(t, options)
	if k.RP == "" {
		k.RP = a.RP.ID
	}
	var err error
	if k.Handle, err = base64.RawURLEncoding.DecodeString(a.User.ID); err != nil {
		t.Fatalf("user handle %q: %v", a.User.ID, err)
	}
	x, y := make([]byte, 32), make([]byte, 32)
	public, err := k.private.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	copy(x, public.Bytes()[1:33])
	copy(y, public.Bytes()[33:])
	cose := encode(t, map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: y}) // EC2, ES256, P-256
	data := k.data(0x40)
	data = append(data, make([]byte, 16)...) // of no maker
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.ID)))
	data = append(append(data, k.ID...), cose...)
	object := encode(t, map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	return k.answer(t, map[string]any{
		"clientDataJSON": text(k.client(t, "webauthn.create", a.Challenge)), "attestationObject": text(object), "transports": []string{"internal"},
	})
}

// Answer is the browser's answer by this key to what a page asks.
func (k *Key) Answer(t testing.TB, options []byte) []byte {
	t.Helper()
	a := read(t, options)
	if k.Counts {
		k.Count++
	}
	client, data := k.client(t, "webauthn.get", a.Challenge), k.data(0)
	sum := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{"clientDataJSON": text(client), "authenticatorData": text(data), "signature": text(signature)}
	if !k.Nameless {
		out["userHandle"] = text(k.Handle)
	}
	return k.answer(t, out)
}

func (k *Key) answer(t testing.TB, response map[string]any) []byte {
	t.Helper()
	out, err := json.Marshal(map[string]any{
		"id": text(k.ID), "rawId": text(k.ID), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (k *Key) client(t testing.TB, kind, challenge string) []byte {
	t.Helper()
	out, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": k.Origin, "crossOrigin": false})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// data is the authenticator's data: for whom, flags, counter.
func (k *Key) data(more byte) []byte {
	sum := sha256.Sum256([]byte(k.RP))
	flags := 0x01 | more // a user is there
	if k.Verified {
		flags |= 0x04
	}
	if k.Synced {
		flags |= 0x18
	}
	return binary.BigEndian.AppendUint32(append(sum[:], flags), k.Count)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := mode.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
