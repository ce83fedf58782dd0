package auth

import (
	"slices"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
)

// ring are the secrets of one purpose: one signs, and what those before it signed is good until its time. It does not change.
type ring[K any] struct {
	all []held[K] // the newest at the end; never empty
	now func() time.Time
}

type held[K any] struct {
	key         K
	from, until time.Time // from when it signs, and until when it is taken; zero: always
}

// newRing opens secrets, of which there is at least one.
func newRing[K any](rows []tenant.HeldSecret, now func() time.Time, open func(sealed []byte) (K, error)) (*ring[K], error) {
	r := &ring[K]{now: now}
	for _, row := range rows {
		key, err := open(row.Sealed)
		if err != nil {
			return nil, err
		}
		r.all = append(r.all, held[K]{key, row.SignsFrom, row.GoodUntil})
	}
	return r, nil
}

// signs is the key that signs now.
func (r *ring[K]) signs() K {
	now := r.now()
	for _, h := range slices.Backward(r.all) {
		if !h.from.After(now) {
			return h.key
		}
	}
	return r.all[0].key
}

// good are the keys whose signatures are taken now, the newest first. The newest is among them before it signs: another
// machine's clock may be ahead of this one's.
func (r *ring[K]) good(yield func(K) bool) {
	now := r.now()
	for _, h := range slices.Backward(r.all) {
		if (h.until.IsZero() || h.until.After(now)) && !yield(h.key) {
			return
		}
	}
}

// signer is what a MAC is to its users.
type signer interface {
	Sign(msg []byte) []byte
	Verify(msg, tag []byte) bool
}

// macs are a ring whose keys authenticate with one secret: it is used as one of them.
type macs struct{ *ring[signer] }

func (m macs) Sign(msg []byte) []byte { return m.signs().Sign(msg) }

func (m macs) Verify(msg, tag []byte) bool {
	for key := range m.good {
		if key.Verify(msg, tag) {
			return true
		}
	}
	return false
}
