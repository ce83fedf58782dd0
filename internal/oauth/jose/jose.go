// Package jose reads what OAuth clients sign: compact tokens and public keys as JSON, in the algorithms that the
// protocol knows. JOSE itself is go-jose's, but for secp256k1, which it does not know and the protocol allows.
//
// Nothing of a token may be believed before [Token.Verify].
// spec: RFC 7515, RFC 7517, RFC 7638
package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	gojose "github.com/go-jose/go-jose/v4"
)

// Errors of this package.
var (
	ErrToken     = errors.New("malformed token")
	ErrKey       = errors.New("unusable key")
	ErrSignature = errors.New("wrong signature")

	// errPrivate: whoever publishes the key has lost it.
	errPrivate = errors.New("it has a private part")
)

// ES256K is the algorithm of secp256k1 keys.
const ES256K = "ES256K"

// Algorithms are those that clients may sign with, the best known first.
var Algorithms = []string{"ES256", "ES384", "ES512", ES256K, "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}

// theirs are the algorithms that go-jose checks.
var theirs = func() (out []gojose.SignatureAlgorithm) {
	for _, a := range Algorithms {
		if a != ES256K {
			out = append(out, gojose.SignatureAlgorithm(a))
		}
	}
	return out
}()

// Bounds of what is read at all.
const (
	MaxToken = 16 << 10
	maxKey   = 4 << 10
	// RSA keys of fewer bits can be broken, and of more they cost too much to check.
	minRSA, maxRSA = 2048, 4096
)

var b64 = base64.RawURLEncoding.Strict()

// Key is a public key.
type Key struct {
	ID         string // kid; ""
	Alg        string // that it says it is for; ""
	Use        string // sig; ""
	Thumbprint string // RFC 7638, SHA-256
	pub        any    // *ecdsa.PublicKey, *rsa.PublicKey or *atcrypto.PublicKeyK256
	algs       []string
}

// fields are the members of a JWK that decide what it is.
type fields struct {
	Kty    string          `json:"kty"`
	Crv    string          `json:"crv"`
	X      string          `json:"x"`
	Y      string          `json:"y"`
	D      json.RawMessage `json:"d"`
	K      json.RawMessage `json:"k"`
	Kid    string          `json:"kid"`
	Alg    string          `json:"alg"`
	Use    string          `json:"use"`
	KeyOps []string        `json:"key_ops"`
}

// ParseKey reads a public key in its JSON form. A key with a private part is refused: whoever publishes one has lost it.
// Errors: [ErrKey].
func ParseKey(raw []byte) (*Key, error) {
	if len(raw) > maxKey {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKey, maxKey)
	}
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	switch {
	case f.D != nil || f.K != nil:
		return nil, fmt.Errorf("%w: %w", ErrKey, errPrivate)
	case f.Use != "" && f.Use != "sig":
		return nil, fmt.Errorf("%w: it is not for signatures", ErrKey)
	case len(f.KeyOps) > 0 && !slices.Contains(f.KeyOps, "verify"):
		return nil, fmt.Errorf("%w: its key_ops lack verify", ErrKey)
	}
	k := &Key{ID: f.Kid, Alg: f.Alg, Use: f.Use}
	if err := k.read(&f, raw); err != nil {
		return nil, err
	}
	if k.Alg != "" && !slices.Contains(k.algs, k.Alg) {
		return nil, fmt.Errorf("%w: alg %q is not for it", ErrKey, k.Alg)
	}
	return k, nil
}

func (k *Key) read(f *fields, raw []byte) error {
	if f.Kty == "EC" && f.Crv == "secp256k1" {
		return k.readK256(f)
	}
	var jwk gojose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil || !jwk.Valid() || !jwk.IsPublic() {
		return fmt.Errorf("%w: %v", ErrKey, err)
	}
	switch pub := jwk.Key.(type) {
	case *ecdsa.PublicKey:
		k.algs = []string{map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[pub.Curve.Params().BitSize]}
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("%w: RSA keys have %d to %d bits", ErrKey, minRSA, maxRSA)
		}
		k.algs = []string{"PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	default:
		return fmt.Errorf("%w: kty %q", ErrKey, f.Kty)
	}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	k.pub, k.Thumbprint = jwk.Key, b64.EncodeToString(sum)
	return nil
}

func (k *Key) readK256(f *fields) error {
	x, err1 := b64.DecodeString(f.X)
	y, err2 := b64.DecodeString(f.Y)
	if err1 != nil || err2 != nil || len(x) != 32 || len(y) != 32 {
		return fmt.Errorf("%w: coordinates have 32 bytes each", ErrKey)
	}
	pub, err := atcrypto.ParsePublicUncompressedBytesK256(append(append([]byte{4}, x...), y...))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256([]byte(`{"crv":"secp256k1","kty":"EC","x":"` + f.X + `","y":"` + f.Y + `"}`))
	k.pub, k.algs, k.Thumbprint = pub, []string{ES256K}, b64.EncodeToString(sum[:])
	return nil
}

