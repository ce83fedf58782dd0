package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
)

// Signer signs with one K-256 key: an account's commits and service tokens, or a tenant's PLC operations. It is safe
// for concurrent use.
//
// The implementation underneath (secp256k1-voi, by way of indigo's atcrypto) works in constant time, which matters
// here: these keys sign data chosen by strangers. A signature takes about 30 µs.
type Signer struct {
	hidden
	key    func() *atcrypto.PrivateKeyK256
	didKey string
}

func generateSigner() (*Signer, error) {
	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return newSigner(key)
}

func newSigner(key *atcrypto.PrivateKeyK256) (*Signer, error) {
	pub, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return &Signer{key: func() *atcrypto.PrivateKeyK256 { return key }, didKey: pub.DIDKey()}, nil
}

// Sign returns the 64-byte r‖s signature over SHA-256(msg), with the low s that atproto demands.
// spec: cryptography#ecdsa-signature-malleability
func (s *Signer) Sign(msg []byte) ([]byte, error) {
	sig, err := s.key().HashAndSign(msg)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", s.didKey, err)
	}
	return sig, nil
}

// PublicDIDKey is the public half as did:key:zQ3s….
func (s *Signer) PublicDIDKey() string { return s.didKey }

// MAC authenticates with one secret of a tenant: HMAC-SHA256, as HS256 tokens need it. It is safe for concurrent use.
type MAC struct {
	hidden
	key func() []byte
}

const macKeySize = 32

// GenerateMACKey makes a random 32-byte secret for the tenant, sealed. purpose is the caller's name for it ("jwt",
// "dpop").
func (k *Keyring) GenerateMACKey(schema, purpose string) ([]byte, error) {
	var key [macKeySize]byte
	_, _ = rand.Read(key[:]) // never fails: the runtime ends the process instead
	defer clear(key[:])
	return k.seal(MACBinding(schema, purpose), key[:])
}

// MAC opens a tenant's secret. Tenants are few and kept whole in memory by their registry, so the keyring does not
// cache these.
func (k *Keyring) MAC(schema, purpose string, sealed []byte) (*MAC, error) {
	raw, err := k.open(MACBinding(schema, purpose), sealed)
	if err != nil {
		return nil, err
	}
	if len(raw) != macKeySize {
		return nil, fmt.Errorf("open mac key: %w", ErrSealed)
	}
	return &MAC{key: func() []byte { return raw }}, nil
}

// Sign returns the 32-byte tag of msg.
func (m *MAC) Sign(msg []byte) []byte {
	h := hmac.New(sha256.New, m.key())
	h.Write(msg)
	return h.Sum(nil)
}

// Verify says whether tag is msg's, in constant time.
func (m *MAC) Verify(msg, tag []byte) bool { return hmac.Equal(m.Sign(msg), tag) }
