package dagcbor

import (
	"crypto/sha256"
	"errors"

	"github.com/ipfs/go-cid"
)

// CIDLen is the length of the binary form of every CID this server writes: version 1, codec, SHA-256, 32 bytes.
const CIDLen = 36

// MaxCIDLen bounds the binary form of a CID in somebody else's record.
const MaxCIDLen = 100

const (
	cborPrefix = "\x01\x71\x12\x20" // version 1, dag-cbor, sha2-256, 32 bytes
	rawPrefix  = "\x01\x55\x12\x20" // version 1, raw, sha2-256, 32 bytes

	codecRaw  = 0x55
	codecCBOR = 0x71
)

var errForeignCID = errors.New("dagcbor: not a CIDv1 of dag-cbor and SHA-256")

// CID is the CID of the DAG-CBOR block b.
//
// spec: repository#cid-formats
func CID(b []byte) cid.Cid {
	d := sha256.Sum256(b)
	return CIDOfDigest(&d)
}

// RawCID is the CID of a blob's bytes.
func RawCID(b []byte) cid.Cid {
	d := sha256.Sum256(b)
	var raw [CIDLen]byte
	copy(raw[:], rawPrefix)
	copy(raw[4:], d[:])
	return castKnown(&raw)
}

// CIDOfDigest is the CID of the DAG-CBOR block whose SHA-256 digest is d.
func CIDOfDigest(d *[32]byte) cid.Cid {
	var raw [CIDLen]byte
	copy(raw[:], cborPrefix)
	copy(raw[4:], d[:])
	return castKnown(&raw)
}

func castKnown(raw *[CIDLen]byte) cid.Cid {
	c, err := cid.Cast(raw[:])
	if err != nil {
		panic("dagcbor: a well-formed CID was refused: " + err.Error())
	}
	return c
}

// Digest gives the digest of a CID of the one form blocks of a repository have: version 1, dag-cbor, SHA-256.
func Digest(c cid.Cid) (d [32]byte, err error) {
	s := c.KeyString()
	if len(s) != CIDLen || s[:4] != cborPrefix {
		return d, errForeignCID
	}
	copy(d[:], s[4:])
	return d, nil
}

// RawDigest is Digest for the binary form of a CID.
func RawDigest(raw []byte) (d [32]byte, ok bool) {
	if len(raw) != CIDLen || string(raw[:4]) != cborPrefix {
		return d, false
	}
	copy(d[:], raw[4:])
	return d, true
}

// drislCID tells whether raw is a CID a DRISL document may hold: version 1, raw or dag-cbor, SHA-256.
func drislCID(raw []byte) bool {
	return len(raw) == CIDLen && raw[0] == 1 && (raw[1] == codecCBOR || raw[1] == codecRaw) &&
		raw[2] == 0x12 && raw[3] == 0x20
}

// foreignCID tells whether raw is any well-formed CID: version 0, or version 1 with a codec, a hash function and a
// digest of the stated, non-zero length.
func foreignCID(raw []byte) bool {
	if drislCID(raw) {
		return true
	}
	if len(raw) > MaxCIDLen {
		return false
	}
	if len(raw) == 34 && raw[0] == 0x12 && raw[1] == 0x20 {
		return true // version 0: a bare SHA-256 multihash
	}
	if len(raw) == 0 || raw[0] != 1 {
		return false
	}
	i := 1
	for range 2 { // codec, hash function
		_, n := uvarint(raw[i:])
		if n == 0 {
			return false
		}
		i += n
	}
	size, n := uvarint(raw[i:])
	if n == 0 {
		return false
	}
	// The identity hash may be empty by its own rules; an empty digest of anything else names nothing.
	return uint64(len(raw)-i-n) == size && (size > 0 || raw[len(raw)-2] == 0)
}

// uvarint reads an unsigned varint of at most nine bytes in its shortest form; n is 0 if there is none.
func uvarint(b []byte) (v uint64, n int) {
	for i := 0; i < len(b) && i < 9; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 {
				return 0, 0
			}
			return v, i + 1
		}
	}
	return 0, 0
}
