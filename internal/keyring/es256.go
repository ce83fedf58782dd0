package keyring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
)

// PurposeOAuth is the binding of the key that a tenant signs OAuth access tokens with.
const PurposeOAuth = "oauth-signing-key"

func oauthBinding(schema string) Binding { return Binding{Schema: schema, Purpose: PurposeOAuth} }

// ES256 signs with one P-256 key, for tokens that others must be able to check: OAuth's. It is safe for concurrent use.
type ES256 struct {
	hidden
	key func() *ecdsa.PrivateKey // behind a function, so that no printing of the value reaches it
}

// GenerateES256 makes a tenant's key, sealed.
func (k *Keyring) GenerateES256(schema string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an OAuth key: %w", err)
	}
	raw, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("make an OAuth key: %w", err)
	}
	defer clear(raw)
	return k.seal(oauthBinding(schema), raw)
}

// ES256 opens a tenant's key. Errors: [ErrSealed].
func (k *Keyring) ES256(schema string, sealed []byte) (*ES256, error) {
	raw, err := k.open(oauthBinding(schema), sealed)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", PurposeOAuth, ErrSealed)
	}
	return &ES256{key: func() *ecdsa.PrivateKey { return key }}, nil
}

// Sign is the signature over msg as JOSE writes it: r and s of 32 bytes each.
// spec: RFC 7518 section 3.4
func (s *ES256) Sign(msg []byte) ([]byte, error) {
	sum := sha256.Sum256(msg)
	r, v, err := ecdsa.Sign(rand.Reader, s.key(), sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	v.FillBytes(out[32:])
	return out, nil
}

// Verify says whether a signature is one of this key's.
func (s *ES256) Verify(msg, sig []byte) bool {
	if len(sig) != 64 {
		return false
	}
	sum := sha256.Sum256(msg)
	return ecdsa.Verify(&s.key().PublicKey, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

// Public is the public key: 4, x and y of 32 bytes each.
func (s *ES256) Public() []byte {
	raw, err := s.key().PublicKey.Bytes()
	if err != nil {
		panic("keyring: a P-256 key without a point: " + err.Error()) // it was made or parsed above
	}
	return raw
}
