package account

import (
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/auroralocus/locus/internal/keyring"
)

// NewEmailCode is the code that is mailed to an address that an account is going to have: XXXXX-XXXXX, 50 bits that
// nobody without the tenant's secret can tell. Nothing is stored of it. It names the present address, so it is good for
// one change, and a span of time: it lives for one to two times [TokenLife].
func NewEmailCode(mac *keyring.MAC, a *Account, email string, now time.Time) string {
	return newEmailCode(mac, a, email, now.Unix()/int64(TokenLife/time.Second))
}

func newEmailCode(mac *keyring.MAC, a *Account, email string, span int64) string {
	return readable(mac.Sign(fmt.Appendf(nil, "new_email\x00%d\x00%s\x00%s\x00%d", a.AID, a.Email, email, span)))
}

// CheckNewEmailCode holds what was typed against the code of this span of time and of the one before. Errors:
// [ErrTokenInvalid].
func CheckNewEmailCode(mac *keyring.MAC, a *Account, email, typed string, now time.Time) error {
	span, got, ok := now.Unix()/int64(TokenLife/time.Second), []byte(normalToken(typed)), 0
	for _, s := range []int64{span, span - 1} {
		ok |= subtle.ConstantTimeCompare([]byte(newEmailCode(mac, a, email, s)), got)
	}
	if ok != 1 {
		return ErrTokenInvalid
	}
	return nil
}
