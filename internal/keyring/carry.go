package keyring

import (
	"crypto/cipher"
	"encoding/json"
	"fmt"
	"maps"
)

// Carried opens what one tenant has sealed, wherever it is: with the keys that are derived for its schema from the
// master keys of the deployment that it comes from. It seals nothing.
type Carried struct {
	hidden
	schema string
	keys   func() map[byte][]byte
}

// maxCarried bounds the text of carried keys: 255 fit.
const maxCarried = 32 << 10

// Carry gives what [OpenCarried] takes: for inside an encrypted archive of the tenant, and for nothing else, because
// whoever has it signs in everybody's name there. The master keys cannot be found from it, nor other tenants' keys.
func (k *Keyring) Carry(schema string) ([]byte, error) {
	out := map[byte][]byte{}
	for id := range k.load().masters {
		key, err := k.derived(id, schema)
		if err != nil {
			return nil, err
		}
		out[id] = key
	}
	return json.Marshal(out)
}

// OpenCarried reads what [Keyring.Carry] gave for a schema.
func OpenCarried(schema string, text []byte) (*Carried, error) {
	keys := map[byte][]byte{}
	if len(text) > maxCarried || json.Unmarshal(text, &keys) != nil || len(keys) == 0 {
		return nil, fmt.Errorf("carried keys: %w", ErrMaster)
	}
	for _, key := range keys {
		if len(key) != masterSize {
			return nil, fmt.Errorf("carried keys: %w", ErrMaster)
		}
	}
	return &Carried{schema: schema, keys: func() map[byte][]byte { return maps.Clone(keys) }}, nil
}

func (c *Carried) aead(id byte, schema string) (cipher.AEAD, error) {
	key, ok := c.keys()[id]
	if !ok || schema != c.schema {
		return nil, fmt.Errorf("%w: id %d", ErrUnknownMaster, id)
	}
	return aeadOf(key)
}

// Rebind gives a secret another place: what is sealed for was comes back sealed for is, under the current master key.
// from opens it; nil: this keyring does, by refused keys too, because archives outlive them. Works for keys as well:
// nothing is shown.
func (k *Keyring) Rebind(from *Carried, was, is Binding, sealed []byte) ([]byte, error) {
	aead := k.anyAEAD
	if from != nil {
		aead = from.aead
	}
	secret, err := open(aead, was, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return k.seal(is, secret)
}
