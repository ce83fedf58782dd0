package mst

import (
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
)

// Blocks is a set of node blocks by digest: what a query fetched ahead, or a tree in memory. Its methods Load and
// LoadRef are loaders.
type Blocks map[[32]byte][]byte

// Put adds a block under its CID, trusting it.
func (m Blocks) Put(c cid.Cid, block []byte) error {
	d, err := nodeDigest(c)
	if err == nil {
		m[d] = block
	}
	return err
}

// Add adds a node.
func (m Blocks) Add(n Node) {
	if d, err := nodeDigest(n.CID); err == nil {
		m[d] = n.Block
	}
}

// Load is a Loader.
func (m Blocks) Load(c cid.Cid) ([]byte, error) {
	d, err := nodeDigest(c)
	if err != nil {
		return nil, err
	}
	return m.LoadRef(Ref{Digest: d})
}

// LoadRef is a RefLoader.
func (m Blocks) LoadRef(r Ref) ([]byte, error) {
	if b, ok := m[r.Digest]; ok {
		return b, nil
	}
	return nil, ErrNotFound
}

// Else asks next for what m has not.
func (m Blocks) Else(next RefLoader) RefLoader {
	return func(r Ref) ([]byte, error) {
		if b, ok := m[r.Digest]; ok {
			return b, nil
		}
		return next(r)
	}
}

// Verified checks the digest of every block that load gives.
func Verified(load Loader) Loader {
	return func(c cid.Cid) ([]byte, error) {
		b, err := load(c)
		if err != nil {
			return nil, err
		}
		if d, err := nodeDigest(c); err != nil || d != sha256.Sum256(b) {
			return nil, fmt.Errorf("%w: block of %s has another digest", ErrInvalid, c)
		}
		return b, nil
	}
}
