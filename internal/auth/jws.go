package auth

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
)

// Compact JWS, RFC 7515: only what is signed by a key we expect, read strictly.

const (
	// maxToken bounds what is decoded at all. Ours have about 300 bytes.
	maxToken = 4096

	algHS256 = "HS256"
)

// b64 refuses padding and stray bits at the end, so a signature has one spelling.
var b64 = base64.RawURLEncoding.Strict()

// header is a JWS header. Members that would change how it must be read are named, to refuse them.
type header struct {
	Typ  string `json:"typ"`
	Alg  string `json:"alg"`
	Crit any    `json:"crit,omitempty"`
	B64  any    `json:"b64,omitempty"`
}

// jws is a token taken apart. Nothing of it may be believed before its signature was checked.
type jws struct {
	header  header
	payload []byte
	signed  []byte // header.payload as sent: what the signature is over
	sig     []byte
}

// parseJWS takes a compact token apart. ok is false for anything but three strict base64url parts with a JSON header
// without repeated or critical members.
// spec: RFC 7515 section 5.2
func parseJWS(token string) (t jws, ok bool) {
	if len(token) > maxToken {
		return jws{}, false
	}
	head, rest, ok1 := strings.Cut(token, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || head == "" || body == "" || sig == "" || strings.ContainsAny(token, "\r\n") {
		return jws{}, false
	}
	// The headers that we write ourselves need no JSON.
	switch head {
	case accessHead:
		t.header = header{Typ: typAccess, Alg: algHS256}
	case refreshHead:
		t.header = header{Typ: typRefresh, Alg: algHS256}
	default:
		raw, err := b64.DecodeString(head)
		if err != nil || json.Unmarshal(raw, &t.header) != nil || t.header.Crit != nil || t.header.B64 != nil {
			return jws{}, false
		}
	}
	var err error
	if t.payload, err = b64.DecodeString(body); err != nil {
		return jws{}, false
	}
	if t.sig, err = b64.DecodeString(sig); err != nil {
		return jws{}, false
	}
	t.signed = []byte(token[:len(head)+1+len(body)])
	return t, true
}

// appendJWS writes header.payload.signature, with the signature that sign makes over the first two.
func appendJWS(head string, payload []byte, sign func([]byte) []byte) string {
	out := make([]byte, 0, len(head)+b64.EncodedLen(len(payload))+64)
	out = append(out, head...)
	out = append(out, '.')
	out = b64.AppendEncode(out, payload)
	sig := sign(bytes.Clone(out))
	out = append(out, '.')
	return string(b64.AppendEncode(out, sig))
}
