// Package dpop checks proofs of possession: that who shows a token has the key it was made for, for this very request.
//
// It knows no store: whether a proof was shown before is for its caller to find out, by [Proof.Digest].
// spec: oauth#demonstrating-proof-of-possession-dpop
package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/oauth/jose"
)

// Errors of this package.
var (
	// ErrMissing: there is no proof.
	ErrMissing = errors.New("a DPoP proof is required")
	// ErrNonce: the proof's nonce is absent or too old. The client tries again with a new one.
	ErrNonce = errors.New("the DPoP proof needs a nonce of this server")
	// ErrProof: the proof is not good.
	ErrProof = errors.New("invalid DPoP proof")
)

const (
	maxAge    = 10 * time.Second  // between the making of a proof and its use
	tolerance = 180 * time.Second // between the client's clock and ours
	maxJTI    = 256
	// Kept is how long it must be remembered that a proof was shown. A nonce ends within three minutes.
	Kept = 200 * time.Second
)

// Proof is a proof that holds.
type Proof struct {
	JKT string // thumbprint of the key
	JTI string
}

// Digest names a proof among all of a tenant's.
func (p Proof) Digest() [32]byte { return sha256.Sum256([]byte("dpop\x00" + p.JKT + "\x00" + p.JTI)) }

type claims struct {
	JTI   string `json:"jti"`
	HTM   string `json:"htm"`
	HTU   string `json:"htu"`
	IAT   int64  `json:"iat"`
	Nonce string `json:"nonce"`
	ATH   string `json:"ath"`
}

// Check checks the proof of one request. headers are all of its DPoP headers, method and target what it was sent to: the
// target is the tenant's public URL of it. token is the access token beside it; "" where none is shown, and then the
// proof must not name one. Errors: [ErrMissing], [ErrNonce], [ErrProof].
func Check(headers []string, method, target string, nonces *Nonces, token string, now time.Time) (Proof, error) {
	return (*Keys)(nil).Check("", headers, method, target, nonces, token, now)
}

// Keys remembers the headers of proofs, with the keys in them: a client's proofs all have the same one. It is safe for
// concurrent use; nil remembers nothing.
type Keys struct {
	mu   sync.Mutex
	kept *cache.Cache[string, *headed]
}

// headed is a header that was read, and the key in it.
type headed struct {
	header jose.Header
	key    *jose.Key
}

// NewKeys makes one of so many bytes.
func NewKeys(bytes int64, now func() time.Time) *Keys {
	return &Keys{kept: cache.New[string, *headed](bytes, now)}
}

func (k *Keys) get(head string) *headed {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h, _ := k.kept.Get(head)
	return h
}

func (k *Keys) put(in, head string, h *headed) {
	if k == nil {
		return
	}
	const itself = 1500 // the key, and what it was read from
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept.Put(in, strings.Clone(head), h, int64(2*len(head)+itself))
}

// Check is [Check], and remembers the key of a proof that holds: in is the scope that this takes from, a tenant.
func (k *Keys) Check(in string, headers []string, method, target string, nonces *Nonces, token string, now time.Time) (Proof, error) {
	switch {
	case len(headers) == 0:
		return Proof{}, ErrMissing
	case len(headers) > 1 || headers[0] == "":
		return Proof{}, fmt.Errorf("%w: one DPoP header with one proof", ErrProof)
	}
	head := jose.Head(headers[0])
	had := k.get(head)
	var t *jose.Token
	var err error
	if had != nil {
		t, err = jose.ParseAfter(headers[0], &had.header)
	} else {
		t, err = jose.Parse(headers[0])
	}
	switch {
	case err != nil:
		return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
	case t.Header.Typ != "dpop+jwt":
		return Proof{}, fmt.Errorf("%w: typ is not dpop+jwt", ErrProof)
	case !slices.Contains(jose.Algorithms, t.Header.Alg):
		return Proof{}, fmt.Errorf("%w: unknown alg", ErrProof)
	case t.Header.JWK == nil:
		return Proof{}, fmt.Errorf("%w: no jwk in its header", ErrProof)
	}
	var c claims
	if err := t.Claims(&c); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if err := c.check(method, target, token, now); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if !nonces.Valid(c.Nonce, now) { // before the signature, which costs more and would not help it
		return Proof{}, ErrNonce
	}
	fresh := had == nil
	if fresh {
		key, err := jose.ParseKey(t.Header.JWK)
		if err != nil {
			return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
		}
		had = &headed{header: t.Header, key: key}
	}
	if err := t.Verify(had.key); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if fresh {
		k.put(in, head, had)
	}
	return Proof{JKT: had.key.Thumbprint, JTI: c.JTI}, nil
}