// Header is what a token says of itself.
type Header struct {
	Alg string          `json:"alg"`
	Typ string          `json:"typ"`
	Kid string          `json:"kid"`
	JWK json.RawMessage `json:"jwk"`

	Crit json.RawMessage `json:"crit"`
	B64  json.RawMessage `json:"b64"`
}

func (h *Header) read(head string) error {
	raw, err := b64.DecodeString(head)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, h)
}

// Token is a compact token taken apart.
type Token struct {
	Header  Header
	Payload []byte
	compact string
	signed  int // length of header and payload as they were sent
	sig     []byte
}

// Parse takes a compact token apart. Errors: [ErrToken].
func Parse(compact string) (*Token, error) { return parse(compact, nil) }

// Head is the header of a token as it was sent, to remember what was read of it.
func Head(compact string) string {
	head, _, _ := strings.Cut(compact, ".")
	return head
}

// ParseAfter is Parse for a token whose [Head] is that of an earlier one, whose header is h. Errors: [ErrToken].
func ParseAfter(compact string, h *Header) (*Token, error) { return parse(compact, h) }

func parse(compact string, known *Header) (*Token, error) {
	if len(compact) > MaxToken {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrToken, MaxToken)
	}
	head, rest, ok1 := strings.Cut(compact, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.ContainsAny(compact, "\r\n") {
		return nil, fmt.Errorf("%w: not three parts", ErrToken)
	}
	t := &Token{compact: compact, signed: len(head) + 1 + len(body)}
	var err error
	if known != nil {
		t.Header = *known
	} else if err = t.Header.read(head); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrToken, err)
	}
	if t.Header.Crit != nil || t.Header.B64 != nil {
		return nil, fmt.Errorf("%w: critical header parameters", ErrToken)
	}
	if t.Payload, err = b64.DecodeString(body); err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrToken, err)
	}
	if t.sig, err = b64.DecodeString(sig); err != nil {
		return nil, fmt.Errorf("%w: signature: %w", ErrToken, err)
	}
	return t, nil
}

// Verify checks the signature. The algorithm must be one that the key is for: a token does not choose how its key is
// read. Errors: [ErrSignature].
func (t *Token) Verify(k *Key) error {
	alg := t.Header.Alg
	if !slices.Contains(k.algs, alg) || k.Alg != "" && k.Alg != alg {
		return fmt.Errorf("%w: alg %q is not for this key", ErrSignature, alg)
	}
	switch pub := k.pub.(type) {
	case *atcrypto.PublicKeyK256:
		// JOSE does not ask for the smaller of the two forms of s.
		if err := pub.HashAndVerifyLenient([]byte(t.compact[:t.signed]), t.sig); err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
		return nil
	case *ecdsa.PublicKey: // go-jose would read the token once more, and each call by OAuth has one
		if !t.verifyEC(pub) {
			return ErrSignature
		}
		return nil
	}
	jws, err := gojose.ParseSignedCompact(t.compact, theirs)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if _, err := jws.Verify(k.pub); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// verifyEC checks a signature of two numbers of the curve's size.
// spec: RFC 7518 section 3.4
func (t *Token) verifyEC(pub *ecdsa.PublicKey) bool {
	signed := []byte(t.compact[:t.signed])
	var hash []byte
	switch t.Header.Alg {
	case "ES256":
		sum := sha256.Sum256(signed)
		hash = sum[:]
	case "ES384":
		sum := sha512.Sum384(signed)
		hash = sum[:]
	case "ES512":
		sum := sha512.Sum512(signed)
		hash = sum[:]
	default:
		return false
	}
	size := (pub.Curve.Params().BitSize + 7) / 8
	if len(t.sig) != 2*size {
		return false
	}
	return ecdsa.Verify(pub, hash, new(big.Int).SetBytes(t.sig[:size]), new(big.Int).SetBytes(t.sig[size:]))
}

// Claims reads the payload into v.
func (t *Token) Claims(v any) error {
	if err := json.Unmarshal(t.Payload, v); err != nil {
		return fmt.Errorf("%w: claims: %w", ErrToken, err)
	}
	return nil
}

// ParseSet reads a JWK set and gives the keys in it that can be used; others are passed over. Errors: [ErrKey].
func ParseSet(raw []byte) ([]*Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	const most = 50
	if len(set.Keys) > most {
		return nil, fmt.Errorf("%w: more than %d keys", ErrKey, most)
	}
	var out []*Key
	for _, raw := range set.Keys {
		if k, err := ParseKey(raw); err == nil {
			out = append(out, k)
		} else if errors.Is(err, errPrivate) {
			return nil, err
		}
	}
	return out, nil
}
