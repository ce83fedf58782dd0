package dagcbor

import (
	"github.com/ipfs/go-cid"
)

// CIDs are text in base32, lower case, without padding, behind a "b".
//
// spec: data-model#link-and-cid-formats
const base32Digits = "abcdefghijklmnopqrstuvwxyz234567"

var base32Values = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i := range len(base32Digits) {
		v[base32Digits[i]] = byte(i)
	}
	return v
}()

// AppendCIDText appends the text form of a CID given in its binary form.
func AppendCIDText(dst, raw []byte) []byte {
	if len(raw) == 0 || raw[0] != 1 {
		if c, err := cid.Cast(raw); err == nil {
			return append(dst, c.String()...) // version 0 is written in base58
		}
	}
	dst = append(dst, 'b')
	for len(raw) >= 5 {
		v := uint64(raw[0])<<32 | uint64(raw[1])<<24 | uint64(raw[2])<<16 | uint64(raw[3])<<8 | uint64(raw[4])
		dst = append(dst,
			base32Digits[v>>35&31], base32Digits[v>>30&31], base32Digits[v>>25&31], base32Digits[v>>20&31],
			base32Digits[v>>15&31], base32Digits[v>>10&31], base32Digits[v>>5&31], base32Digits[v&31])
		raw = raw[5:]
	}
	var v, bits uint
	for _, c := range raw {
		v, bits = v<<8|uint(c), bits+8
		for bits >= 5 {
			bits -= 5
			dst = append(dst, base32Digits[v>>bits&31])
		}
	}
	if bits > 0 {
		dst = append(dst, base32Digits[v<<(5-bits)&31])
	}
	return dst
}

// maxCIDText bounds a CID's text in any base but binary.
const maxCIDText = 2*MaxCIDLen + 1

// decodeBase32 appends what s means: lower case only, no padding, no needless digit, spare bits zero. A CID has one
// text form.
func decodeBase32(dst, s []byte) ([]byte, bool) {
	var v, bits uint
	for _, c := range s {
		d := base32Values[c]
		if d == 0xff {
			return nil, false
		}
		v, bits = v<<5|uint(d), bits+5
		if bits >= 8 {
			bits -= 8
			dst = append(dst, byte(v>>bits))
		}
	}
	return dst, bits < 5 && v&(1<<bits-1) == 0
}