func (c *claims) check(method, target, token string, now time.Time) error {
	at := time.Unix(c.IAT, 0)
	switch {
	case c.JTI == "" || len(c.JTI) > maxJTI:
		return errors.New("jti is missing or too long")
	case c.HTM != method:
		return errors.New("htm is another method")
	case !sameTarget(c.HTU, target):
		return errors.New("htu is another URL")
	case c.IAT == 0 || now.Sub(at) > maxAge+tolerance || at.Sub(now) > tolerance:
		return errors.New("iat is too far from now")
	case token == "" && c.ATH != "":
		return errors.New("ath names a token, and there is none")
	case token != "" && c.ATH != TokenHash(token):
		return errors.New("ath is not of this token")
	}
	return nil
}

// TokenHash is how a proof names an access token.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sameTarget compares two URLs as RFC 9449 section 4.3 says: query and fragment do not count.
func sameTarget(htu, target string) bool {
	if len(htu) > 8192 {
		return false
	}
	if htu == target {
		return true
	}
	a, err := url.Parse(htu)
	if err != nil || a.User != nil || a.Opaque != "" {
		return false
	}
	b, err := url.Parse(target)
	return err == nil && origin(a) == origin(b) && path(a) == path(b)
}

func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[strings.ToLower(u.Scheme)]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	return strings.ToLower(u.Scheme) + "://" + host
}

func path(u *url.URL) string {
	if u.Path == "" {
		return "/"
	}
	return u.EscapedPath()
}

// Nonces are a tenant's, made of its secret and the time: all processes know the same ones, and none is stored.
type Nonces struct {
	secret []byte
	now    atomic.Pointer[window]
	// Those of the secret before, which are given out until from, and good until then and for their time.
	before *Nonces
	from   time.Time
	until  time.Time
}

// window are the nonces that are good during one step.
type window struct {
	counter int64
	valid   [3]string // before, current, next
	header  []string
}

// NewNonces makes them from a secret of 32 bytes.
func NewNonces(secret []byte) *Nonces { return &Nonces{secret: secret} }

// step is how long a nonce is the newest. It is good for the one before and the one after, so for three minutes at most.
const step = 60 * time.Second

// After has those of the secret before given out until a moment. They are good for their time after it, and never when that
// secret is not any more. Call it before the nonces are used.
func (n *Nonces) After(before *Nonces, from, until time.Time) {
	n.before, n.from, n.until = before, from, from.Add(3*step)
	if until.Before(n.until) {
		n.until = until
	}
}

// Next is the nonce to give out.
func (n *Nonces) Next(now time.Time) string { return n.Header(now)[0] }

// Header is [Nonces.Next] as the values of a header, which nobody changes.
func (n *Nonces) Header(now time.Time) []string {
	if n.before != nil && now.Before(n.from) {
		return n.before.Header(now)
	}
	return n.window(now).header
}

func (n *Nonces) window(now time.Time) *window {
	c := counter(now)
	if w := n.now.Load(); w != nil && w.counter == c {
		return w
	}
	w := &window{counter: c, valid: [3]string{n.at(c - 1), n.at(c), n.at(c + 1)}}
	w.header = []string{w.valid[2]}
	n.now.Store(w)
	return w
}

// Valid says whether a nonce is one of now.
func (n *Nonces) Valid(nonce string, now time.Time) bool {
	if len(nonce) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
		return false
	}
	ok := false
	for _, valid := range n.window(now).valid {
		ok = hmac.Equal([]byte(nonce), []byte(valid)) || ok
	}
	return ok || n.before != nil && now.Before(n.until) && n.before.Valid(nonce, now)
}

func counter(now time.Time) int64 { return now.Unix() / int64(step/time.Second) }

func (n *Nonces) at(c int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(c))
	mac := hmac.New(sha256.New, n.secret)
	mac.Write(b[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
