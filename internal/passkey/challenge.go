package passkey

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

// For is what a browser is asked for a passkey's answer.
type For string

// What for.
const (
	ToSignIn   For = "sign_in"
	ToRegister For = "register"
	ToProve    For = "prove" // that who is signed in is the owner
)

// Bound is what a challenge is good for.
type Bound struct {
	For     For
	Browser string // the one that was asked
	AID     int64  // the account that is signed in; 0 at a sign-in
}

const (
	challengeRandom = 16
	challengeSize   = challengeRandom + 8 + sha256.Size
	// usedKept is how much longer than its time an answered challenge is known: clocks of processes differ.
	usedKept = 10 * time.Minute
)

// challenge draws one: 16 random bytes, until when it is good, and a MAC over both and what it is good for.
func challenge(mac *keyring.MAC, now time.Time, b Bound) []byte {
	c := make([]byte, challengeRandom, challengeSize)
	_, _ = rand.Read(c) // never fails: the runtime ends the process instead
	c = binary.BigEndian.AppendUint64(c, uint64(now.Add(askTime).Unix()))
	return append(c, mac.Sign(b.message(c))...)
}

func (b Bound) message(c []byte) []byte {
	return fmt.Appendf(nil, "passkey_challenge\x00%s\x00%d\x00%q\x00%x", b.For, b.AID, b.Browser, c)
}

// check says whether a challenge was drawn for this, and is still good. Errors: [ErrRefused], [ErrExpired].
func (b Bound) check(mac *keyring.MAC, now time.Time, text string) error {
	c, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(c) != challengeSize {
		return fmt.Errorf("%w: challenge", ErrRefused)
	}
	said, tag := c[:challengeSize-sha256.Size], c[challengeSize-sha256.Size:]
	if !mac.Verify(b.message(said), tag) {
		return fmt.Errorf("%w: challenge", ErrRefused)
	}
	if now.Unix() >= int64(binary.BigEndian.Uint64(said[challengeRandom:])) {
		return ErrExpired
	}
	return nil
}

// useUp marks a challenge as answered, in the transaction of what the answer allows. Errors: [ErrExpired].
func useUp(ctx context.Context, q *tenantdb.Queries, now time.Time, text string) error {
	n, err := q.InsertServiceNonce(ctx, tenantdb.InsertServiceNonceParams{Digest: questionDigest(text), ExpiresAt: now.Add(QuestionKept)})
	if err != nil {
		return fmt.Errorf("use up a passkey's challenge: %w", err)
	}
	if n == 0 {
		return ErrExpired
	}
	return nil
}
