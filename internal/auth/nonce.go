package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// nonceKept is how much longer than the token its nonce is kept: clocks of processes differ.
const nonceKept = 10 * time.Minute

// nonceOf is what tells a token from all others: issuer and jti, or, of a token without one, what is signed. The
// signature would not do: anybody can write it in a second way (s and its negative both verify).
func nonceOf(c serviceClaims, signed []byte) [sha256.Size]byte {
	if c.Jti == "" {
		return sha256.Sum256(signed)
	}
	return sha256.Sum256([]byte(c.Iss + "\x00" + c.Jti))
}

// UseUp uses the token up, inside the transaction of what may happen once by it: a token counts as used exactly when
// that was committed, on all processes, so a call that failed may be tried again with it. The zero Service, of callers
// without such a token, costs nothing. Errors: [ErrServiceUsed].
func (s *Service) UseUp(ctx context.Context, q *tenantdb.Queries) error {
	if s == nil || s.Issuer == "" {
		return nil
	}
	n, err := q.InsertServiceNonce(ctx, tenantdb.InsertServiceNonceParams{Digest: s.nonce[:], ExpiresAt: s.expires.Add(nonceKept)})
	if err != nil {
		return fmt.Errorf("use service token of %s: %w", s.Issuer, err)
	}
	if n == 0 {
		return ErrServiceUsed
	}
	return nil
}
