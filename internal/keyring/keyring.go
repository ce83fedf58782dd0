package keyring

import (
	"bytes"
	"container/list"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
)

// DefaultCacheSize is how many parsed signing keys a keyring keeps: opening and
// parsing one costs about as much as a signature.
const DefaultCacheSize = 16384

// Keyring opens and makes the secrets of all tenants. It is safe for concurrent
// use.
type Keyring struct {
	hidden
	current byte
	masters func() map[byte][masterSize]byte
	cache   *signerCache
}

// New makes a keyring. cacheSize bounds the parsed keys kept; 0 means
// [DefaultCacheSize].
func New(m *Master, cacheSize int) (*Keyring, error) {
	if m == nil || m.keys == nil {
		return nil, fmt.Errorf("%w: it is empty", ErrMaster)
	}
	if cacheSize <= 0 {
		cacheSize = DefaultCacheSize
	}
	keys := m.keys()
	masters := make(map[byte][masterSize]byte, len(keys))
	for _, key := range keys {
		masters[key.id] = key.key
	}
	return &Keyring{
		current: keys[0].id,
		masters: func() map[byte][masterSize]byte { return masters },
		cache:   newSignerCache(cacheSize),
	}, nil
}

func keyPurpose(p string) bool {
	return p == PurposeSigningKey || p == PurposePLCRotation || strings.HasPrefix(p, purposeMAC)
}

// SigningKeyBinding is what an account's signing key is bound to.
func SigningKeyBinding(schema string, aid int64) Binding {
	return Binding{Schema: schema, Owner: strconv.FormatInt(aid, 10), Purpose: PurposeSigningKey}
}

// RotationKeyBinding is what a tenant's PLC rotation key is bound to.
func RotationKeyBinding(schema string) Binding {
	return Binding{Schema: schema, Purpose: PurposePLCRotation}
}

// GenerateSigningKey makes a K-256 key. It is not stored anywhere yet: sign the
// genesis operation's facts with it, and seal it with [Keyring.SealSigningKey]
// as soon as the account has its aid.
func (k *Keyring) GenerateSigningKey() (*Signer, error) { return generateSigner() }

// SealSigningKey seals an account's signing key for the database.
func (k *Keyring) SealSigningKey(schema string, aid int64, s *Signer) ([]byte, error) {
	return k.sealSigner(SigningKeyBinding(schema, aid), s)
}

// Signer opens an account's signing key. The parsed key is kept and used again
// as long as the same sealed bytes are given: a key replaced in the database
// takes effect with the next call.
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

// Forget drops an account's parsed key from memory, for deletion. Correctness
// never needs it.
func (k *Keyring) Forget(schema string, aid int64) {
	k.cache.remove(SigningKeyBinding(schema, aid))
}

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

// signerCache is a least-recently-used map. One lock is enough: a signature
// takes a hundred times longer than the look-up.
type signerCache struct {
	mu    sync.Mutex
	max   int
	order *list.List // of *cachedSigner, most recent first
	byKey map[Binding]*list.Element
}

type cachedSigner struct {
	key    Binding
	sealed []byte
	signer *Signer
}

func newSignerCache(n int) *signerCache {
	return &signerCache{max: n, order: list.New(), byKey: make(map[Binding]*list.Element)}
}

func (c *signerCache) get(b Binding, sealed []byte) *Signer {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[b]
	if !ok {
		return nil
	}
	hit := e.Value.(*cachedSigner)
	if !bytes.Equal(hit.sealed, sealed) {
		return nil
	}
	c.order.MoveToFront(e)
	return hit.signer
}

func (c *signerCache) put(b Binding, sealed []byte, s *Signer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := &cachedSigner{b, bytes.Clone(sealed), s}
	if e, ok := c.byKey[b]; ok {
		e.Value = entry
		c.order.MoveToFront(e)
		return
	}
	c.byKey[b] = c.order.PushFront(entry)
	for c.order.Len() > c.max {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byKey, last.Value.(*cachedSigner).key)
	}
}

func (c *signerCache) remove(b Binding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[b]; ok {
		c.order.Remove(e)
		delete(c.byKey, b)
	}
}
