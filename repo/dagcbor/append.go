package dagcbor

import (
	"encoding/binary"

	"github.com/ipfs/go-cid"
)

// CBOR major types, the upper three bits of a head.
const (
	MajorUint  = 0
	MajorNeg   = 1
	MajorBytes = 2
	MajorText  = 3
	MajorArray = 4
	MajorMap   = 5
	MajorTag   = 6
	MajorOther = 7
)

const (
	byteFalse = 0xf4
	byteTrue  = 0xf5
	byteNull  = 0xf6
)

// linkHead opens every link to a CID of 36 bytes: tag 42, a byte string of 37, and the multibase identity prefix.
const linkHead = "\xd8\x2a\x58\x25\x00"

// LinkLen is the length of an encoded link to a CID of 36 bytes.
const LinkLen = len(linkHead) + CIDLen

// AppendHead appends the shortest head of the given major type and argument.
func AppendHead(dst []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(dst, m|byte(n))
	case n <= 0xff:
		return append(dst, m|24, byte(n))
	case n <= 0xffff:
		return append(dst, m|25, byte(n>>8), byte(n))
	case n <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(dst, m|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, m|27), n)
}

// HeadLen is the length of what AppendHead appends for n.
func HeadLen(n uint64) int {
	switch {
	case n < 24:
		return 1
	case n <= 0xff:
		return 2
	case n <= 0xffff:
		return 3
	case n <= 0xffffffff:
		return 5
	}
	return 9
}

// AppendMapHead opens a map of n pairs. The caller appends the keys in canonical order: shorter first, then bytewise.
func AppendMapHead(dst []byte, n int) []byte { return AppendHead(dst, MajorMap, uint64(n)) }

// AppendArrayHead opens an array of n items.
func AppendArrayHead(dst []byte, n int) []byte { return AppendHead(dst, MajorArray, uint64(n)) }

// AppendText appends a text string, which must be valid UTF-8.
func AppendText(dst []byte, s string) []byte {
	return append(AppendHead(dst, MajorText, uint64(len(s))), s...)
}

// AppendBytes appends a byte string; nil is the empty string.
func AppendBytes(dst []byte, b []byte) []byte {
	return append(AppendHead(dst, MajorBytes, uint64(len(b))), b...)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, i int64) []byte {
	if i < 0 {
		return AppendHead(dst, MajorNeg, uint64(^i))
	}
	return AppendHead(dst, MajorUint, uint64(i))
}

// AppendBool appends true or false.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, byteTrue)
	}
	return append(dst, byteFalse)
}

// AppendNull appends null.
func AppendNull(dst []byte) []byte { return append(dst, byteNull) }

// AppendLink appends a link to c, or null if c is undefined.
func AppendLink(dst []byte, c cid.Cid) []byte {
	if !c.Defined() {
		return AppendNull(dst)
	}
	s := c.KeyString()
	if len(s) == CIDLen {
		return append(append(dst, linkHead...), s...)
	}
	dst = AppendHead(append(dst, 0xd8, 42), MajorBytes, uint64(len(s)+1))
	return append(append(dst, 0), s...)
}

// AppendLinkRaw appends a link to the CID whose binary form is raw.
func AppendLinkRaw(dst, raw []byte) []byte {
	if len(raw) == CIDLen {
		return append(append(dst, linkHead...), raw...)
	}
	dst = AppendHead(append(dst, 0xd8, 42), MajorBytes, uint64(len(raw)+1))
	return append(append(dst, 0), raw...)
}
