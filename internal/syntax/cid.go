package syntax

import (
	"strings"

	"github.com/ipfs/go-cid"
)

// isCID takes what can be read as a CID of version 1 in any encoding of text, and only the one text that the encoding
// gives.
// spec: data-model#link-and-cid-formats
func isCID(s string) bool {
	if isUsualCID(s) {
		return true
	}
	c, err := cid.Decode(s)
	if err != nil || c.Version() != 1 {
		return false
	}
	base, err := cid.ExtractEncoding(s)
	if err != nil {
		return false
	}
	again, err := c.StringOfBase(base)
	return err == nil && again == s
}

// isUsualCID sees without decoding what nearly all CIDs are: base32 of version 1, DAG-CBOR or raw, SHA-256.
func isUsualCID(s string) bool {
	if len(s) != 59 || !strings.HasPrefix(s, "bafyrei") && !strings.HasPrefix(s, "bafkrei") {
		return false
	}
	// 58 digits are 290 bits, two more than the 36 bytes: they are zero, so the last digit is a multiple of four.
	last := s[58]
	return every(s[1:], base32Digit) && strings.IndexByte("aeimquy4", last) >= 0
}
