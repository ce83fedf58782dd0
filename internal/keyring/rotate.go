package keyring

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Key names a master key: its number, which stands in all that is sealed under it, and a fingerprint by which two keys of
// one number are told apart. Nothing is found out about the key by it.
type Key struct {
	ID          byte
	Fingerprint string
}

func fingerprint(key [masterSize]byte) string {
	sum, err := hkdf.Key(sha256.New, key[:], nil, "aurora-locus/keyring/fingerprint", 16)
	if err != nil {
		panic("keyring: " + err.Error()) // the length is right
	}
	return hex.EncodeToString(sum)
}

// Keys names the keys in their order: the first one seals where nobody has said otherwise.
func (m *Master) Keys() []Key {
	var out []Key
	for _, k := range m.keys() {
		out = append(out, Key{k.id, fingerprint(k.key)})
	}
	return out
}

// Keys names the master keys that the keyring has, those that it refuses as well, by number.
func (k *Keyring) Keys() []Key {
	now := k.load()
	var out []Key
	for _, id := range slices.Sorted(maps.Keys(now.masters)) {
		out = append(out, Key{id, fingerprint(now.masters[id])})
	}
	return out
}

// Current is the number of the key that seals.
func (k *Keyring) Current() byte { return k.load().current }

// Learn adds master keys. Those that it has stay, and which one seals stays as it is. Errors: [ErrOtherMaster], and then
// nothing is added.
func (k *Keyring) Learn(m *Master) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.load()
	is := &held{was.current, maps.Clone(was.masters), was.refused}
	for _, key := range m.keys() {
		if had, ok := is.masters[key.id]; ok && had != key.key {
			return fmt.Errorf("%w: %d", ErrOtherMaster, key.id)
		}
		is.masters[key.id] = key.key
	}
	k.store(is)
	return nil
}

// Use says which key seals from now on, and which ones are refused: nothing of a tenant's is opened by them. Errors:
// [ErrUnknownMaster], and then nothing changes.
func (k *Keyring) Use(current byte, refused []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.load()
	if _, ok := was.masters[current]; !ok {
		return fmt.Errorf("%w: id %d", ErrUnknownMaster, current)
	}
	is := &held{current, was.masters, map[byte]bool{}}
	for _, id := range refused {
		is.refused[id] = id != current
	}
	k.store(is)
	return nil
}

// StopSealing has everything refused that would be sealed, until [Keyring.Use] says which key seals: the one that the
// deployment uses is not here.
func (k *Keyring) StopSealing() {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.load()
	k.store(&held{0, was.masters, was.refused}) // no key has the id 0
}

// Opens tells whether a value opens in its place, and shows nothing of it. Errors: [ErrSealed], [ErrUnknownMaster].
func (k *Keyring) Opens(b Binding, sealed []byte) error {
	secret, err := open(k.anyAEAD, b, sealed)
	clear(secret)
	return err
}

// SealedUnder is the number of the master key that a value says it is sealed under; 0: it is nothing sealed.
func SealedUnder(sealed []byte) byte {
	if len(sealed) < sealMin || sealed[0] != sealVersion {
		return 0
	}
	return sealed[1]
}
