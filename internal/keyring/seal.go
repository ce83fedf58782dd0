package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// A sealed secret is: version (1 byte), master key id (1 byte), nonce (12), ciphertext, tag (16).
const (
	sealVersion = 1
	sealHead    = 2
	sealMin     = sealHead + 12 + 16
	maxSecret   = 64 << 10
	maxName     = 255
)

// Purposes of the secrets that never leave the keyring. [Keyring.Open] refuses them; tenant code names its own purposes
// for anything else it wants sealed.
const (
	PurposeSigningKey  = "signing_key"
	PurposePLCRotation = "plc_rotation"
	// A MAC key's purpose is this prefix and the caller's own name for it.
	purposeMAC = "mac:"
)

// Binding names whose secret it is. All three parts are authenticated, so a sealed value opens only in its own place.
type Binding struct {
	Schema  string // the tenant's schema
	Owner   string // the account's aid in decimal, or "" for the tenant itself
	Purpose string
}

func (b Binding) check() error {
	if b.Schema == "" || b.Purpose == "" || len(b.Schema) > maxName || len(b.Owner) > maxName || len(b.Purpose) > maxName {
		return ErrBinding
	}
	return nil
}

// additional is unambiguous: every name is preceded by its length.
func (b Binding) additional(head []byte) []byte {
	out := append(make([]byte, 0, 64), head...)
	for _, s := range []string{b.Schema, b.Owner, b.Purpose} {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	return out
}

// Seal encrypts a secret that other packages need back in the clear (a mail password, a TOTP seed) under the current
// master key. Keys have their own functions. The result is 30 bytes longer than the secret.
func (k *Keyring) Seal(b Binding, secret []byte) ([]byte, error) {
	if keyPurpose(b.Purpose) {
		return nil, fmt.Errorf("%w: %s", ErrKeyPurpose, b.Purpose)
	}
	return k.seal(b, secret)
}

// Open decrypts what [Keyring.Seal] made. Secrets with a purpose of this package are refused with [ErrKeyPurpose].
func (k *Keyring) Open(b Binding, sealed []byte) ([]byte, error) {
	if keyPurpose(b.Purpose) {
		return nil, fmt.Errorf("%w: %s", ErrKeyPurpose, b.Purpose)
	}
	return k.open(b, sealed)
}

// Reseal returns the secret sealed under the current master key, for the tool that replaces master keys; changed is
// false, and the bytes are the given ones, when it already was. A refused key opens for this, too, so that what was left
// behind can be mended. Works for keys as well: nothing is shown.
func (k *Keyring) Reseal(b Binding, sealed []byte) (out []byte, changed bool, err error) {
	secret, err := open(k.anyAEAD, b, sealed)
	if err != nil {
		return nil, false, err
	}
	defer clear(secret)
	if sealed[1] == k.load().current {
		return sealed, false, nil
	}
	out, err = k.seal(b, secret)
	return out, err == nil, err
}

// MACBinding is what a tenant's MAC key is bound to; with [SigningKeyBinding] and [RotationKeyBinding] it names a
// secret for [Keyring.Reseal].
func MACBinding(schema, purpose string) Binding {
	return Binding{Schema: schema, Purpose: purposeMAC + purpose}
}

func (k *Keyring) seal(b Binding, secret []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if len(secret) == 0 || len(secret) > maxSecret {
		return nil, fmt.Errorf("%w: secret of %d bytes", ErrBinding, len(secret))
	}
	current := k.load().current
	aead, err := k.aead(current, b.Schema)
	if err != nil {
		return nil, err
	}
	out := make([]byte, sealHead, sealMin+len(secret))
	out[0], out[1] = sealVersion, current
	return aead.Seal(out, nil, secret, b.additional(out[:sealHead])), nil
}

func (k *Keyring) open(b Binding, sealed []byte) ([]byte, error) { return open(k.aead, b, sealed) }

func open(aeadOf func(id byte, schema string) (cipher.AEAD, error), b Binding, sealed []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	if len(sealed) < sealMin || len(sealed) > sealMin+maxSecret || sealed[0] != sealVersion {
		return nil, fmt.Errorf("open %s: %w", b.Purpose, ErrSealed)
	}
	aead, err := aeadOf(sealed[1], b.Schema)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", b.Purpose, err)
	}
	secret, err := aead.Open(nil, nil, sealed[sealHead:], b.additional(sealed[:sealHead]))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", b.Purpose, ErrSealed)
	}
	return secret, nil
}

// aead derives the tenant's own key: nonces are random, and the 2^32 messages that are safe under one GCM key then
// count per tenant, not per deployment.
func (k *Keyring) aead(id byte, schema string) (cipher.AEAD, error) {
	if k.load().refused[id] {
		return nil, fmt.Errorf("%w: id %d", ErrRefusedMaster, id)
	}
	return k.anyAEAD(id, schema)
}

// anyAEAD is aead for refused keys as well.
func (k *Keyring) anyAEAD(id byte, schema string) (cipher.AEAD, error) {
	key, err := k.derived(id, schema)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return aeadOf(key)
}

func (k *Keyring) derived(id byte, schema string) ([]byte, error) {
	master, ok := k.load().masters[id]
	if !ok {
		return nil, fmt.Errorf("%w: id %d", ErrUnknownMaster, id)
	}
	key, err := hkdf.Key(sha256.New, master[:], nil, "aurora-locus/keyring/1/"+schema, masterSize)
	if err != nil {
		return nil, fmt.Errorf("derive tenant key: %w", err)
	}
	return key, nil
}

func aeadOf(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive tenant key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
