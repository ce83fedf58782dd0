package mst

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
)

// MaxKeyLen is the longest key in bytes that a tree takes. A repository path is at most 830 long; other implementations
// accept 1024.
const MaxKeyLen = 1024

// ErrKey refuses an empty or overlong key.
var ErrKey = errors.New("mst: invalid key")

// KeyLevel is the level a key stands on: leading zero bits of its SHA-256, halved.
//
// spec: repository#mst-structure
func KeyLevel(key string) int {
	var buf [128]byte
	return levelOf(append(buf[:0], key...))
}

func levelOf(key []byte) int {
	sum := sha256.Sum256(key)
	level := 0
	for _, b := range sum {
		if b != 0 {
			return level + bits.LeadingZeros8(b)/2
		}
		level += 4
	}
	return level
}

func checkKey(key string) error {
	if len(key) == 0 || len(key) > MaxKeyLen {
		return fmt.Errorf("%w: %d bytes", ErrKey, len(key))
	}
	return nil
}

// common is the length of the longest common prefix.
func common[A, B ~string | ~[]byte](a A, b B) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
