package keyring

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/cache"
)

// DefaultCacheBytes bounds the parsed signing keys that a keyring keeps, some 20,000: opening and parsing one costs
// about as much as a signature.
const DefaultCacheBytes = 16 << 20

// Keyring opens and makes the secrets of all tenants. It is safe for concurrent use.
type Keyring struct {
	hidden
	load  func() *held
	store func(*held)
	mu    *sync.Mutex // taken while what is held is changed
	cache *signerCache
}

// held are the master keys of a moment. It is never changed.
type held struct {
	current byte
	masters map[byte][masterSize]byte
	refused map[byte]bool
}

// New makes a keyring. cacheBytes bounds the parsed keys kept; 0 means [DefaultCacheBytes].
func New(m *Master, cacheBytes int64) (*Keyring, error) {
	if m == nil || m.keys == nil {
		return nil, fmt.Errorf("%w: it is empty", ErrMaster)
	}
	if cacheBytes <= 0 {
		cacheBytes = DefaultCacheBytes
	}
	keys := m.keys()
	masters := make(map[byte][masterSize]byte, len(keys))
	for _, key := range keys {
		masters[key.id] = key.key
	}
	now := new(atomic.Pointer[held])
	now.Store(&held{current: keys[0].id, masters: masters})
	return &Keyring{load: now.Load, store: now.Store, mu: new(sync.Mutex), cache: newSignerCache(cacheBytes)}, nil
}

func keyPurpose(p string) bool {
	return p == PurposeSigningKey || p == PurposePLCRotation || p == PurposeOAuth || strings.HasPrefix(p, purposeMAC)
}

// SigningKeyBinding is what an account's signing key is bound to.
func SigningKeyBinding(schema string, aid int64) Binding {
	return Binding{Schema: schema, Owner: strconv.FormatInt(aid, 10), Purpose: PurposeSigningKey}
}

// RotationKeyBinding is what a tenant's PLC rotation key is bound to.
func RotationKeyBinding(schema string) Binding {
	return Binding{Schema: schema, Purpose: PurposePLCRotation}
}

// GenerateSigningKey makes a K-256 key. It is not stored anywhere yet: sign the genesis operation's facts with it, and
// seal it with [Keyring.SealSigningKey] as soon as the account has its aid.
func (k *Keyring) GenerateSigningKey() (*Signer, error) { return generateSigner() }

// SealSigningKey seals an account's signing key for the database.
func (k *Keyring) SealSigningKey(schema string, aid int64, s *Signer) ([]byte, error) {
	return k.sealSigner(SigningKeyBinding(schema, aid), s)
}

// Signer opens an account's signing key. The parsed key is kept and used again as long as the same sealed bytes are
// given: a key replaced in the database takes effect with the next call.
func (k *Keyring) Signer(schema string, aid int64, sealed []byte) (*Signer, error) {
	return k.signer(SigningKeyBinding(schema, aid), sealed)
}

// GenerateRotationKey makes a tenant's PLC rotation key, sealed, and its did:key.
func (k *Keyring) GenerateRotationKey(schema string) (sealed []byte, didKey string, err error) {
	s, err := generateSigner()
	if err != nil {
		return nil, "", err
	}
	if sealed, err = k.sealSigner(RotationKeyBinding(schema), s); err != nil {
		return nil, "", err
	}
	return sealed, s.didKey, nil
}

// RotationSigner opens a tenant's PLC rotation key.
func (k *Keyring) RotationSigner(schema string, sealed []byte) (*Signer, error) {
	return k.signer(RotationKeyBinding(schema), sealed)
}

// Forget drops an account's parsed key from memory, for deletion. Correctness never needs it.
func (k *Keyring) Forget(schema string, aid int64) {
	k.cache.remove(SigningKeyBinding(schema, aid))
}

// ForgetSchema drops all parsed keys of a tenant that is gone.
func (k *Keyring) ForgetSchema(schema string) { k.cache.removeAll(schema) }

func (k *Keyring) sealSigner(b Binding, s *Signer) ([]byte, error) {
	if s == nil || s.key == nil {
		return nil, fmt.Errorf("%w: no key", ErrBinding)
	}
	raw := s.key().Bytes()
	defer clear(raw)
	return k.seal(b, raw)
}

func (k *Keyring) signer(b Binding, sealed []byte) (*Signer, error) {
	if s := k.cache.get(b, sealed); s != nil {
		return s, nil
	}
	raw, err := k.open(b, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	key, err := atcrypto.ParsePrivateBytesK256(raw)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", b.Purpose, ErrSealed)
	}
	s, err := newSigner(key)
	if err != nil {
		return nil, err
	}
	k.cache.put(b, sealed, s)
	return s, nil
}

// signerCache keeps parsed keys. One lock is enough: a signature takes a hundred times longer than the look-up.
type signerCache struct {
	mu   sync.Mutex
	kept *cache.Cache[Binding, cachedSigner]
}

type cachedSigner struct {
	sealed []byte
	signer *Signer
}

// signerBytes is what a parsed key takes besides its sealed form and its names.
const signerBytes = 420

func newSignerCache(bytes int64) *signerCache {
	return &signerCache{kept: cache.New[Binding, cachedSigner](bytes, time.Now)}
}

func (c *signerCache) get(b Binding, sealed []byte) *Signer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hit, ok := c.kept.Get(b); ok && bytes.Equal(hit.sealed, sealed) {
		return hit.signer
	}
	return nil
}

func (c *signerCache) put(b Binding, sealed []byte, s *Signer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	weight := signerBytes + len(sealed) + len(b.Schema) + len(b.Owner) + len(b.Purpose)
	c.kept.Put(b.Schema, b, cachedSigner{bytes.Clone(sealed), s}, int64(weight))
}

// Stats say how the opened signing keys that are remembered are used.
func (k *Keyring) Stats() cache.Stats {
	k.cache.mu.Lock()
	defer k.cache.mu.Unlock()
	return k.cache.kept.Stats()
}

func (c *signerCache) remove(b Binding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Remove(b)
}

func (c *signerCache) removeAll(schema string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.RemoveIf(schema, func(Binding, cachedSigner) bool { return true })
}
